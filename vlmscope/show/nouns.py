"""Pages about the nouns of captions: the gallery of pictures, the catalogue of nouns, examples of lists."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.show import pages
from vlmscope.store import files

STYLES = ("page.css", "neurons.css", "nouns.css")
SCRIPTS = ("page.js", "nouns.js")
MOST_BYTES = 24_000_000


def gallery(
    data: Mapping[str, Any], pictures: Sequence[Image.Image], *, label: str, scale: str, target: str | Path
) -> None:
    """Pick a picture, click a word of its caption, see its neurons and where they look.

    data       see `mm_neurons.look.gallery.Page`
    pictures   in the order of data["images"]
    """
    addresses = [{"address": pages.inline(one)[0], "width": one.width, "height": one.height} for one in pictures]
    images = [image | address for image, address in zip(data["images"], addresses, strict=True)]
    _write("gallery", {**data, "images": images}, f"Neurons that write the words of {label}", scale, target)


def catalogue(data: Mapping[str, Any], *, label: str, scale: str, target: str | Path) -> None:
    """Look up a noun: which neurons write it, in how many pictures. See `mm_neurons.look.catalogue.page`."""
    _write("catalogue", data, f"Nouns of {label} and the neurons that write them", scale, target)


def examples(data: Mapping[str, Any], *, label: str, scale: str, target: str | Path) -> None:
    """The best neurons of a noun by every method, side by side. See `mm_neurons.look.examples.page`."""
    _write("examples", data, f"Neurons of nouns by every method: {label}", scale, target)


def _write(name: str, data: Mapping[str, Any], title: str, scale: str, target: str | Path) -> None:
    neurons = [[layer, unit, [pages.visible(text) for text in texts]] for layer, unit, texts in data["neurons"]]
    page = pages.render(
        f"{name}.html",
        *STYLES,
        *SCRIPTS,
        f"{name}.js",
        title=title,
        scale=scale,
        data={**data, "neurons": neurons},
    )
    if len(page.encode()) > MOST_BYTES:
        raise VlmscopeError(
            f"The page has {len(page.encode())} bytes, more than {MOST_BYTES}.",
            where=str(target),
            instead="fewer images under mm_neurons.show, fewer sizes under mm_neurons.maps",
        )
    files.write_text(page, target)
