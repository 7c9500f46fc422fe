"""Many changes of units over the same samples: pictures are looked at once, and changes lie along the batch axis.

A change has a part before the decoder (vision tower, projector, Q-Former) and a part inside it. Samples are embedded
once for every different first part; the decoder then runs on rows, each a sample under one change.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlmscope.capture import taps
from vlmscope.edits import Change, changed
from vlmscope.models import answer
from vlmscope.models.load import Loaded

# Number of a change, row of the batch.
Pair = tuple[int, int]


@dataclass(frozen=True)
class Writing:
    """How the rows of a pass are continued: most tokens, and options of sampling (None: greedy)."""

    max_new_tokens: int
    sampling: dict[str, Any] | None = None


@dataclass(frozen=True)
class Pass:
    """One pass of the decoder.

    pairs     change and sample of each row
    written   tokens behind each prompt; empty where nothing is written
    states    raw output of the last block over the prompt, [row, token, d], where it was asked for
    """

    pairs: tuple[Pair, ...]
    written: list[list[int]]
    states: Tensor | None


@torch.inference_mode()
def passes(
    loaded: Loaded,
    inputs: dict[str, Any],
    changes: Sequence[Change],
    rows: int,
    writing: Writing | None,
    states: bool = False,
) -> Iterator[Pass]:
    """Passes of at most `rows` rows that cover every change of every sample; the first change comes first.

    inputs   tensors of a batch of samples, padded on the left where something is written
    """
    text = [name for name, site in loaded.family.sites.items() if site.stream == "text"]
    waiting: list[tuple[Pair, Tensor]] = []
    for numbers in _by_first_part(loaded, changes):
        with changed(loaded, [changes[numbers[0]].of(_first_sites(loaded))]):
            embedded = embeddings(loaded, inputs)
        waiting += [((number, sample), one) for number in numbers for sample, one in enumerate(embedded)]
        while len(waiting) >= rows:
            yield _pass(loaded, inputs, [one.of(text) for one in changes], waiting[:rows], writing, states)
            waiting = waiting[rows:]
    if waiting:
        yield _pass(loaded, inputs, [one.of(text) for one in changes], waiting, writing, states)


def _first_sites(loaded: Loaded) -> list[str]:
    """Sites before the decoder."""
    return [name for name, site in loaded.family.sites.items() if site.stream in ("vision", "projector")]


def _by_first_part(loaded: Loaded, changes: Sequence[Change]) -> list[list[int]]:
    """Numbers of the changes whose part before the decoder is the same, in the order of their first."""
    groups: dict[Any, list[int]] = {}
    for number, change in enumerate(changes):
        part = change.of(_first_sites(loaded))
        # Without units neither factor nor means play a role.
        key = (repr(part.units), part.factor, id(part.means) if part.means else 0) if part.units else None
        groups.setdefault(key, []).append(number)
    return list(groups.values())


class _Embedded(Exception):
    """Raised where the decoder would begin."""


@torch.inference_mode()
def embeddings(loaded: Loaded, inputs: dict[str, Any]) -> Tensor:
    """Text and picture embeddings that enter block 0, [sample, token, d]; the decoder is not run."""
    seen: list[Tensor] = []

    def stop(layer: int, value: Tensor) -> None:
        seen.append(value)
        raise _Embedded

    with contextlib.suppress(_Embedded), taps.reading(loaded, loaded.family.site("embeds"), [0], stop):
        loaded.model(**inputs, use_cache=False, logits_to_keep=1)
    return seen[0]


def decoder(loaded: Loaded) -> Any:
    """The part of the model that writes from embeddings: what owns the head."""
    return loaded.model.get_submodule(loaded.family.head.rpartition(".")[0])


def flags(loaded: Loaded, ids: Tensor) -> dict[str, Tensor]:
    """What a decoder has to be told beside embeddings: which of them are a picture's, by the ids in their places."""
    name = loaded.family.flags
    return {name: ids == loaded.family.image_token(loaded.config)} if name else {}


def _pass(
    loaded: Loaded,
    inputs: dict[str, Any],
    changes: Sequence[Change],
    rows: Sequence[tuple[Pair, Tensor]],
    writing: Writing | None,
    states: bool,
) -> Pass:
    pairs = tuple(pair for pair, _ in rows)
    samples = [sample for _, sample in pairs]
    tensors = {key: inputs[key][samples] for key in ("input_ids", "attention_mask")}
    tensors |= {"inputs_embeds": torch.stack([one for _, one in rows])} | flags(loaded, tensors["input_ids"])
    with changed(loaded, [changes[number] for number, _ in pairs]), _last_block(loaded, states) as seen:
        if writing:
            written = answer.new_tokens(loaded, tensors, writing.max_new_tokens, writing.sampling, decoder(loaded))
        else:
            written = []
            _prefill(loaded, tensors)
    return Pass(pairs, written, seen[0] if states else None)


def _prefill(loaded: Loaded, tensors: dict[str, Any]) -> None:
    """The decoder over the prompts alone; padding may stand on either side."""
    mask = tensors["attention_mask"]
    places = (mask.cumsum(1) - 1).clamp(min=0)
    decoder(loaded)(
        **{key: one for key, one in tensors.items() if key != "input_ids"},
        position_ids=places,
        use_cache=False,
        logits_to_keep=1,
    )


@contextlib.contextmanager
def _last_block(loaded: Loaded, wanted: bool) -> Iterator[list[Tensor]]:
    """The raw output of the last block at its first call, which is the prompt's."""
    seen: list[Tensor] = []
    if not wanted:
        yield seen
        return
    site = loaded.family.site("resid_post")

    def first(layer: int, value: Tensor) -> None:
        if not seen:
            seen.append(value)

    with taps.reading(loaded, site, [site.layers(loaded.config) - 1], first):
        yield seen
