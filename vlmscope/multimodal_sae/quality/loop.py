"""The quality of an autoencoder on held-out pictures: its states, and the model with the layer's output replaced.

The model writes its greedy answer first; losses are those of the text behind the picture, prompt and answer.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor

from vlmscope import edits
from vlmscope.capture import batches, run, taps
from vlmscope.capture.plan import Take
from vlmscope.models import inputs, parts
from vlmscope.models.base import Site
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.quality import measures
from vlmscope.multimodal_sae.quality.measures import Coder, Firing, Losses, Sums
from vlmscope.session import progress

log = logging.getLogger(__name__)
QUALITY = {"coder": pl.String, "scope": pl.String, "metric": pl.String, "value": pl.Float64, "n_tokens": pl.Int64}
DENSITY = {"coder": pl.String, "low": pl.Float64, "high": pl.Float64, "latents": pl.Int64}
TEXTS = ("text", "answer")
# What a reader who knows the published work would stumble over.
NOTES = (
    "No quality figures of the published autoencoder are known.",
    "ev and fvu take the mean over all tokens of a scope; released logs over pictures: fvu_official.",
    "ev_saebench is wrong as a share of variance, and there for comparison with SAEBench 0.6 alone.",
    "Losses in the loop are those of the text behind a picture; the answer is the model's own, written greedily.",
)


@dataclass(frozen=True)
class Looked:
    """What is looked at: the model's site, coders by name, and whether first positions stay as they are in the loop."""

    loaded: Loaded
    take: Take
    coders: Mapping[str, Coder]
    keep_first: bool

    @property
    def site(self) -> Site:
        """The site of the states."""
        return self.loaded.family.site(self.take.site)


def scopes(loaded: Loaded, batch: inputs.Batch) -> dict[str, Tensor]:
    """Kinds of positions, bool [sample, token]: all, all but the first, base view, further views, text, answer."""
    real = batch.inputs["attention_mask"].bool()
    image = real & (batch.inputs["input_ids"] == loaded.family.image_token(loaded.config))
    base = image & (image.cumsum(1) <= base_positions(loaded, image.shape[1]))
    places = torch.arange(real.shape[1], device=real.device)
    starts = torch.tensor(batch.starts, device=real.device)[:, None]
    return {
        "all": real,
        "all_but_first": real & (places > 0),
        "base_image": base,
        "other_image": image & ~base,
        "text": real & ~image,
        "answer": real & (places >= starts),
    }


def base_positions(loaded: Loaded, most: int) -> int:
    """Image positions of the first view; all of them in families whose pictures have no square one."""
    return parts.patches(loaded.config) if loaded.family.name in inputs.SQUARES else most


@torch.inference_mode()
def measure(
    looked: Looked, stream: Iterator[inputs.Batch], rounds: int, latents: Mapping[str, int]
) -> tuple[dict[tuple[str, str], Sums], dict[str, Firing], Losses]:
    """Sums by coder and scope, firing by coder, losses in the loop.

    latents   how many every coder has
    """
    sums: dict[tuple[str, str], Sums] = {}
    firing = {name: Firing(count) for name, count in latents.items()}
    losses = Losses()
    for batch in progress(stream, rounds, "batches"):
        kinds = scopes(looked.loaded, batch)
        columns = _columns(kinds["text"])
        states, clean = _clean(looked, batch, columns)
        _add_states(looked, states, kinds, sums, firing)
        _add_losses(looked, batch, kinds, columns, clean, losses)
    return sums, firing, losses


def _columns(text: Tensor) -> Tensor:
    """Positions whose next token is text in one of the samples."""
    return text[:, 1:].any(0).nonzero().squeeze(1).cpu()


def _clean(looked: Looked, batch: inputs.Batch, columns: Tensor) -> tuple[Tensor, Tensor]:
    """States [sample, token, d] and log-probabilities [sample, column, V] as they are."""
    found: list[Tensor] = []
    with taps.reading(looked.loaded, looked.site, looked.take.layers, lambda layer, value: found.append(value)):
        logits = run.forward(looked.loaded, batch, columns).logits
    return found[0], logits.float().log_softmax(-1)


def _add_states(
    looked: Looked,
    states: Tensor,
    kinds: Mapping[str, Tensor],
    sums: dict[tuple[str, str], Sums],
    firing: dict[str, Firing],
) -> None:
    """States, picture by picture."""
    for row, picture in enumerate(states):
        real = kinds["all"][row].to(picture.device)
        x = picture[real]
        for name, coder in looked.coders.items():
            found = coder(x)
            firing[name].add(found)
            for kind, mask in kinds.items():
                own = mask[row].to(picture.device)[real]
                part = measures.Taken(*(one[own] for one in found))
                sums.setdefault((name, kind), Sums(x.shape[1])).add(x[own], part)


def _add_losses(
    looked: Looked,
    batch: inputs.Batch,
    kinds: Mapping[str, Tensor],
    columns: Tensor,
    clean: Tensor,
    losses: Losses,
) -> None:
    """The pass once more for every coder, and with states of zero."""
    ids = batch.inputs["input_ids"]
    target = ids[:, columns.to(ids.device) + 1].to(clean.device)
    wanted = {kind: kinds[kind][:, columns.to(ids.device) + 1].to(clean.device) for kind in TEXTS}
    replacing: dict[str, Callable[[Tensor], Tensor] | None] = {"clean": None, "zero": torch.zeros_like}
    replacing |= {name: lambda x, coder=coder: coder(x).out for name, coder in looked.coders.items()}
    for name, change in replacing.items():
        other = clean
        if change is not None:
            kept = first(batch.inputs) if looked.keep_first else None
            with replaced(looked.loaded, looked.site, looked.take.layers[0], change, kept):
                other = run.forward(looked.loaded, batch, columns).logits.float().log_softmax(-1)
        for kind, mask in wanted.items():
            losses.add(kind, name, clean[mask], other[mask].to(clean.device), target[mask])


def first(tensors: Mapping[str, Tensor]) -> Tensor:
    """The first position of every prompt, bool [sample, token]."""
    real = tensors["attention_mask"].bool()
    return real & (real.cumsum(1) == 1)


@contextlib.contextmanager
def replaced(
    loaded: Loaded, site: Site, layer: int, change: Callable[[Tensor], Tensor], kept: Tensor | None = None
) -> Iterator[None]:
    """Inside, states of the site [n, d] are what `change` makes of them.

    kept   bool [sample, token]: positions of the prompt that keep their own state
    """

    def cut(value: Tensor) -> Tensor:
        out = change(value.flatten(0, 1)).view_as(value).to(value.dtype)
        # A call over fewer positions is about tokens that were written.
        if kept is not None and kept.shape == value.shape[:2]:
            mask = kept.to(value.device)
            out[mask] = value[mask]
        return out

    handle = edits.hook(taps.module_at(loaded.model, site.path, layer), site.side, cut)
    try:
        yield
    finally:
        handle.remove()


def table(
    sums: Mapping[tuple[str, str], Sums],
    firing: Mapping[str, Firing],
    losses: Losses,
    shapes: Mapping[str, Mapping[str, float]],
) -> pl.DataFrame:
    """All numbers, a row each; `shapes` has those of the directions by coder."""
    rows: list[tuple[Any, ...]] = []
    for (name, kind), one in sums.items():
        rows += [(name, kind, metric, value, one.tokens) for metric, value in one.metrics().items()]
    for name, one in firing.items():
        rows += [(name, "all", metric, value, one.tokens) for metric, value in one.metrics().items()]
    for kind, count in losses.tokens.items():
        for name in dict.fromkeys(condition for _, condition, _ in losses.sums):
            rows += [(name, kind, metric, value, count) for metric, value in losses.metrics(kind, name).items()]
    for name, one in shapes.items():
        rows += [(name, "directions", metric, value, 0) for metric, value in one.items()]
    return pl.DataFrame(rows, schema=QUALITY, orient="row").with_columns(pl.col("value").fill_nan(None))


def written(
    loaded: Loaded, samples: Sequence[Any], prompts: Sequence[str], pictures: Sequence[Any], batch: int, most: int
) -> tuple[Iterator[inputs.Batch], int]:
    """Batches with the greedy answer behind each prompt, and how many there are."""

    def plain() -> Iterator[inputs.Batch]:
        for rows in inputs.batches(loaded, list(prompts), samples, batch):
            shown = [pictures[row](samples[row]) for row in rows]
            yield inputs.Batch(rows, inputs.encode(loaded, [prompts[row] for row in rows], shown, side="right"))

    return batches.answered(loaded, plain(), most), inputs.rounds(loaded, samples, batch)
