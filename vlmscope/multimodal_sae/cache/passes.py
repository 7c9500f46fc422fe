"""Active latents of pictures and texts, written as they are found (multimodal_sae.md 2.4).

The prompt is the picture alone. The model stops behind the layer; of a picture's tokens those of the first view are
kept, or all of them.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vlmscope import meta, samples
from vlmscope.capture import batches, places
from vlmscope.capture.plan import Take
from vlmscope.models import inputs, placement
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.cache import examples, first_view
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.cache.files import Writer
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.coder.sae import SparseCoder
from vlmscope.multimodal_sae.quality import loop
from vlmscope.multimodal_sae.train import states
from vlmscope.raw import read_manifest
from vlmscope.session import progress
from vlmscope.store import files

PROMPT = "<image>"
# Batches whose results wait for one another, so that pictures are written in their order.
WAITING = 8
Scope = Literal["base", "all"]


class Sink(NamedTuple):
    """An autoencoder, what takes its active latents, and the place of its layer among those of a take."""

    coder: SparseCoder
    writer: Writer
    place: int = 0


def pictures(
    loaded: Loaded,
    coder: SparseCoder,
    take: Take,
    chosen: Sequence[Any],
    picture: Callable[[Any], Any],
    writer: Writer,
    *,
    scope: Scope,
    batch: int,
) -> None:
    """Add pictures to a cache, in their order: image tokens of the first view, or all of them.

    For the first view alone nothing else is computed: no token sees those behind it.
    """
    poured(loaded, take, chosen, picture, [Sink(coder, writer)], scope=scope, batch=batch)


@torch.inference_mode()
def poured(
    loaded: Loaded,
    take: Take,
    chosen: Sequence[Any],
    picture: Callable[[Any], Any],
    sinks: Sequence[Sink],
    *,
    scope: Scope,
    batch: int,
) -> None:
    """The same for several autoencoders, of any layers of the take, from one pass over the pictures."""
    starts = range(0, len(chosen), WAITING * batch)
    alone = scope == "base" and first_view.known(loaded)
    for start in progress(starts, len(starts), "groups of pictures"):
        some = chosen[start : start + WAITING * batch]
        found: dict[int, tuple[list[Any], str, Any]] = {}
        for rows in inputs.batches(loaded, [PROMPT] * len(some), some, batch):
            shown = [picture(some[row]) for row in rows]
            tensors = inputs.encode(loaded, [PROMPT] * len(rows), shown, side="right")
            with first_view.alone(loaded) if alone else contextlib.nullcontext():
                given = first_view.cut(loaded, tensors) if alone else tensors
                taken = _states(loaded, take, inputs.Batch(rows, given), scope)
            grids = inputs.grids(loaded, tensors) or [None] * len(rows)
            for row, x, one, grid in zip(rows, taken, shown, grids, strict=True):
                parts = x.chunk(len(take.layers), 1)
                own = [active(sink.coder, parts[sink.place]) for sink in sinks]
                found[row] = own, examples.fingerprint(one), grid
        for row in range(len(some)):
            own, look, grid = found[row]
            for sink, (idx, val) in zip(sinks, own, strict=True):
                sink.writer.add(idx, val, look, grid)


def _states(loaded: Loaded, take: Take, batch: inputs.Batch, scope: Scope) -> list[Tensor]:
    """States of every sample at its image tokens [n, d]."""
    every = places.positions("all", batch, loaded.family.image_token(loaded.config))
    x = states.states(loaded, take, batch)
    wanted = places.positions("image", batch, loaded.family.image_token(loaded.config))
    if scope == "base":
        wanted &= wanted.cumsum(1) <= loop.base_positions(loaded, wanted.shape[1])
    counts = every.sum(1).tolist()
    return [rows[mask.to(x.device)] for rows, mask in zip(x.split(counts), wanted[every].split(counts), strict=True)]


def from_files(
    loaded: Loaded,
    *,
    weights: str,
    raws: Sequence[str],
    tables: Sequence[str],
    settings: dict[str, Any],
    batch: int,
    code: str,
    target: str,
) -> None:
    """Write the cache of the first samples of some datasets.

    weights    sae.safetensors in the autoencoder's folder
    settings   site, samples, scope, dtype
    """
    read = {"raws": raws, "tables": tables, "settings": settings, "batch": batch, "code": code}
    several(loaded, {target: (settings["site"], weights)}, **read)


def several(
    loaded: Loaded,
    wanted: Mapping[str, tuple[str, str]],
    *,
    raws: Sequence[str],
    tables: Sequence[str],
    settings: Mapping[str, Any],
    batch: int,
    code: str,
) -> None:
    """Write caches of several autoencoders from one pass over the pictures.

    wanted     file -> site of its autoencoder, sae.safetensors in the autoencoder's folder
    settings   samples, scope, dtype
    """
    own = settings
    sets = [
        (read_manifest(raw), samples.read(table)[: own["samples"]]) for raw, table in zip(raws, tables, strict=True)
    ]
    every = [one for _, some in sets for one in some]
    reader = {one.sample: batches.picture_of(manifest["root"]) for manifest, some in sets for one in some}
    about = {
        "model": loaded.about["fingerprint"],
        "precision": placement.precision(loaded.about),
        "scope": own["scope"],
        "data": [manifest["digest"] for manifest, _ in sets],
        "image_size_order": "height, width",
        "versions": meta.versions(),
        "code": code,
    }
    names, take = [one.sample for one in every], states.take_at(loaded, [site for site, _ in wanted.values()])
    with contextlib.ExitStack() as stack:
        sinks = []
        for target, (site, weights) in wanted.items():
            coder = checkpoint.read(Path(weights).parent).to(loaded.device).requires_grad_(False)
            shape = {"latents": coder.config.latents, "k": coder.config.k}
            shape |= {"base": loop.base_positions(loaded, 0), "dtype": own["dtype"]}
            known = {**about, "site": site, "sae": files.digest(weights)}
            file = cache_files.published(target, Path(weights).parent.name, names, known, **shape)
            layer = states.take_of(loaded, site).layers[0]
            sinks.append(Sink(coder, stack.enter_context(file), take.layers.index(layer)))
        shown = {"scope": own["scope"], "batch": batch}
        poured(loaded, take, every, lambda one: reader[one.sample](one), sinks, **shown)


def active(coder: SparseCoder, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Latents int64 and values float32 [token, k] of states [token, d]."""
    found = coder.encode(x.to(coder.b_dec.device))
    return found.indices.cpu().numpy(), found.acts.float().cpu().numpy()


def chunks(texts: Iterable[Sequence[int]], end: int, length: int) -> Iterator[list[int]]:
    """Texts joined by the end token, which also begins, cut to equal length; what is left over is dropped."""
    waiting = [end]
    for tokens in texts:
        waiting += [*tokens, end]
        while len(waiting) >= length:
            yield waiting[:length]
            waiting = waiting[length:]


@torch.inference_mode()
def texts(
    loaded: Loaded, coder: SparseCoder, take: Take, rows: Sequence[Sequence[int]], writer: Writer, *, batch: int
) -> None:
    """Add texts of equal length to a cache, every position of them."""
    for start in range(0, len(rows), batch):
        ids = torch.tensor(rows[start : start + batch], device=loaded.device)
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        part = inputs.Batch(tuple(range(start, start + len(ids))), given)
        for x in states.states(loaded, take, part).split(ids.shape[1]):
            writer.add(*active(coder, x))
