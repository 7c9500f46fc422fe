"""Pages of what the vocabulary says of patches: one per picture, an overview, two models side by side."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.show import pages
from vlmscope.show.xl_pages import legible
from vlmscope.store import files

STYLES = ("page.css", "neurons.css", "patches.css")
MOST_BYTES = 2_000_000
# About 3 KB a picture.
MOST_OVERVIEW = 40_000_000
# Pictures that take more are sent as JPEG.
MOST_PNG = 120_000
PARTS = ("page.js", "patches_data.js", "patches_views.js", "patches_looks.js", "patches.js")


def write(
    shown: Iterable[tuple[Mapping[str, Any], bytes, Mapping[str, Any]]],
    *,
    model: str,
    label: str,
    scale: str,
    pixels: int,
    target: str | Path,
) -> None:
    """A page per picture and `index.html`, which links to them by their names alone.

    shown    contents of a page, bytes of the picture, its line of the overview: see `llava_interp.look.pages`
    pixels   longest side of the overview's pictures
    target   the folder
    """
    rows, layers = [], 0
    for data, picture, row in shown:
        image = Image.open(io.BytesIO(picture))
        _picture(data, image, label, scale, Path(target) / f"{data['sample']}.html")
        rows.append({**row, "thumb": pages.inline(image, pixels)[0]})
        layers = data["layers"]
    _save(
        "patches_index",
        {"model": model, "layers": layers, "pictures": legible(rows)},
        ("page.js", "patches_index.js"),
        f"Visual tokens of {label} as words",
        scale,
        Path(target) / "index.html",
        "fewer llava_interp.show.pages or llava_interp.show.pixels",
    )


def compare(models: Sequence[Mapping[str, Any]], *, scale: str, target: str | Path) -> None:
    """Pages of the same picture of several models side by side; they stay where they are.

    models   model, label, layers, folder: of its pages, seen from this one; samples: class by name
    """
    names = " and ".join(one["label"] for one in models)
    _save(
        "patches_compare",
        {"models": legible(models)},
        ("page.js", "patches_compare.js"),
        f"Visual tokens as words: {names}",
        scale,
        Path(target),
        "fewer llava_interp.show.pages",
    )


def _picture(data: Mapping[str, Any], image: Image.Image, label: str, scale: str, target: Path) -> None:
    shown = {name: [pages.visible(text) for text in data[name]] for name in ("texts", "prompt")}
    rest = {name: legible(one) for name, one in data.items() if name not in shown}
    _save(
        "patches",
        {**rest, **shown, "picture": _address(image)},
        PARTS,
        f"{data['sample']}: visual tokens of {label} as words",
        scale,
        target,
        "smaller llava_interp.lens.k, llava_interp.views.k, queries and heads",
    )


def _address(image: Image.Image) -> str:
    """The picture as it is, or as JPEG where that is much smaller."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG")
    if buffer.tell() > MOST_PNG:
        return pages.inline(image, max(image.size))[0]
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _save(
    name: str,
    data: Mapping[str, Any],
    parts: Sequence[str],
    title: str,
    scale: str,
    target: Path,
    instead: str,
) -> None:
    page = pages.render(f"{name}.html", *STYLES, *parts, title=legible(title), scale=scale, data=data)
    most = MOST_OVERVIEW if name == "patches_index" else MOST_BYTES
    if len(page.encode()) > most:
        raise VlmscopeError(
            f"The page has {len(page.encode())} bytes, more than {most}.", where=str(target), instead=instead
        )
    files.write_text(page, target)
