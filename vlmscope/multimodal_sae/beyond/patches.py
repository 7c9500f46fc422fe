"""The pass behind everything that is asked of patches: states, what they show, active latents, domain neurons."""

import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from vlmscope import samples
from vlmscope.capture import places, taps
from vlmscope.capture.plan import Take
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs, placement
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.beyond import patch_files
from vlmscope.multimodal_sae.beyond.patch_files import Patches, Units
from vlmscope.multimodal_sae.cache import examples, first_view, passes
from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.multimodal_sae.coder import checkpoint, hooks
from vlmscope.multimodal_sae.coder.sae import SparseCoder
from vlmscope.multimodal_sae.explain import naming as explain_naming
from vlmscope.multimodal_sae.explain import oracle
from vlmscope.multimodal_sae.quality import loop
from vlmscope.multimodal_sae.score.classes import targets
from vlmscope.multimodal_sae.train import states
from vlmscope.raw import read_manifest
from vlmscope.session import progress
from vlmscope.store import files

log = logging.getLogger(__name__)
# The site of neurons, and the group of neurons that writes into the decoder's stream.
NEURONS, MODULE = "mlp_gate", "lang"
# What is read of a table of domain neurons.
CHOSEN = ("module", "layer", "index", "domain", "entropy")


@torch.inference_mode()
def seen(
    loaded: Loaded,
    site: str,
    chosen: Sequence[Any],
    picture: Callable[[int], Any],
    neurons: Mapping[int, Sequence[int]],
    batch: int,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """States [P, B, d], activations of neurons [P, B, neuron] and looks of pictures; the prompt is the picture alone.

    neurons   layer -> units, in the order of the layers
    """
    take, found = states.take_of(loaded, site), {}
    rounds = list(inputs.batches(loaded, [passes.PROMPT] * len(chosen), chosen, batch))
    # No token sees those behind it: where tiles follow the first view, they are left out.
    alone = first_view.known(loaded)
    for rows in progress(rounds, len(rounds), "batches"):
        shown = [picture(row) for row in rows]
        tensors = inputs.encode(loaded, [passes.PROMPT] * len(rows), shown, side="right")
        with first_view.alone(loaded) if alone else contextlib.nullcontext():
            given = inputs.Batch(rows, first_view.cut(loaded, tensors) if alone else tensors)
            read = _read(loaded, take, given, neurons)
        for row, one, state, value in zip(rows, shown, *read, strict=True):
            found[row] = state, value, examples.fingerprint(one)
    x, values, looks = zip(*(found[row] for row in range(len(chosen))), strict=True)
    return np.stack(x), np.stack(values), list(looks)


def _read(
    loaded: Loaded, take: Take, batch: inputs.Batch, neurons: Mapping[int, Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """States and activations of neurons at the first views of a batch, [P, B, ..] each."""
    place, read = loaded.family.site(NEURONS), {}
    with taps.reading(loaded, place, list(neurons), lambda layer, value: read.update({layer: value})):
        x = states.states(loaded, take, batch)
    wanted = _wanted(loaded, batch)
    kept = x[wanted[places.positions("all", batch, loaded.family.image_token(loaded.config))].to(x.device)]
    values = [read[layer][wanted.to(read[layer].device)][:, list(units)] for layer, units in neurons.items()]
    fired = torch.cat([one.float().cpu() for one in values], 1) if values else torch.zeros(len(kept), 0)
    return tuple(one.float().cpu().unflatten(0, (len(batch.rows), -1)).numpy() for one in (kept, fired))


def _wanted(loaded: Loaded, batch: inputs.Batch) -> torch.Tensor:
    """Image tokens of the first view, bool [sample, token]; as many of them in every picture."""
    found = places.positions("image", batch, loaded.family.image_token(loaded.config))
    base = loop.base_positions(loaded, 0)
    found &= found.cumsum(1) <= base
    if not base or (found.sum(1) < base).any():
        raise VlmscopeError(
            "Pictures of this model have no first view of a fixed size, so patches cannot be compared.",
            where=f"run.multimodal_sae: a model of the family {loaded.family.name}",
            instead="a model of the LLaVA kind",
        )
    return found


def coded(coder: SparseCoder, looks: Sequence[str], x: np.ndarray) -> Active:
    """Active latents of states [P, B, d]."""
    flat = torch.from_numpy(x.reshape(-1, x.shape[2]))
    parts = [passes.active(coder, some) for some in flat.split(max(1, (1 << 26) // coder.config.latents))]
    most = max(idx.shape[1] for idx, _ in parts)
    idx, val = (np.concatenate([_wide(part, most) for part in some]) for some in zip(*parts, strict=True))
    return Active(looks, coder.config.latents, x.shape[1], idx.astype(np.int64), val)


def _wide(part: np.ndarray, most: int) -> np.ndarray:
    """Columns of zeros behind those of a part, for variants without a fixed number of active latents."""
    return np.pad(part, ((0, 0), (0, most - part.shape[1])))


def neurons_of(table: str, layers: int, width: int, most: int, seed: int) -> pl.DataFrame:
    """Domain neurons of the first layers, the `most` of lowest entropy per domain, and as many others beside them.

    returns   layer, unit, domain (empty for the others), by layer and unit
    """
    try:
        every = pl.read_parquet(table, columns=list(CHOSEN))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise VlmscopeError(f"The table of neurons cannot be read: {error}", where=table) from None
    own = every.filter(pl.col("module") == MODULE, pl.col("layer") < layers).sort("entropy", maintain_order=True)
    best = own.group_by("domain", maintain_order=True).head(most).rename({"index": "unit"})
    taken = set(own.select("layer", "index").iter_rows())
    generator, rows = np.random.default_rng(seed), best.select("layer", "unit", "domain").rows()
    for layer, count in best.group_by("layer").len().sort("layer").rows():
        free = [unit for unit in range(width) if (layer, unit) not in taken]
        drawn = generator.choice(free, min(count, len(free)), replace=False)
        rows += [(layer, int(unit), "") for unit in drawn]
    kinds = {"layer": pl.Int64, "unit": pl.Int64, "domain": pl.String}
    return pl.DataFrame(rows, schema=kinds, orient="row").sort("layer", "unit", "domain")


def columns(loaded: Loaded, layer: int, units: Sequence[int]) -> np.ndarray:
    """What neurons of a layer write into the stream, float32 [neuron, d]."""
    matrix = taps.module_at(loaded.model, loaded.family.site(NEURONS).columns, layer).weight
    if matrix.is_meta or not matrix.is_floating_point():
        raise VlmscopeError(
            "The weights of this model are packed (quantised) or offloaded: columns of neurons cannot be read.",
            where=f"down projection of layer {layer}",
            instead="models.*.quantize: none, or multimodal_sae.beyond.neurons: 0",
        )
    return matrix.detach()[:, list(units)].T.float().cpu().numpy()


def from_files(
    loaded: Loaded,
    *,
    coders: Mapping[str, str],
    raws: Sequence[str],
    tables: Sequence[str],
    neurons: Sequence[str],
    settings: dict[str, Any],
    batch: int,
    code: str,
    target: str,
) -> None:
    """Write the patches of the first samples of some datasets.

    coders     name -> sae.safetensors in the autoencoder's folder
    neurons    the table of domain neurons, where it is compared with
    settings   site, samples, segmenter, neurons, seed
    """
    names = [one.sample for table in tables for one in samples.read(table)[: settings["samples"]]]
    own, picture = explain_naming.pictures(raws, tables, names)
    units = _units(loaded, neurons, settings)
    lists = {layer: part["unit"].to_list() for (layer,), part in units.group_by("layer", maintain_order=True)}
    x, values, looks = seen(loaded, settings["site"], own, picture, lists, batch)
    words, shows = _shown(own, picture, x.shape[1], settings["segmenter"])
    active = {name: coded(_coder(loaded, path), looks, x) for name, path in coders.items()}
    kept = None
    if len(units):
        where = {name: units[name].to_numpy() for name in ("layer", "unit")}
        rows = np.concatenate([columns(loaded, layer, some) for layer, some in lists.items()])
        kept = Units(units["domain"].to_list(), **where, columns=rows, values=values.reshape(-1, len(units)))
    recipe = {
        "model": loaded.about["fingerprint"],
        "precision": placement.precision(loaded.about),
        "coders": {name: files.digest(path) for name, path in coders.items()},
        "data": [read_manifest(raw)["digest"] for raw in raws],
        "settings": settings,
        "code": code,
    }
    patch_files.write(target, names, Patches(looks, x, words, shows, active, kept), recipe)


def _coder(loaded: Loaded, path: str) -> SparseCoder:
    return checkpoint.read(Path(path).parent).to(loaded.device).requires_grad_(False)


def _units(loaded: Loaded, tables: Sequence[str], settings: Mapping[str, Any]) -> pl.DataFrame:
    """Neurons that write into the stream up to the site; none where no table is given."""
    if not tables:
        return pl.DataFrame(schema={"layer": pl.Int64, "unit": pl.Int64, "domain": pl.String})
    place = hooks.SITE.fullmatch(settings["site"])
    assert place is not None
    # The MLP of a block has not written yet where its attention's output is read.
    layers = int(place[2]) + (place[1] != "attn_out")
    width = loaded.family.site(NEURONS).width(loaded.config)
    return neurons_of(tables[0], layers, width, settings["neurons"], settings["seed"])


def _shown(own: Sequence[Any], picture: Any, base: int, segmenter: str) -> tuple[dict[str, str], np.ndarray]:
    """Words with their kinds, and where they are shown [P, word, B]; none where there are no masks."""
    if segmenter != "truth":
        log.info("There are no ground-truth masks, so no words are looked at.")
        return {}, np.zeros((len(own), 0, base), bool)
    truth = oracle.Truth(own, picture)
    return truth.words, targets(truth, list(truth.words), len(own), math.isqrt(base))
