"""Ways to steer to a word, side by side, each at the strength at which it disturbs the next token equally.

On pictures that do not show the word t. Asked is the picture's own question, where t is wrong, and after two other
objects, one that is there and one that is not ("is there a cup?").
    gain   rise of log p(t) behind the question           loss   fall of log p of the right answers about the others
    KL     of the next token behind the question, clean from steered, in nats
Strengths are matched on pictures apart by the geometric mean of the KL over pictures: in the plain mean the few
pictures whose answer turns over outweigh all others, and it is not the same twice. A grid is tried, log KL is
interpolated over log strength, and the result is tried once more. All other pictures are held out. Every position of
the prompt is changed, and nothing is written.

    concept   direction of the states that wrote t          latent   decoder direction of the latent that tells t best
    logit     unembedding of t less that of the others, times the gain of the final norm
    neurons   t's neurons, moved towards what they are where t is the answer
    random    directions with the covariance of the states; as many neurons of the same layers, moved as far
    edit      output weights of the neurons of the picture's own answer, see `edits`; elsewhere and random beside it
Directions have the length of a mean state times the strength, behind the autoencoder's block.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlmscope.atlas import latents, states
from vlmscope.atlas.cases import Case
from vlmscope.atlas.known import Known, Units, others, taken
from vlmscope.edits import Change, changed
from vlmscope.llava_interp.asking import prompts
from vlmscope.llava_interp.asking.experiments import Bench
from vlmscope.llava_interp.asking.prompts import Row
from vlmscope.mm_neurons.runs import columns, readings
from vlmscope.mm_neurons.runs.columns import Added
from vlmscope.models.load import Loaded
from vlmscope.pushes import Push, pushed

RANDOM, RANDOM_NEURONS = "random", "random neurons"
EDIT, ELSEWHERE, RANDOM_EDIT = "edit", "edit elsewhere", "random edit"
METHODS = ("concept", "latent", "neurons", "logit", EDIT, ELSEWHERE, RANDOM, RANDOM_NEURONS, RANDOM_EDIT)


@dataclass(frozen=True)
class Way:
    """One way to steer, at strength 1.

    push     float [d], added behind the block; or
    change   what is added to neurons at every position: float [L, U] of the input of the down projection; or
    edits    sample -> what is added to output weights
    """

    method: str
    draw: int
    push: np.ndarray | None = None
    change: np.ndarray | None = None
    edits: Mapping[str, Added] | None = None


# ---- ways ---------------------------------------------------------------------------------------------------------


def ways(
    loaded: Loaded, known: Known, word: str, usual: np.ndarray, token_ids: Mapping[str, int], random: int, seed: int
) -> list[Way]:
    """All ways to steer to a word.

    usual       float [k]: how much higher its neurons are where it is the answer than elsewhere
    token_ids   word -> its token
    random      draws of what is random
    """
    generator = np.random.default_rng([seed, known.words.index(word)])
    latent = known.latents[word][0][0]
    directions = {
        "concept": known.scales[known.block][word].direction,
        "latent": latents.decoder(known.coder)[latent],
        "logit": logit_direction(loaded, word, token_ids),
    }
    pushes = [Way(name, 0, push=known.length * states.unit(one)) for name, one in directions.items()]
    drawn = states.random(known.covariance, random, generator)
    pushes += [Way(RANDOM, draw, push=known.length * one) for draw, one in enumerate(drawn)]
    site = loaded.family.site("mlp_hidden")
    shape = site.layers(loaded.config), site.width(loaded.config)
    moved = [Way("neurons", 0, change=spread(known.neurons[word], usual, shape))]
    for draw in range(random):
        chosen, sizes = beside(known.neurons[word], usual, taken(known.neurons.values(), shape), generator)
        moved.append(Way(RANDOM_NEURONS, draw, change=spread(chosen, sizes, shape)))
    return [*pushes, *moved]


def logit_direction(loaded: Loaded, word: str, token_ids: Mapping[str, int]) -> np.ndarray:
    """Unembedding row of a word less the mean of the others', times the gain of the final norm: float64 [d]."""
    head, gain = readings.head(loaded), readings.gain(loaded).double().cpu().numpy()
    rows = {name: head[token].detach().double().cpu().numpy() for name, token in token_ids.items()}
    rest = np.mean([row for name, row in rows.items() if name != word], axis=0)
    return (rows[word] - rest) * gain


def beside(
    own: Units, sizes: np.ndarray, taken: np.ndarray, generator: np.random.Generator
) -> tuple[Units, np.ndarray]:
    """As many neurons of each layer that belong to no word, with these sizes in another order and of random sign."""
    found, moved = others(own, taken, generator), []
    for layer in np.unique(own.layer):
        count = int((found.layer == layer).sum())
        signs = generator.choice([-1.0, 1.0], count)
        moved.append(generator.permutation(sizes[own.layer == layer])[:count] * signs)
    return found, np.concatenate(moved)


def spread(chosen: Units, sizes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Values of some neurons among all, float32 [L, U]."""
    found = np.zeros(tuple(shape), np.float32)
    found[chosen.layer, chosen.unit] = sizes
    return found


# ---- passes -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def steered(
    loaded: Loaded, block: int, way: Way | None, strength: float, mask: Tensor, samples: Sequence[str]
) -> Iterator[None]:
    """The model under one way to steer; edits row by row, all else alike; `None` leaves it alone.

    samples   pictures of the rows
    """
    if way is None:
        yield
    elif way.edits is not None:
        each = [way.edits[sample] for sample in samples]
        with columns.added(loaded, [replace(one, rows=np.float32(strength) * one.rows) for one in each]):
            yield
    elif way.push is not None:
        with pushed(loaded, [[Push(block, torch.as_tensor(way.push, dtype=torch.float32), strength)]], mask):
            yield
    else:
        units = {layer: np.flatnonzero(row).tolist() for layer, row in enumerate(way.change) if row.any()}
        change = Change({"mlp_hidden": units}, 1.0, {"mlp_hidden": strength * torch.as_tensor(way.change)})
        with changed(loaded, [change]):
            yield


@torch.inference_mode()
def logits(bench: Bench, block: int, asked: Sequence[Case], way: Way | None, strength: float) -> Tensor:
    """Logits behind the three prompts of every case, float32 [row, vocabulary] on the host."""
    rows: list[Row] = [(prompt, ()) for one in asked for prompt in (one.question, one.there, one.absent)]
    samples, found = [one.sample for one in asked for _ in range(3)], []
    for start in range(0, len(rows), bench.batch):
        here = slice(start, start + bench.batch)
        tensors = prompts.padded(bench.loaded, rows[here], None)
        with steered(bench.loaded, block, way, strength, tensors["attention_mask"], samples[here]):
            found.append(prompts.behind(bench.loaded, tensors).float().cpu())
    return torch.cat(found)


@dataclass(frozen=True)
class Answers:
    """What the model answers about some cases: log probabilities.

    next     float64 [case, vocabulary]   behind the question
    there    float64 [case, 2]            of yes and of anything else, after an object that is there
    absent   float64 [case, 2]            after one that is not
    """

    next: np.ndarray
    there: np.ndarray
    absent: np.ndarray


def answers(
    bench: Bench, block: int, asked: Sequence[Case], way: Way | None, strength: float, yes: Sequence[int]
) -> Answers:
    """All three questions about every case."""
    found = logits(bench, block, asked, way, strength).double().log_softmax(-1).numpy().reshape(len(asked), 3, -1)
    own = np.logaddexp.reduce(found[:, 1:, list(yes)], axis=-1)
    other = np.log1p(-np.exp(np.minimum(own, -1e-12)))
    polls = np.stack([own, other], axis=-1)
    return Answers(found[:, 0], polls[:, 0], polls[:, 1])


def measured(clean: Answers, now: Answers, right: Sequence[int]) -> dict[str, np.ndarray]:
    """What steering changed, picture by picture: kl, gain, says, loss, right; float64 [case].

    right   tokens that begin the word
    """
    pick = list(right)
    gain = np.logaddexp.reduce(now.next[:, pick], axis=-1) - np.logaddexp.reduce(clean.next[:, pick], axis=-1)
    before, after = (np.stack([one.there[:, 0], one.absent[:, 1]]) for one in (clean, now))
    return {
        "kl": (np.exp(clean.next) * (clean.next - now.next)).sum(axis=-1),
        "gain": gain,
        "says": np.isin(now.next.argmax(axis=-1), pick),
        "loss": (before - after).mean(axis=0),
        "right": (after > np.log(0.5)).mean(axis=0),
        "right_clean": (before > np.log(0.5)).mean(axis=0),
    }


# ---- matching -----------------------------------------------------------------------------------------------------


def typical(kls: np.ndarray) -> float:
    """Geometric mean of divergences; what rounding leaves of none counts as a millionth."""
    return float(np.exp(np.log(np.maximum(kls, 1e-6)).mean()))


def matched(strengths: Sequence[float], kls: Sequence[float], wanted: float) -> float:
    """Strength at which the divergence first reaches what is wanted, between two that were tried; else the nearer end.

    Straight in logarithms: small pushes disturb by their square.
    """
    order = np.argsort(strengths)
    x, y = (np.log(np.maximum(np.asarray(one, dtype=float)[order], 1e-30)) for one in (strengths, kls))
    above = np.flatnonzero(y >= np.log(wanted))
    if not len(above):
        return float(np.exp(x[-1]))
    place = int(above[0])
    if place == 0:
        return float(np.exp(x[0]))
    share = (np.log(wanted) - y[place - 1]) / (y[place] - y[place - 1])
    return float(np.exp(x[place - 1] + share * (x[place] - x[place - 1])))


def records(
    bench: Bench, known: Known, word: str, found: Sequence[Way], asked: Sequence[Case], told: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Rows of `schemas.STEERED`.

    told   kl, strengths, apart; right: tokens of the word; yes: tokens of a positive answer
    """
    apart, held_out = asked[: told["apart"]], asked[told["apart"] :]
    stages = {"tried": apart, "held_out": held_out}
    clean = {stage: answers(bench, known.block, part, None, 0.0, told["yes"]) for stage, part in stages.items()}

    def rows(way: Way, stage: str, strength: float) -> tuple[list[dict[str, Any]], float]:
        now = answers(bench, known.block, stages[stage], way, strength, told["yes"])
        values = measured(clean[stage], now, told["right"])
        head = {"word": word, "method": way.method, "draw": way.draw, "stage": stage, "strength": strength}
        each = [
            {**head, "sample": one.sample, **{key: column[row].item() for key, column in values.items()}}
            for row, one in enumerate(stages[stage])
        ]
        return each, typical(values["kl"])

    for way in found:
        tried: dict[float, float] = {}
        for strength in told["strengths"]:
            each, tried[strength] = rows(way, "tried", strength)
            yield from each
        again = matched(list(tried), list(tried.values()), told["kl"])
        each, tried[again] = rows(way, "tried", again)
        yield from each
        yield from rows(way, "held_out", matched(list(tried), list(tried.values()), told["kl"]))[0]
