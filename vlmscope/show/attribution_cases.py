"""Cases of attribution: overlays of the picture, coloured text of the question."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from vlmscope.show import overlays, pages
from vlmscope.show.xl_pages import legible
from vlmscope.store import files, tables


def write(cases: Iterable[Mapping[str, Any]], folder: str, *, schema: Mapping[str, Any], note: str, title: str) -> None:
    """A folder per case: image_top.png, text.html, attribution.parquet.

    cases   see `multimodal_sae.figures.cases.from_files`; schema is that of their rows
    """
    for one in cases:
        own = Path(folder) / one["name"]
        tables.write(one["rows"], own / "attribution.parquet", schema)
        overlays.draw(
            one["overlays"], f"Image latents behind an answer about {one['name']}: {title}", note, own / "image_top.png"
        )
        text(one["page"], one["picture"], f"Text latents behind an answer: {title}", own / "text.html")


def text(page: Mapping[str, Any], picture: Image.Image, title: str, target: str | Path) -> None:
    """A page with the question once per latent of the text part, redder where the latent supports the answer."""
    parts = ("page.css", "attribution_text.css", "page.js", "attribution_text.js")
    address = pages.inline(picture)[0]
    html = pages.render("attribution_text.html", *parts, title=legible(title), picture=address, data=legible(page))
    files.write_text(html, target)
