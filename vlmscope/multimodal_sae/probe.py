"""Which latents stand out in one prompt: means of the activations before the selection (multimodal_sae.md 2.11)."""

import re
from collections.abc import Iterator, Sequence
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
from vlmscope.multimodal_sae import cache, checkpoint, sparse, states
from vlmscope.multimodal_sae.sae import SparseCoder
from vlmscope.raw import read_manifest
from vlmscope.store import files, tables

PROBE = {"image": pl.String, "feature": pl.Int64, "rank": pl.Int64, "mean": pl.Float64, "share": pl.Float64}
HARMLESS = re.compile(r"[\w.-]+")


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


def of_picture(loaded: Loaded, take: Take, text: str, picture: Any, positions: str) -> Tensor:
    """States of a prompt with a picture [n, d]: at its image tokens, or at all of them."""
    tensors = inputs.encode(loaded, [text], [picture], side="right")
    x = states.states(loaded, take, inputs.Batch((0,), tensors))
    if positions == "all":
        return x
    ids = tensors["input_ids"][tensors["attention_mask"].bool()]
    return x[(ids == loaded.family.image_token(loaded.config)).to(x.device)]


def of_text(loaded: Loaded, take: Take, text: str) -> Tensor:
    """States of a text without a picture, without its first token, [n, d]."""
    found = loaded.processor.tokenizer([text], return_tensors="pt")
    tensors = {key: found[key].to(loaded.device) for key in ("input_ids", "attention_mask")}
    return states.states(loaded, take, inputs.Batch((0,), tensors))[1:]


def probed(
    loaded: Loaded, coder: SparseCoder, take: Take, chosen: Sequence[Any], picture: Any, own: dict[str, Any]
) -> Iterator[pl.DataFrame]:
    """A table per picture, then per text, `PROBE`; texts are called text-0 and so on."""
    text = loaded.family.turn(own["question"]) if own["question"] else cache.PROMPT
    for one in chosen:
        x = of_picture(loaded, take, text, picture(one), own["positions"])
        yield ranked(one.sample, *means(coder, x), own["ranks"])
    for number, words in enumerate(own["texts"]):
        yield ranked(f"text-{number}", *means(coder, of_text(loaded, take, words)), own["ranks"])


def from_files(loaded: Loaded, *, weights: str, raw: str, table: str, settings: dict[str, Any], target: str) -> None:
    """Write `<picture>.csv` for some pictures and texts, and `filters.json` with all their latents.

    weights    sae.safetensors in the autoencoder's folder
    settings   site, and multimodal_sae.probe
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
        tables.write(one, Path(target) / f"{one['image'][0]}.csv", PROBE)
    latents = sorted({latent for one in found for latent in one["feature"]})
    files.write_json({folder.name: latents}, Path(target) / "filters.json")
