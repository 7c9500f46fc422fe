"""Pages: one self-contained HTML file each, nothing fetched, every text escaped, only its own script may run."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.raw import read_manifest
from vlmscope.samples import picture, read
from vlmscope.store import files

TEMPLATES = Path(__file__).with_name("templates")
CHANNELS = {
    "block": "block output",
    "attention": "attention alone",
    "middle": "after attention",
    "mlp": "MLP alone",
}
# About 50 bytes a cell: with picture and script below 2 MB.
MOST_CELLS = 30_000
MOST_BYTES = 2_000_000
# Tokens per cell, longest text of one, and pixels of the picture.
RANKS = 5
LONGEST = 40
PIXELS = 320
# Small pictures are shown at least this wide.
SHOWN = 160


def render(template: str, *parts: str, **values: Any) -> str:
    """A page from a template, style sheets and scripts of this folder, whose digests alone the page lets in.

    parts   files that end in .css and .js; those of a kind are put one behind the other
    """
    shelf = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    # Compact, and in the order given: the first of a list is the one that is shown first.
    shelf.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    own = {"style": _joined(parts, ".css"), "script": _joined(parts, ".js")}
    hashes = {f"{name}_hash": _hash(text) for name, text in own.items()}
    # Both are files of this folder and hold nothing of the data.
    return shelf.get_template(template).render(**values, **hashes, **{name: Markup(text) for name, text in own.items()})


def _joined(parts: Sequence[str], ending: str) -> str:
    return "".join((TEMPLATES / file).read_text(encoding="utf-8") for file in parts if file.endswith(ending))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def visible(text: str) -> str:
    """A token as it can be seen: a blank in front as a dot, what does not print by its code, long ones cut."""
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    if shown.startswith(" "):
        shown = "\u00b7" + shown[1:]
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "\u2026"


def inline(image: Image.Image, pixels: int = PIXELS) -> tuple[str, int]:
    """A picture as a data address, at most so many pixels wide and high, and the width to show it in."""
    small = image.convert("RGB")
    small.thumbnail((pixels, pixels))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), max(small.width, SHOWN)


def chosen_positions(kinds: Sequence[str], most: int) -> list[int]:
    """Positions of a page: the last text positions up to three quarters, the rest image positions at even steps."""
    text = [place for place, kind in enumerate(kinds) if kind != "image"]
    image = [place for place, kind in enumerate(kinds) if kind == "image"]
    room = max(most - len(image), 3 * most // 4)
    text = text[-room:]
    step = max(1, -(-len(image) // max(1, most - len(text))))
    return sorted([*text, *image[::step]])


def lens(
    cells: pl.DataFrame,
    sample: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    title: str,
    most: int,
    image: Image.Image,
    target: str | Path,
) -> None:
    """Heat map of the lens of one sample: layer x position, top tokens, all channels.

    cells    `schemas.CELLS` of this sample
    sample   sample, question, prompt, tokens and types of its positions
    about    family, layers, prompt style and model behind it
    most     positions of the page
    """
    names = [name for name in CHANNELS if name in cells["channel"].unique()]
    most = max(1, min(most, MOST_CELLS // (about["layers"] * len(names))))
    places = chosen_positions(sample["types"], most)
    data = _data(cells.filter(pl.col("position").is_in(places), pl.col("rank") <= RANKS), names)
    data["layers"] = about["layers"]
    data["positions"] = [
        {"number": place, "kind": kind, "text": "image" if kind == "image" else visible(sample["tokens"][place])}
        for place in places
        for kind in [sample["types"][place]]
    ]
    address, width = inline(image)
    page = render(
        "lens.html",
        "page.css",
        "lens.js",
        title=title,
        subtitle=f"{sample['sample']}: {sample['question']}",
        note=_note(places, sample["types"], about),
        prompt=sample["prompt"],
        picture=address,
        picture_width=width,
        channels=[(name, CHANNELS[name]) for name in names],
        data=data,
    )
    if len(page.encode()) > MOST_BYTES:
        raise VlmscopeError(
            f"The page has {len(page.encode())} bytes, more than {MOST_BYTES}.",
            where=str(target),
            instead="a smaller mmneuron.lens.page_positions",
        )
    files.write_text(page, target)


def lens_of_domain(
    cells: str,
    about: Mapping[str, Any],
    *,
    raw: str,
    samples: str,
    domain: str,
    targets: Sequence[str],
    most: int,
    label: str,
    scale: str,
) -> None:
    """A page for each of the shown samples of a domain.

    cells   file of `schemas.CELLS`, about   what stands beside it
    raw, samples   manifest and sample table of the domain, for the pictures
    """
    if len(about["samples"]) < len(targets):
        raise VlmscopeError(
            f"There are {len(about['samples'])} samples in '{domain}', too few for {len(targets)} pages.",
            where="mmneuron.lens.shown",
            instead=f"{len(about['samples'])} or less, or more samples in this split",
        )
    frame, root = pl.read_parquet(cells), Path(read_manifest(raw)["root"])
    rows = {one.sample: one for one in read(samples)}
    for sample, target in zip(about["samples"], targets, strict=True):
        lens(
            frame.filter(pl.col("sample") == sample["sample"]),
            sample,
            about,
            title=f"Logit lens of {label} ({scale} scale), domain {domain}",
            most=most,
            image=picture(rows[sample["sample"]], root),
            target=target,
        )


def _data(cells: pl.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Cells as flat lists by layer, position and rank; tokens as numbers in a list of different texts."""
    texts = [visible(text) for text in cells["token"].to_list()]
    words = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    numbered = cells.with_columns(pl.Series("word", [words[text] for text in texts], dtype=pl.Int32))
    found = {}
    for name in names:
        own = numbered.filter(pl.col("channel") == name).sort("layer", "position", "rank")
        found[name] = {
            # Half a per mille is lost; the CSV has six decimals.
            "share": (1000 * own["prob"]).round().cast(pl.Int32).to_list(),
            "words": own["word"].to_list(),
            "entropy": [round(one, 2) for one in own.filter(pl.col("rank") == 1)["entropy"].to_list()],
        }
        found[name]["most"] = max(found[name]["entropy"])
    return {"cells": found, "words": list(words), "k": int(cells["rank"].max())}


def _note(places: Sequence[int], kinds: Sequence[str], about: Mapping[str, Any]) -> str:
    """What is shown of what there is, and what made it."""
    of = {kind: (sum(kinds[place] == kind for place in places), list(kinds).count(kind)) for kind in ("image", "text")}
    counts = ", ".join(f"{shown} of {every} {kind} positions" for kind, (shown, every) in of.items())
    shift = " A vector was added to the attention's output." if about["shift"] else ""
    return (
        f"Shown: {counts}, and the last one. Prompt style {about['prompt']}; checkpoint "
        f"{about['model']['checkpoint']} ({about['model']['fingerprint'][:12]}).{shift}"
    )
