"""Pages about latents of sparse autoencoders: overview, a page per latent, regions of pictures, texts."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.show import pages
from vlmscope.show.xl_pages import legible
from vlmscope.store import files

STYLES = ("page.css", "neurons.css", "latents.css")
# Bytes of a page, by its template: 131,072 latents of which 6,000 have a page take 25 MB in the overview.
MOST = {"latents_index": 40_000_000, "latent": 2_000_000, "regions": 40_000_000, "text_view": 24_000_000}
# Small pictures of the overview, and the tokens in it that a latent can be found by.
THUMB, FOUND_BY = 40, 3


def write(
    overview: Mapping[str, Any],
    shown: Iterable[tuple[Mapping[str, Any], Sequence[Image.Image], Image.Image | None]],
    regions: tuple[Mapping[str, Any], Sequence[Image.Image]],
    *,
    label: str,
    scale: str,
    target: str | Path,
) -> None:
    """`index.html`, `latent-N.html`, `regions.html`, which link to each other by their names alone.

    overview, shown, regions   see `multimodal_sae.look.browse.Browser`
    target                     the folder
    """
    home, about = Path(target), {"latents": overview["latents"], "samples": overview["samples"]}
    paged: list[dict[str, Any]] = []
    for data, pictures, thumb in shown:
        save(
            "latent",
            {**about, **data, "addresses": addresses(pictures)},
            label,
            scale,
            home / f"latent-{data['latent']}.html",
        )
        words = [word for word, _ in data["tokens"]["promoted"][:FOUND_BY]]
        paged.append(
            {"latent": data["latent"], "words": words, "thumb": pages.inline(thumb, THUMB)[0] if thumb else ""}
        )
    images = [
        {**one, "picture": address} for one, address in zip(regions[0]["images"], addresses(regions[1]), strict=True)
    ]
    save("regions", {**regions[0], "images": images}, label, scale, home / "regions.html")
    save("latents_index", {**overview, "pages": paged}, label, scale, home / "index.html")


def addresses(pictures: Sequence[Image.Image]) -> list[str]:
    """Pictures as data addresses."""
    return [pages.inline(one, max(one.size))[0] for one in pictures]


TITLES = {
    "latents_index": "Latents of {label}",
    "latent": "Latent {latent} of {label}",
    "regions": "Latents of a region: {label}",
    "text_view": "Latents in texts: {label}",
}
INSTEAD = {
    "latents_index": "fewer multimodal_sae.show.latents",
    "latent": "fewer multimodal_sae.show.pictures or multimodal_sae.show.pixels",
    "regions": "fewer multimodal_sae.show.regions, multimodal_sae.show.top or multimodal_sae.show.pixels",
    "text_view": "fewer multimodal_sae.texts.shown or multimodal_sae.show.latents",
}


def save(name: str, data: Mapping[str, Any], label: str, scale: str, target: str | Path) -> None:
    """Write a page; arrays in its data travel as base64."""
    title = legible(TITLES[name].format(label=label, **data if name == "latent" else {}))
    parts = (*STYLES, "page.js", "latents.js", f"{name}.js")
    page = pages.render(f"{name}.html", *parts, title=title, scale=scale, data=packed(legible(data)))
    if (size := len(page.encode())) > MOST[name]:
        raise VlmscopeError(
            f"The page has {size} bytes, more than {MOST[name]}.", where=str(target), instead=INSTEAD[name]
        )
    files.write_text(page, target)


def packed(value: Any) -> Any:
    """The same with arrays as their kind and the base64 of their little-endian bytes, row by row."""
    if isinstance(value, np.ndarray):
        kind = value.dtype.newbyteorder("<")
        return {"kind": kind.str[1:], "values": base64.b64encode(value.astype(kind).tobytes()).decode()}
    if isinstance(value, Mapping):
        return {key: packed(one) for key, one in value.items()}
    return [packed(one) for one in value] if isinstance(value, list | tuple) else value
