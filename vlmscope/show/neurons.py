"""The neuron page: pick a neuron, see where it fires."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.show import pages
from vlmscope.store import files

PARTS = ("page.css", "neurons.css", "page.js", "neurons.js")
MOST_BYTES = 12_000_000


def write(
    data: Mapping[str, Any], pictures: Sequence[Image.Image], *, label: str, scale: str, target: str | Path
) -> None:
    """One self-contained page.

    data       see `mmneuron.page.Page`
    pictures   small pictures, in the order of data["pictures"]
    """
    addresses = [{"address": pages.inline(one)[0], "width": one.width, "height": one.height} for one in pictures]
    captions = [caption | address for caption, address in zip(data["pictures"], addresses, strict=True)]
    page = pages.render(
        "neurons.html",
        *PARTS,
        title=f"Domain neurons of {label}",
        scale=scale,
        data={**data, "pictures": captions},
    )
    if len(page.encode()) > MOST_BYTES:
        raise VlmscopeError(
            f"The page has {len(page.encode())} bytes, more than {MOST_BYTES}.",
            where=str(target),
            instead="fewer neurons, images or pixels under mmneuron.examples",
        )
    files.write_text(page, target)
