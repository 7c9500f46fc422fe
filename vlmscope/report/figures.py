"""Figures within a page: as data addresses, so that the page stands alone; the largest give way to links."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

KINDS = (".svg", ".png")
# An SVG with many points is larger than its picture, and slower to show.
MOST_SVG = 100_000
# Bytes: what is smaller is not worth packing anew.
LEAST_PACKED = 60_000
PAGE_DPI = 96
# Bytes around an address, besides the words that stand for the figure.
TAG = 100
# Pixels: a page shows figures no wider than half of this, screens have up to two pixels for one.
WIDEST = 2000


def chosen(paths: list[str], name: str) -> str:
    """The file of a figure: the SVG, its PNG where that one is large, empty where there is neither."""
    found = {Path(path).suffix: path for path in paths if Path(path).stem == name and Path(path).suffix in KINDS}
    svg, png = found.get(".svg", ""), found.get(".png", "")
    return png if png and (not svg or Path(svg).stat().st_size > MOST_SVG) else svg


def address(path: str) -> str:
    """A figure as a data address; large pictures of pixels are packed anew, without loss."""
    content = Path(path).read_bytes()
    if path.endswith(".svg"):
        return _data("image/svg+xml", content)
    if len(content) < LEAST_PACKED:
        return _data("image/png", content)
    with Image.open(path) as picture:
        picture.thumbnail((WIDEST, 4 * WIDEST))
        packed = io.BytesIO()
        picture.save(packed, format="WEBP", lossless=True, method=1, quality=50)
    return _data("image/webp", packed.getvalue())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def width(path: str) -> int | None:
    """Pixels of the page that a figure should take: pictures have more dots per inch than a page; SVG knows its own."""
    if path.endswith(".svg"):
        return None
    with Image.open(path) as picture:
        return round(picture.width * PAGE_DPI / picture.info.get("dpi", (PAGE_DPI,))[0])


def within(figures: list[dict[str, Any]], budget: int) -> int:
    """Put addresses into figures, smallest first, as long as all together stay in a budget of bytes; how many did not.

    figures   each with `path` and `alt`; gets `address`, empty for those that the page only links to
    """
    known = {one["path"]: address(one["path"]) for one in figures}
    for one in sorted(figures, key=lambda one: len(known[one["path"]])):
        text = known[one["path"]]
        cost = len(text) + len(one["alt"].encode()) + TAG
        one["address"] = text if cost <= budget else ""
        budget -= cost if one["address"] else 0
    return sum(not one["address"] for one in figures)
