"""Training of the network that steers (xl_vlms.md 2.11).

Notation: c [N, D] states of the prompts, z [N, D] vectors that would steer each sample, g = g(c).
    loss = mean_d (g - z)^2 + mean_d |g - z| - w cos(g, z), per sample
"""

import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.learned import vectors
from vlmscope.xl_vlms.learned.net import KEYS, Net, from_weights

log = logging.getLogger(__name__)

# Mean losses by epoch; validation is empty where no sample is kept from training.
CURVES = {"epoch": pl.Int64, "train": pl.Float64, "validation": pl.Float64, "kept": pl.Boolean}
# Weight of the cosine: what it grows to, after how many epochs, and what it is where nets are compared.
COSINE, COSINE_EPOCHS, COSINE_VALIDATION = 0.1, 100, 0.05
# Of a batch, the share of samples that counts once only the worst do.
WORST = 0.8


class Pairs(NamedTuple):
    """States and the vectors that belong to them, float32 [N, D] each."""

    states: np.ndarray
    wanted: np.ndarray


class Course(NamedTuple):
    """What training gave.

    train        float64 [epoch]   mean loss of the pairs that are trained on
    validation   float64 [epoch]   of the others, the cosine's weight fixed; NaN where there are none
    kept         epoch whose weights are handed over, counted from 0
    """

    net: Net
    train: np.ndarray
    validation: np.ndarray
    kept: int


class SteeringNet(nn.Module):
    """The network; weights are named as in the released files."""

    def __init__(self, d: int, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(d, hidden)
        self.decoder = nn.Linear(hidden, d, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """Vectors [N, D] of states [N, D]."""
        return self.decoder(torch.tanh(self.encoder(states)))


def losses(made: Tensor, wanted: Tensor, cosine: float) -> Tensor:
    """Loss of every sample, float [N].

    cosine   weight of the cosine
    """
    gap = made - wanted
    return gap.square().mean(1) + gap.abs().mean(1) - cosine * functional.cosine_similarity(made, wanted, dim=1)


def worst(values: Tensor) -> Tensor:
    """Mean of the largest four fifths, their number rounded down, at least one."""
    return values.topk(max(1, int(WORST * len(values)))).values.mean()


def cosine_weight(epoch: int, course: str) -> float:
    """Weight of the cosine in an epoch, counted from 0.

    course   growing: over a hundred epochs (POPE); fixed: the same throughout (MM-SafetyBench)
    """
    return COSINE * min(1.0, epoch / COSINE_EPOCHS) if course == "growing" else COSINE


def rate_factor(epoch: int, epochs: int, warm_up: int) -> float:
    """Factor of the learning rate in an epoch, counted from 0: up in a straight line, down along a cosine."""
    if epoch < warm_up:
        return (epoch + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (epoch - warm_up) / max(1, epochs - warm_up)))


def directions(wanted: np.ndarray, hidden: int, start: str, seed: int) -> np.ndarray:
    """Columns that the decoder starts from, float32 [D, H].

    start   svd: directions in which the vectors, their mean taken off, differ most; snmf: concepts of the vectors
    """
    if start == "svd":
        found = np.linalg.svd(wanted - wanted.mean(axis=0), full_matrices=False)[2][:hidden]
    else:
        found = dictionary.fit(wanted, "snmf", hidden, seed=seed).concepts
    return np.ascontiguousarray(found.T, dtype=np.float32)


class Training:
    """A net on its way.

    settings   hidden, start, learning_rate, epochs, batch, warm_up, cosine (growing or fixed), worst, keep, seed
    """

    def __init__(self, pairs: Pairs, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.states, self.wanted = (torch.from_numpy(np.array(part, dtype=np.float32)) for part in pairs)
        # Directions come from the vectors: there are no more than samples or units.
        hidden = min(settings["hidden"], *pairs.wanted.shape)
        self.net = SteeringNet(pairs.wanted.shape[1], hidden)
        self.net.decoder.weight.data = torch.from_numpy(
            directions(pairs.wanted, hidden, settings["start"], settings["seed"])
        )
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=settings["learning_rate"])

    def epoch(self, number: int) -> float:
        """One pass over all pairs in random order; the mean loss."""
        own, total = self.settings, 0.0
        rate = own["learning_rate"] * rate_factor(number, own["epochs"], own["warm_up"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        hard, cosine = own["worst"] and number >= own["epochs"] / 2, cosine_weight(number, own["cosine"])
        for rows in torch.randperm(len(self.states)).split(own["batch"]):
            values = losses(self.net(self.states[rows]), self.wanted[rows], cosine)
            self.optimizer.zero_grad()
            (worst(values) if hard else values.mean()).backward()
            self.optimizer.step()
            total += float(values.detach().sum())
        return total / len(self.states)

    def weights(self) -> Net:
        """A copy of the weights as they are."""
        state = self.net.state_dict()
        return from_weights({key: state[key].numpy().copy() for key in KEYS}, "training")


@torch.no_grad()
def validation_loss(net: SteeringNet, pairs: Pairs) -> float:
    """Mean loss of pairs that are not trained on; NaN where there are none."""
    if not len(pairs.states):
        return math.nan
    states, wanted = (torch.from_numpy(np.array(part, dtype=np.float32)) for part in pairs)
    return float(losses(net(states), wanted, COSINE_VALIDATION).mean())


def train(pairs: Pairs, others: Pairs, settings: Mapping[str, Any]) -> Course:
    """A net; the same for the same seed and number of threads.

    others     pairs that are not trained on, possibly none
    settings   see `Training`; keep: best (by the loss of the others) or last
    """
    torch.manual_seed(settings["seed"])
    training, curves = Training(pairs, settings), []
    best, kept, net = math.inf, 0, training.weights()
    for number in range(settings["epochs"]):
        curves.append((training.epoch(number), validation_loss(training.net, others)))
        loss = curves[-1][1]
        if settings["keep"] == "last" or math.isnan(loss) or loss < best:
            best, kept, net = loss, number, training.weights()
    first, second = np.array(curves).T
    return Course(net, first, second, kept)


# ---- files -------------------------------------------------------------------------------------------------------


def from_files(states: str, settings: Mapping[str, Any]) -> Course:
    """A net of forced answers; the last samples of the list are not trained on.

    settings   task (xl_vlms.learned.tasks.*)
    """
    task, forced = settings["task"], vectors.read(states)
    shifts = vectors.task_shifts(forced, task)
    own, others = (Pairs(forced.context[rows], shifts[rows]) for rows in vectors.split(len(shifts), task["validation"]))
    course = train(own, others, task)
    log.info("Trained on %d samples, epoch %d kept.", len(own.states), course.kept)
    return course


def table(course: Course) -> pl.DataFrame:
    """Losses by epoch, `CURVES`."""
    epochs = np.arange(len(course.train))
    columns = {"epoch": epochs, "train": course.train, "validation": course.validation, "kept": epochs == course.kept}
    return pl.DataFrame(columns, schema=CURVES).with_columns(pl.col("validation").fill_nan(None))
