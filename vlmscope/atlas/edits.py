"""Edits of output weights that turn a picture's own answer into another word (mm_neurons.md 2.11, closed form).

For a picture whose own question is answered by s and the word t: rows are added to the columns of the down projection
that belong to s's neurons, the least ones that raise the margin of t over s by what it lacks, at strength 1 and with
the norm held fixed, in other pictures that are answered by s, and leave those answered by other words as they are. The
picture itself is left out.

    edit             these rows             edit elsewhere    the same rows at as many neurons of no word, same layers
    random edit      as at `edit elsewhere`, every row as long and along a direction with the covariance of the states
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vlmscope.atlas import states
from vlmscope.atlas.cases import Case
from vlmscope.atlas.known import Known, Units, others, taken
from vlmscope.atlas.steering import EDIT, ELSEWHERE, RANDOM_EDIT, Way
from vlmscope.mm_neurons.edit import methods
from vlmscope.mm_neurons.runs import columns
from vlmscope.mm_neurons.runs.columns import Added
from vlmscope.mm_neurons.runs.readings import Reading
from vlmscope.models.load import Loaded


@dataclass(frozen=True)
class Answered:
    """A picture whose own question is answered by a word: the position that answers.

    active     word -> float32 [k], activations of its neurons
    state      float32 [d], behind the last block
    log_prob   float32 [V], of the next token
    """

    sample: str
    word: str
    active: Mapping[str, np.ndarray]
    state: np.ndarray
    log_prob: np.ndarray


def usual(answered: Sequence[Answered], word: str) -> np.ndarray:
    """How much higher a word's neurons are where it is the answer than where another one is, float [k]."""
    own, rest = ([one.active[word] for one in answered if (one.word == word) == there] for there in (True, False))
    return np.mean(own, axis=0) - np.mean(rest, axis=0)


def ways(
    loaded: Loaded,
    known: Known,
    word: str,
    asked: Sequence[Case],
    answered: Sequence[Answered],
    token_ids: Mapping[str, int],
    told: Mapping[str, Any],
) -> list[Way]:
    """The edit of every picture, elsewhere, and random ones.

    token_ids   word -> its token
    told        random: draws; seed; preserve, ridge: see `methods.closed_form`
    """
    made = {one.sample: rows(loaded, known, one, token_ids, word, answered, told) for one in asked}
    generator = np.random.default_rng([told["seed"], known.words.index(word), 1])
    drawn = states.random(known.covariance, told["random"], generator)
    away = [_elsewhere(known, asked, made, columns.shape(loaded), generator) for _ in drawn]
    found = [Way(EDIT, 0, edits=made), Way(ELSEWHERE, 0, edits=away[0])]
    for draw, (direction, one) in enumerate(zip(drawn, away, strict=True)):
        turns = {sample: turned(edit, direction) for sample, edit in one.items()}
        found.append(Way(RANDOM_EDIT, draw, edits=turns))
    return found


def rows(
    loaded: Loaded,
    known: Known,
    case: Case,
    token_ids: Mapping[str, int],
    word: str,
    answered: Sequence[Answered],
    told: Mapping[str, Any],
) -> Added:
    """What turns a picture's own answer into a word, made from other pictures."""
    source, rest = case.word, [one for one in answered if one.sample != case.sample]
    tokens, units = (token_ids[source], token_ids[word]), known.neurons[source]
    at, kept = (_reading([one for one in rest if (one.word == source) == there], source) for there in (True, False))
    lacking, weights = methods.gaps(at, tokens), {key: told[key] for key in ("preserve", "ridge")}
    return methods.closed_form(loaded, at, kept, tokens, (units.layer, units.unit), lacking, **weights)


def _reading(answered: Sequence[Answered], word: str) -> Reading:
    """Pictures as the closed form reads them, z of a word's neurons."""
    parts = zip(*((one.active[word], one.state, one.log_prob) for one in answered), strict=True)
    return Reading(*(torch.from_numpy(np.stack(part)) for part in parts))


def _elsewhere(
    known: Known,
    asked: Sequence[Case],
    made: Mapping[str, Added],
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> dict[str, Added]:
    """All edits at neurons of no word; those of one word stay together."""
    used = taken(known.neurons.values(), shape)
    away = {word: others(units, used, generator) for word, units in known.neurons.items()}
    return {one.sample: moved(made[one.sample], away[one.word]) for one in asked}


def moved(edit: Added, chosen: Units) -> Added:
    """The same rows at other neurons of their layers, layers rising; fewer where there are fewer."""
    kept = [edit.of_layer(layer)[1][: int((chosen.layer == layer).sum())] for layer in np.unique(edit.layer)]
    return Added(chosen.layer, chosen.unit, np.concatenate(kept))


def turned(edit: Added, direction: np.ndarray) -> Added:
    """Rows as long as they are, signs kept, along another direction; they are all along one.

    direction   float [d], of length one
    """
    longest = edit.rows[np.abs(edit.rows).sum(axis=1).argmax()]
    lengths = edit.rows @ states.unit(longest)
    return replace(edit, rows=np.outer(lengths, direction).astype(np.float32))
