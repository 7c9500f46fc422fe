"""Which latents stand out in one prompt: means of the activations before the selection (multimodal_sae.md 2.11).

Overlays show where a latent is selected in the first view of a picture, with a question before it or without
[differs: 2.11].
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vlmscope import samples
from vlmscope.capture import batches
from vlmscope.capture.plan import Take
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.cache import examples, passes
from vlmscope.multimodal_sae.coder import checkpoint, sparse
from vlmscope.multimodal_sae.coder.sae import SparseCoder
from vlmscope.multimodal_sae.quality import loop
from vlmscope.multimodal_sae.train import states
from vlmscope.raw import read_manifest
from vlmscope.store import files, tables

PROBE = {"image": pl.String, "feature": pl.Int64, "rank": pl.Int64, "mean": pl.Float64, "share": pl.Float64}
HARMLESS = re.compile(r"[\w.-]+")
# Pixels of a side of a patch in an overlay, as published; panels of a row of a sheet.
PATCH, ACROSS = 14, 5
NOTE = (
    "Bright: where the latent is selected, in the first view. mean: before the selection, over all tokens that are\n"
    "probed; share: of these, where it is selected."
)


@dataclass(frozen=True)
class Probed:
    """What stands out in a prompt.

    table     `PROBE`
    picture   None for a text
    maps      float32 [latent of the table, side, side]   in the first view; no latent where views have no fixed size
    """

    table: pl.DataFrame
    picture: Any = None
    maps: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))

    @property
    def name(self) -> str:
        """Of the picture or text."""
        return self.table["image"][0]


@torch.inference_mode()
def means(coder: SparseCoder, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean of every latent before the selection, and at which share of the positions it is selected: [latent] each.

    x   [T, d]
    """
    total = torch.zeros(coder.config.latents, dtype=torch.float64, device=coder.b_dec.device)
    for some in x.split(max(1, sparse.DENSE // coder.config.latents)):
        total += coder.pre(some.to(total.device)).sum(0).double()
    found = coder.encode(x.to(total.device))
    fired = found.indices[found.acts > 0].bincount(minlength=coder.config.latents)
    return (total / len(x)).cpu().numpy(), (fired / len(x)).cpu().numpy()


def ranked(image: str, mean: np.ndarray, share: np.ndarray, ranks: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """Latents of some intervals of ranks, first one in and last one out, counted from 0; `PROBE`."""
    order = np.argsort(-mean, kind="stable")
    wanted = sorted({rank for first, last in ranks for rank in range(first, min(last, len(order)))})
    rows = [(image, int(order[rank]), rank, float(mean[order[rank]]), float(share[order[rank]])) for rank in wanted]
    return pl.DataFrame(rows, schema=PROBE, orient="row")


def of_picture(loaded: Loaded, take: Take, text: str, picture: Any) -> tuple[Tensor, Tensor]:
    """States of a prompt with a picture [n, d], and which of them are at image tokens, bool [n]."""
    tensors = inputs.encode(loaded, [text], [picture], side="right")
    x = states.states(loaded, take, inputs.Batch((0,), tensors))
    ids = tensors["input_ids"][tensors["attention_mask"].bool()]
    return x, (ids == loaded.family.image_token(loaded.config)).to(x.device)


@torch.inference_mode()
def maps(coder: SparseCoder, x: Tensor, latents: Sequence[int]) -> np.ndarray:
    """Where latents are selected and how strongly, float32 [latent, side, side].

    x   [T, d]   of the first view, row by row; none where it is no square
    """
    side = math.isqrt(len(x))
    if not side or side * side != len(x):
        return np.zeros((0, 1, 1), np.float32)
    found = coder.encode(x.to(coder.b_dec.device))
    each = [(found.acts * (found.indices == one)).sum(1).float().cpu().numpy() for one in latents]
    return np.array(each, np.float32).reshape(len(latents), side, side)


def of_text(loaded: Loaded, take: Take, text: str) -> Tensor:
    """States of a text without a picture, without its first token, [n, d]."""
    found = loaded.processor.tokenizer([text], return_tensors="pt")
    tensors = {key: found[key].to(loaded.device) for key in ("input_ids", "attention_mask")}
    return states.states(loaded, take, inputs.Batch((0,), tensors))[1:]


def probed(
    loaded: Loaded, coder: SparseCoder, take: Take, chosen: Sequence[Any], picture: Any, own: dict[str, Any]
) -> Iterator[Probed]:
    """What stands out in every picture, then in every text; texts are called text-0 and so on."""
    text = loaded.family.turn(own["question"]) if own["question"] else passes.PROMPT
    for one in chosen:
        shown = picture(one)
        x, image = of_picture(loaded, take, text, shown)
        table = ranked(one.sample, *means(coder, x if own["positions"] == "all" else x[image]), own["ranks"])
        first = x[image][: loop.base_positions(loaded, int(image.sum()))]
        yield Probed(table, shown, maps(coder, first, table["feature"].to_list()))
    for number, words in enumerate(own["texts"]):
        yield Probed(ranked(f"text-{number}", *means(coder, of_text(loaded, take, words)), own["ranks"]))


def sheet(one: Probed) -> list[dict[str, Any]]:
    """Rows of panels: the picture, then a panel per latent."""
    panels = [{"picture": one.picture, "values": None, "target": None, "title": "picture"}]
    for row, values in zip(one.table.iter_rows(named=True), one.maps, strict=True):
        title = f"{row['rank'] + 1}. latent {row['feature']}\nmean {row['mean']:.2f}, share {row['share']:.2f}"
        panels.append({"picture": one.picture, "values": values, "target": None, "title": title})
    rows = [panels[start : start + ACROSS + 1] for start in range(0, len(panels), ACROSS + 1)]
    return [{"label": [one.name if not number else ""], "panels": row} for number, row in enumerate(rows)]


def save(one: Probed, folder: Path) -> None:
    """Write the table and, for a picture, an overlay per latent: dark where it is silent, as released, lossless."""
    tables.write(one.table, folder / f"{one.name}.csv", PROBE)
    for latent, values in zip(one.table["feature"], one.maps, strict=False):
        overlay = examples.masked(one.picture, values, PATCH * len(values))
        with files.publish(folder / one.name / f"latent_{latent}.png") as part:
            overlay.save(part, "PNG")


def from_files(
    loaded: Loaded, *, weights: str, raw: str, table: str, settings: dict[str, Any], target: str
) -> dict[str, list[dict[str, Any]]]:
    """Write tables and overlays of some pictures and texts, and `filters.json` with all their latents.

    weights    sae.safetensors in the autoencoder's folder
    settings   site, and multimodal_sae.probe
    returns    name of a picture -> rows of its sheet
    """
    own, folder = settings["probe"], Path(weights).parent
    coder = checkpoint.read(folder).to(loaded.device).requires_grad_(False)
    every = samples.read(table)
    named = {one.sample: one for one in every}
    if lacking := [name for name in own["images"] if name not in named or not HARMLESS.fullmatch(name)]:
        raise VlmscopeError(
            f"There is no sample {lacking[0]}.",
            where="multimodal_sae.probe.images",
            instead=f"such as {every[0].sample}",
        )
    chosen = [named[name] for name in own["images"]] or every[: own["pictures"]]
    take = states.take_of(loaded, settings["site"])
    found = list(probed(loaded, coder, take, chosen, batches.picture_of(read_manifest(raw)["root"]), own))
    for one in found:
        save(one, Path(target))
    latents = sorted({latent for one in found for latent in one.table["feature"]})
    files.write_json({folder.name: latents}, Path(target) / "filters.json")
    return {one.name: sheet(one) for one in found if len(one.maps)}
