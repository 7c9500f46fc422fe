"""Captions of pictures whose image tokens changed places, and the neurons behind their nouns (mm_neurons.md 2.8).

Position numbers and masks stay; see `edits.shuffled`. Neurons are listed as in `ranking`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from vlmscope.capture import batches, taps
from vlmscope.capture.run import forward
from vlmscope.edits import shuffled
from vlmscope.mm_neurons.image.units import SITES
from vlmscope.mm_neurons.rank import ranking
from vlmscope.mm_neurons.rank.lists import Entry
from vlmscope.mm_neurons.rank.ranking import Target
from vlmscope.models import answer
from vlmscope.models.base import Family
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded
from vlmscope.store.hdf5 import FP16_LARGEST
from vlmscope.store.weights import Weights

# Baselines that do not look at the picture would be the same again.
METHODS = ("contribution", "contribution_negative", "activation", "multi_token")
Orders = Sequence[Sequence[int]]


def order(count: int, seed: int, sample: str, permutation: int) -> list[int]:
    """A permutation of a sample's image tokens: position p then holds token order[p].

    Each sample has a seed of its own, so that it does not depend on those before it [differs: mm_neurons.md 2.8].
    """
    drawn = torch.Generator().manual_seed(answer.seed_of(seed, sample, permutation))
    return torch.randperm(count, generator=drawn).tolist()


def orders(loaded: Loaded, batch: Batch, names: Sequence[str], seed: int, permutation: int) -> list[list[int]]:
    """One for every row of a batch of prompts."""
    counts = (batch.inputs["input_ids"] == loaded.family.image_token(loaded.config)).sum(1).tolist()
    return [order(count, seed, name, permutation) for count, name in zip(counts, names, strict=True)]


def written(loaded: Loaded, batch: Batch, chosen: Orders, max_new_tokens: int) -> list[list[int]]:
    """New captions of a batch of prompts, each with the token that ended it.

    Tokens change places in the prompt alone; the released code looks for them in every step, and with a cache ends at
    the second [differs: mm_neurons.md 8 B13].
    """
    padded = batches.left_padded(batch.inputs)
    with shuffled(loaded, padded, chosen):
        return answer.new_tokens(loaded, padded, max_new_tokens, keep_end=True)


@torch.inference_mode()
def activations(
    loaded: Loaded,
    batch: Batch,
    chosen: Orders,
    captions: Sequence[Sequence[int]],
    places: Sequence[tuple[int, int]],
    kinds: Sequence[str],
) -> dict[str, Tensor]:
    """What the neurons do where tokens of captions are written, by activation: [place, layer, unit], on the host.

    batch      prompts
    captions   tokens behind each prompt
    places     row of the batch and place in its caption
    Values are rounded as a capture keeps them.
    """
    whole = batches.appended(batch, captions)
    row = torch.tensor([row for row, _ in places])
    token = torch.tensor([whole.starts[row] + place - 1 for row, place in places])
    seen: dict[str, dict[int, Tensor]] = {kind: {} for kind in kinds}
    with shuffled(loaded, whole.inputs, chosen), ExitStack() as hooks:
        for kind, layers in seen.items():
            site = loaded.family.site(SITES[kind])
            see = _picking(layers, row, token)
            hooks.enter_context(taps.reading(loaded, site, range(site.layers(loaded.config)), see))
        forward(loaded, whole)
    return {kind: _half(torch.stack([layers[one] for one in sorted(layers)], 1)) for kind, layers in seen.items()}


def _picking(found: dict[int, Tensor], row: Tensor, token: Tensor) -> Any:
    def see(layer: int, value: Tensor) -> None:
        found[layer] = value[row.to(value.device), token.to(value.device)].float().cpu()

    return see


def _half(values: Tensor) -> Tensor:
    return values.half() if not values.numel() or values.abs().max() <= FP16_LARGEST else values


class Projections:
    """Projections of tokens, kept until they are too many; the same nouns come again and again."""

    def __init__(self, weights: Weights, family: Family, layers: int, units: int, settings: Mapping[str, Any]) -> None:
        self.given, self.most = (weights, family, layers), max(1, ranking.MOST_VALUES // (layers * units))
        self.settings = {key: settings[key] for key in ("precision", "fold_norm")}
        self.kept: dict[int, Tensor] = {}

    def of(self, tokens: set[int]) -> dict[int, Tensor]:
        """Token -> [layer, unit], at least of these tokens."""
        if len(self.kept.keys() | tokens) > self.most:
            self.kept = {token: self.kept[token] for token in self.kept.keys() & tokens}
        if new := sorted(tokens - self.kept.keys()):
            self.kept |= ranking.projections(*self.given, new, **self.settings)
        return self.kept


def entries(
    found: Mapping[str, Tensor],
    targets: Sequence[Target],
    projections: Projections,
    run: str,
    settings: Mapping[str, Any],
) -> Iterator[Entry]:
    """Lists of the nouns of a batch.

    found      from `activations`: all tokens of the first target, then those of the next
    run        what the methods' names end with
    settings   precision, keep, keep_others, seed of the lists
    """
    projected = projections.of({token for target in targets for token in target.tokens})
    told = {key: settings[key] for key in ("precision", "keep", "keep_others", "seed")}
    for kind, values in found.items():
        parts = values.split([len(target.tokens) for target in targets])
        for target, part in zip(targets, parts, strict=True):
            for method, neurons in ranking.of_noun(target, list(part), projected, **told):
                if method in METHODS:
                    yield Entry(kind, f"{method}.{run}", target.sample, target.noun, neurons)
