"""Small autoencoders of several layers, trained side by side: every pass of the model serves all of them (Table 3).

Layers stand side by side in one buffer, so that all see the same tokens in the same order. Notation: L layers.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.cache import passes
from vlmscope.multimodal_sae.coder import checkpoint, hooks, sae
from vlmscope.multimodal_sae.coder.sae import SparseCoder
from vlmscope.multimodal_sae.train import run as train_run
from vlmscope.multimodal_sae.train import states
from vlmscope.multimodal_sae.train.buffer import Buffer, Stream
from vlmscope.multimodal_sae.train.trainer import Record, Trainer
from vlmscope.store import tables

LOG = {"layer": pl.Int64, **{name: kind for name, kind in train_run.LOG.items() if name != "tokens_per_s"}}
CODERS = ("trained", "untrained")


def learned(stream: Stream, count: int, own: Mapping[str, Any], device: Any) -> tuple[list[SparseCoder], list[Any]]:
    """Autoencoders of L layers, and (number of the layer, means of the log) at every row of it.

    stream   states of all layers side by side [n, L d]
    own      settings of a training
    """
    d = next(stream.blocks(0))[1].shape[1] // count
    coders = [SparseCoder(train_run.config(own, d), seed=own["seed"]).to(device) for _ in range(count)]
    trainers = [Trainer(coder, train_run.recipe(own)) for coder in coders]
    source = iter(Buffer(stream, own["buffer"], own["batch"], own["seed"]))
    since: list[list[Record]] = [[] for _ in trainers]
    rows = []
    while not _is_done(trainers[0], own):
        parts = next(source).chunk(count, 1)
        for number, (trainer, x) in enumerate(zip(trainers, parts, strict=True)):
            since[number] += filter(None, [trainer.learn(x.to(device))])
            if len(since[number]) == own["log_every"] or (since[number] and _is_done(trainer, own)):
                rows.append((number, since[number]))
                since[number] = []
    return [coder.requires_grad_(False).eval() for coder in coders], rows


def _is_done(trainer: Trainer, own: Mapping[str, Any]) -> bool:
    per_step = 1 if trainer.recipe.official else own["accumulate"]
    return trainer.batches >= own["steps"] * per_step


def logged(rows: list[Any], layers: list[int]) -> pl.DataFrame:
    """`LOG`, in the order of layers and steps."""
    found = [{"layer": layers[number], **train_run.means(since)} for number, since in rows]
    return pl.DataFrame(found, schema=LOG).sort("layer", "step", maintain_order=True)


def from_files(
    loaded: Loaded, *, data: dict[str, Any], cached: dict[str, Any], settings: Mapping[str, Any], target: str
) -> None:
    """Train, and write for every layer a folder with the autoencoder, its untrained control, and a cache of each.

    data       raws, tables, kinds and settings of the training's samples
    cached     raws, tables, batch and code of the pictures that are cached
    settings   site (without a layer), layers, held, train, and what is cached: samples, scope, dtype
    """
    own, layers = settings["train"], sorted(settings["layers"])
    sites = [f"{settings['site']}[{layer}]" for layer in layers]
    take = states.take_at(loaded, sites)
    source = states.streamed(loaded, take, **data, batch=cached["batch"], seed=own["seed"])
    with closing(states.Held(source) if settings["held"] else source) as stream:
        coders, rows = learned(stream, len(layers), own, loaded.device)
    tables.write(logged(rows, layers), Path(target) / "train_log.csv", LOG)
    wanted = {}
    for site, coder in zip(sites, coders, strict=True):
        for name, one in _both(coder, own["seed"]):
            home = Path(target) / hooks.hookpoint(site) / name
            checkpoint.write(one, home / hooks.hookpoint(site))
            wanted[str(home / "cache.h5")] = (site, str(home / hooks.hookpoint(site) / checkpoint.WEIGHTS))
    passes.several(loaded, wanted, **cached, settings=settings)


def _both(coder: SparseCoder, seed: int) -> Iterator[tuple[str, SparseCoder]]:
    """The autoencoder and its control."""
    yield from zip(CODERS, (coder, sae.untrained(coder, seed)), strict=True)


def caches(folder: str | Path) -> dict[str, dict[str, str]]:
    """Hook point -> trained and untrained -> cache, in the order of the layers."""
    found = {path.parent.parent.name for path in Path(folder).glob("*/trained/cache.h5")}
    names = sorted(found, key=lambda name: int(hooks.SITE.fullmatch(hooks.site_of(name))[2]))
    return {name: {coder: str(Path(folder) / name / coder / "cache.h5") for coder in CODERS} for name in names}
