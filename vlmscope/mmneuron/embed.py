"""One vector per picture from a model's own vision tower (mmneuron.md 2.10)."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import torch
from torch import Tensor

from vlmscope.capture import batches, run, shard, taps
from vlmscope.datasets import base
from vlmscope.mmneuron.schemas import EMBEDDINGS
from vlmscope.models import parts
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress

# Names of the norm behind the last block, and of the parameter that is the class token, in towers of transformers.
NORMS = ("post_layernorm", "layernorm", "norm", "ln_post")
CLASS_TOKENS = ("class_embedding", "cls_token")
# Families that put the view of the whole picture behind its tiles; the others put it first.
WHOLE_LAST = ("idefics3", "internvl")


@dataclass(frozen=True)
class Reader:
    """Where a picture's vector is read.

    norm      module path of the tower's last norm, "" where there is none that is computed
    classed   the tower has a class token, which stands first
    view      which of a picture's views is the whole picture
    """

    norm: str
    classed: bool
    view: int

    def words(self) -> str:
        """What the vector is, for the metadata."""
        what = "class token" if self.classed else "mean over patches"
        where = f"behind {self.norm}" if self.norm else "behind the last block of the tower, which has no norm"
        return f"{what} {where}, view of the whole picture"


def reader(loaded: Loaded) -> Reader:
    """How a model's tower is read: class token and last norm where it has them, else the mean over patches."""
    block = loaded.family.site("vision_resid").path.partition(".{l}")[0]
    # The norm stands beside the list of blocks, or one level further up.
    roots = [block.rpartition(".")[0], block.rpartition(".")[0].rpartition(".")[0]]
    found = [f"{root}.{name}" for root in roots if root for name in NORMS if _has(loaded.model, f"{root}.{name}")]
    towers = [loaded.model.get_submodule(root) for root in roots if root]
    names = [name for tower in towers for name, _ in tower.named_parameters()]
    classed = any(name.rpartition(".")[2] in CLASS_TOKENS for name in names)
    return Reader(found[0] if found else "", classed, -1 if loaded.family.name in WHOLE_LAST else 0)


def _has(model: Any, path: str) -> bool:
    return any(name == path for name, _ in model.named_modules())


@torch.inference_mode()
def vectors(loaded: Loaded, samples: Sequence[Sample], stream: Iterable[Any], chosen: Reader) -> Tensor:
    """Vectors float32 [sample, width] on the host; the stream has one picture to a batch, in any order."""
    found: dict[int, Tensor] = {}
    for batch in stream:
        seen = []
        with _reading(loaded, chosen, seen):
            run.forward(loaded, batch)
        found[batch.rows[0]] = _one(seen[0], chosen).float().cpu()
    return torch.stack([found[row] for row in range(len(samples))])


@contextlib.contextmanager
def _reading(loaded: Loaded, chosen: Reader, seen: list[Tensor]) -> Iterator[None]:
    """Collect what the norm, or the last block, gives; some towers apply their norm again to what they pooled."""
    site = loaded.family.site("vision_resid")
    if chosen.norm:
        site = replace(site, path=chosen.norm, side="output", layers=parts.one)
    with taps.reading(loaded, site, [site.layers(loaded.config) - 1], lambda layer, value: seen.append(value)):
        yield


def _one(value: Tensor, chosen: Reader) -> Tensor:
    """The picture's vector [width] from states [view, patch, width], pooled [view, width], or [patch, width]."""
    if value.ndim == 3:
        value = value[chosen.view]
        return value[0] if chosen.classed else value.mean(0)
    return value[chosen.view] if chosen.classed else value.mean(0)


def different(samples: Iterable[Sample], most: int) -> list[Sample]:
    """The first samples with pictures of their own, each picture once."""
    found: dict[tuple[str, ...], Sample] = {}
    for sample in samples:
        found.setdefault(sample.images, sample)
    return list(found.values())[:most]


def from_files(
    loaded: Loaded,
    *,
    raws: Sequence[str],
    samples: Sequence[str],
    domains: Sequence[str],
    kinds: Mapping[str, str],
    most: int,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Vectors of the pictures of all domains (`schemas.EMBEDDINGS`), and how they were read.

    raws, samples   files in the order of the domains
    kinds           domain -> benchmark format
    most            different pictures per domain
    """
    chosen, frames = reader(loaded), []
    for domain, raw, path in zip(domains, raws, samples, strict=True):
        asked = different(read(path), most)
        prompt = shard.prompts(loaded, base.load(kinds[domain]), "simple")
        # One picture at a time: in a batch the tiles of several pictures stand side by side.
        stream = batches.prefill(loaded, asked, prompt, batches.picture_of(read_manifest(raw)["root"]), 1)
        found = vectors(loaded, asked, progress(stream, len(asked), f"pictures of {domain}"), chosen)
        columns = {"domain": [domain] * len(asked), "sample": [one.sample for one in asked], "vector": found.tolist()}
        frames.append(pl.DataFrame(columns, schema=EMBEDDINGS))
    model = {key: loaded.about.get(key) for key in ("checkpoint", "revision", "fingerprint", "dtype")}
    return pl.concat(frames), {"embedding": chosen.words(), "family": loaded.family.name, "model": model}
