"""Where in depth: lens, neurons, concepts and blocked attention in one table.

Depth counts what has been computed: 0 is what enters the decoder, b + 1 what stands behind block b. A neuron of block
b, and attention blocked in it, have depth b + 1.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.atlas import neurons, states
from vlmscope.llava_interp.knockout import tables as knockout_tables
from vlmscope.llava_interp.lens import tables as lens_tables
from vlmscope.store import tables
from vlmscope.xl_vlms.sets import modules, vectors

# One row per quantity and depth.
#   control   the same for what should show nothing; controlled: what that is
#   half      the first depth at which the quantity, above its control, reaches half of its greatest value
#   n         pictures or states; of domain neurons neurons
DEPTH = {
    "what": pl.String,
    "depth": pl.Int64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "control": pl.Float64,
    "controlled": pl.String,
    "half": pl.Boolean,
    "n": pl.Int64,
}
LENS, BLOCKED, DOMAIN, WORD, CONCEPT = "lens", "blocked attention", "domain neurons", "word neurons", "concept"
CONTROLLED = {
    LENS: "patches beside the object",
    BLOCKED: "as many other patches blocked",
    DOMAIN: "an equal share of the layer",
    WORD: "an equal share of the layer",
    CONCEPT: "states dealt to the words at random, 97.5 % of them below",
}
NOTES = (
    "Depth counts blocks that were computed: layer l of the lens is depth l, a neuron of block b has depth b + 1.",
    "Quantities have units of their own; what can be compared between them is where they rise.",
)
DIGITS = 6


class Found(NamedTuple):
    """A quantity at one depth."""

    depth: int
    value: float
    low: float
    high: float
    control: float
    n: int


def of_lens(rates: pl.DataFrame) -> list[Found]:
    """Share of an object's patches whose first token is its word (`llava_interp.lens.tables.RATE`)."""
    own = rates.filter(criterion="strict", topk=1).sort("layer")
    columns = own.select("layer", "rate_mean", "ci_low", "ci_high", "background_mean", "n_images")
    return [Found(*row) for row in columns.iter_rows()]


def of_blocked(sweep: pl.DataFrame, buffer: int) -> list[Found]:
    """Probability that the word loses when the last position may not look at the object, layer by layer.

    sweep   `llava_interp.knockout.tables.SWEEP`
    """
    end = f"_{buffer}" if buffer else ""
    single = sweep.filter(pl.col("sort") == "layer", pl.col("target") == "last").sort("layer_first")
    own, other = (single.filter(source=f"{name}{end}") for name in ("object", "random"))
    rows = own.select("layer_first", "correct_prob_drop", "drop_low", "drop_high", "n").iter_rows()
    return [
        Found(layer + 1, value, low, high, control, n)
        for (layer, value, low, high, n), control in zip(rows, other["correct_prob_drop"], strict=True)
    ]


def of_domain_neurons(own: np.ndarray) -> list[Found]:
    """Share of the domains' neurons that lie in each layer, of bool [layer, unit]; Wilson's interval."""
    counts, total = own.sum(axis=1), int(own.sum())
    rows = [(int(count) / total if total else np.nan, *stats.wilson(int(count), total)) for count in counts]
    return [Found(layer + 1, *row, 1 / len(own), total) for layer, row in enumerate(rows)]


def of_word_neurons(members: Mapping[str, np.ndarray], shape: Sequence[int], draws: stats.Draws) -> list[Found]:
    """Share of the words' best neurons in each layer, mean over pictures; members bool [picture, layer * unit]."""
    every = np.concatenate(list(members.values())).reshape(-1, *shape).sum(axis=2)
    shares = every / np.maximum(every.sum(axis=1, keepdims=True), 1)
    return [Found(layer + 1, *draws.mean(shares[:, layer]), 1 / shape[0], len(every)) for layer in range(shape[0])]


# ---- concepts -----------------------------------------------------------------------------------------------------


def areas(directions: np.ndarray, groups: Mapping[str, np.ndarray]) -> np.ndarray:
    """How well each word's direction tells its states from the others', mean over words: float64 [draw].

    directions   [draw, word, d]
    groups       word -> states [T, d]; area under the ROC curve, 0.5 by chance
    """
    from scipy.stats import rankdata

    every = np.concatenate(list(groups.values())).astype(np.float64)
    owner = np.repeat(np.arange(len(groups)), [len(one) for one in groups.values()])
    ranks = rankdata(np.einsum("rwd,td->rwt", directions, every), axis=2)
    found = []
    for word in range(len(groups)):
        own = owner == word
        n = int(own.sum())
        found.append((ranks[:, word, own].sum(axis=1) - n * (n + 1) / 2) / (n * (len(every) - n)))
    return np.mean(found, axis=0)


def of_concepts(
    train: Sequence[str], test: Sequence[str], words: Mapping[str, str], draws: stats.Draws, control: int
) -> Iterator[Found]:
    """Words' directions of the training states on held-out states, behind every block that was kept.

    The interval draws training states anew; `control`: how often states are dealt to the words at random.
    """
    names = [name for name in vectors.modules(train[0]) if name.startswith("block.")]
    for name in modules.ordered(names):
        found = states.read(train, test, words, name)
        own = np.stack(list(states.directions(found.train).values()))[None]
        generators = [np.random.default_rng([draws.seed, number]) for number in range(2)]
        again = areas(states.resampled(found.train, draws.resamples, generators[0]), found.test)
        dealt = areas(states.shuffled(found.train, control, generators[1]), found.test)
        n, depth = sum(map(len, found.test.values())), int(name.partition(".")[2]) + 1
        high = float(np.quantile(dealt, 0.975))
        yield Found(depth, float(areas(own, found.test)[0]), *stats.interval(again), high, n)


# ---- the table ----------------------------------------------------------------------------------------------------


def table(found: Mapping[str, Sequence[Found]]) -> pl.DataFrame:
    """All quantities, `DEPTH`."""
    rows: list[dict[str, Any]] = []
    for what, own in found.items():
        reached = half([one.value - one.control for one in own])
        for place, one in enumerate(own):
            told = {"what": what, "controlled": CONTROLLED[what], "half": place == reached}
            rows.append(told | one._asdict())
    numbers = [key for key, kind in DEPTH.items() if kind == pl.Float64]
    frame = pl.DataFrame({key: [row[key] for row in rows] for key in DEPTH}, schema=DEPTH)
    return frame.with_columns(pl.col(numbers).fill_nan(None).round(DIGITS))


def half(values: Sequence[float]) -> int | None:
    """Place of the first value that reaches half of the greatest; none where nothing is above zero."""
    most = max(values, default=0.0)
    return next((place for place, one in enumerate(values) if one >= most / 2), None) if most > 0 else None


def from_files(
    *,
    lens: str,
    sweep: str,
    train: Sequence[str],
    test: Sequence[str],
    words: Mapping[str, str],
    settings: Mapping[str, Any],
    **paths: str,
) -> pl.DataFrame:
    """The table of a model.

    settings   as for `neurons.read_sets`; bootstrap, seed, buffer, draws
    """
    draws = stats.Draws(settings["bootstrap"], settings["seed"])
    domains, members, shape = neurons.read_sets(words=list(words.values()), settings=settings, **paths)
    found = {
        LENS: of_lens(tables.read(lens, lens_tables.RATE)),
        CONCEPT: list(of_concepts(train, test, words, draws, settings["draws"])),
        WORD: of_word_neurons(members, shape, draws),
        DOMAIN: of_domain_neurons(domains[neurons.ANY]),
        BLOCKED: of_blocked(tables.read(sweep, knockout_tables.SWEEP), settings["buffer"]),
    }
    return table(found)
