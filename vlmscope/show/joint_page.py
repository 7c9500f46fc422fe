"""The page on which a word is picked, and what every system found about it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.show import pages
from vlmscope.show.xl_pages import legible
from vlmscope.store import files

PARTS = ("page.css", "neurons.css", "nouns.css", "atlas.css", "page.js", "nouns.js", "atlas_marks.js", "atlas.js")
MOST_BYTES = 8_000_000


def write(
    data: Mapping[str, Any],
    pictures: Sequence[Image.Image],
    *,
    label: str,
    scale: str,
    pixels: int,
    target: str | Path,
) -> None:
    """Write the page.

    data       see `atlas.page.from_files`
    pictures   in the order of data["maps"]
    pixels     longest side of a picture
    """
    addresses = [pages.inline(one, pixels)[0] for one in pictures]
    title = f"{label}: what five systems know of a word"
    page = pages.render(
        "atlas.html", *PARTS, title=legible(title), scale=scale, data={**legible(data), "addresses": addresses}
    )
    if len(page.encode()) > MOST_BYTES:
        raise VlmscopeError(
            f"The page has {len(page.encode())} bytes, more than {MOST_BYTES}.",
            where=str(target),
            instead="fewer atlas.show.pictures or atlas.show.pixels",
        )
    files.write_text(page, target)
