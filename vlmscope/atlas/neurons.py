"""Are the neurons that write a word those of a domain? Domain neurons (mmneuron) against words' neurons (mm_neurons).

Notation: L layers, U units of a layer; a neuron is the number layer * U + unit. S(x, w) are the k neurons that
contribute most to the word w in picture x; a neuron is the word's when it is in S(x, w) of at least half of its
pictures (`mm_neurons.look.catalogue`), where it is so in all of them or only after pictures were drawn anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from vlmscope import stats
from vlmscope.atlas import chance
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.look.catalogue import METHOD, STABLE
from vlmscope.mm_neurons.rank import lists
from vlmscope.mmneuron import masks, modules
from vlmscope.store import files

# One row per word, domain and layer; `all` stands for all words or layers, `any` for the neurons of any domain.
#   units, domain_neurons, word_neurons   sizes of the layer and of both sets
#   both                overlap; expected: by chance, where every layer keeps its numbers
#   ratio               both / expected, with an interval over pictures
#   random_low, random_high   range of 95 % of random sets; p two-sided, q adjusted for all rows of the table
#   pictures            behind the word's neurons
NEURONS = {
    "word": pl.String,
    "domain": pl.String,
    "layer": pl.String,
    "units": pl.Int64,
    "domain_neurons": pl.Int64,
    "word_neurons": pl.Int64,
    "both": pl.Int64,
    "expected": pl.Float64,
    "ratio": pl.Float64,
    "ratio_low": pl.Float64,
    "ratio_high": pl.Float64,
    "random_low": pl.Int64,
    "random_high": pl.Int64,
    "p": pl.Float64,
    "q": pl.Float64,
    "pictures": pl.Int64,
}
NOTES = (
    "A word's neurons are those that contribute most to it in at least half of its pictures; act_fn and "
    "down_proj_input name the same units.",
    "Rows of `all` layers keep the number of either set in every layer: being in the same layers is no overlap.",
)
ALL, ANY = "all", "any"
DIGITS = 6


def domain_sets(neurons: pl.DataFrame, shape: Sequence[int]) -> dict[str, np.ndarray]:
    """Domain -> its neurons of the language model, bool [layer, unit]; `any` first.

    neurons   `mmneuron.schemas.neurons`
    shape     L, U
    """
    own, found = neurons.filter(module=modules.DECODER), {ANY: np.zeros(shape, bool)}
    for domain, layer, unit in own.select("domain", "layer", "index").iter_rows():
        found.setdefault(domain, np.zeros(shape, bool))[layer, unit] = True
        found[ANY][layer, unit] = True
    return found


def word_members(
    found: Mapping[lists.Key, lists.Neurons], words: Sequence[str], shape: Sequence[int]
) -> dict[str, np.ndarray]:
    """Word -> its best neurons picture by picture, bool [picture, layer * U + unit]; pictures in order of their names.

    found   sample and noun -> neurons, best first
    """
    members: dict[str, list[np.ndarray]] = {word: [] for word in words}
    for (_, noun), one in sorted(found.items()):
        if noun.lower() in members:
            row = np.zeros(int(np.prod(shape)), bool)
            row[one.layer.astype(int) * shape[1] + one.unit] = True
            members[noun.lower()].append(row)
    if lacking := [word for word, rows in members.items() if not rows]:
        raise VlmscopeError(
            f"No caption has a noun of the atlas: {', '.join(lacking)}.",
            where="atlas.sets",
            instead="words that captions of mm_neurons.dataset have",
        )
    return {word: np.stack(rows) for word, rows in members.items()}


def stable(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A word's neurons, bool [draw, neuron].

    members   bool [picture, neuron]
    weights   float64 [draw, picture]   how often each picture is drawn
    """
    counted = members.any(axis=0)
    share = np.zeros((len(weights), members.shape[1]))
    share[:, counted] = weights @ members[:, counted] / weights.sum(axis=1, keepdims=True)
    # Rounding must not push out what is in exactly half of them.
    return share >= STABLE - 1e-9


def table(
    domains: Mapping[str, np.ndarray], members: Mapping[str, np.ndarray], shape: Sequence[int], draws: stats.Draws
) -> pl.DataFrame:
    """Overlap of every word with every domain, layer by layer and in all layers, `NEURONS`."""
    chosen = {word: stable(one, draws.weights(len(one))) for word, one in members.items()}
    counts = {word: len(one) for word, one in members.items()}
    chosen = {ALL: np.logical_or.reduce(list(chosen.values())), **chosen}
    counts = {ALL: sum(counts.values()), **counts}
    rows = [
        {"word": word, "domain": domain, "layer": layer, **_row(one, own, places), "pictures": counts[word]}
        for word, found in chosen.items()
        for one in [found.reshape(len(found), *shape)]
        for domain, own in domains.items()
        for layer, places in [(ALL, list(range(shape[0]))), *((str(number), [number]) for number in range(shape[0]))]
    ]
    adjusted = chance.discoveries([row["p"] for row in rows])
    rows = [{**row, "q": q} for row, q in zip(rows, adjusted, strict=True)]
    return pl.DataFrame(rows, schema=NEURONS).with_columns(pl.col("expected", "^ratio.*$").round(DIGITS))


def _row(found: np.ndarray, own: np.ndarray, layers: Sequence[int]) -> dict[str, Any]:
    """One overlap.

    found    bool [draw, layer, unit], the first draw is the data themselves
    own      bool [layer, unit]
    """
    one, both = found[:, layers], (found & own)[:, layers]
    units, domain, word = own.shape[1], own[layers].sum(axis=1), one.sum(axis=2)
    sizes = [(units, int(d), int(m)) for d, m in zip(domain, word[0], strict=True)]
    chances, seen = chance.overlap(sizes), int(both[0].sum())
    expected, low, high = chance.middle(chances)
    usual = (word * domain).sum(axis=1) / units
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(usual > 0, both.sum(axis=(1, 2)) / usual, np.nan)
    bounds = stats.interval(ratio[1:])
    return {
        "units": units * len(layers),
        "domain_neurons": int(domain.sum()),
        "word_neurons": int(word[0].sum()),
        "both": seen,
        "expected": expected,
        **dict(zip(("ratio", "ratio_low", "ratio_high"), map(_known, (ratio[0], *bounds)), strict=True)),
        "random_low": low,
        "random_high": high,
        "p": chance.two_sided(chances, seen),
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def read_sets(
    *, domain_neurons: str, shapes: str, word_neurons: str, words: Sequence[str], settings: Mapping[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[int]]:
    """Neurons of domains, of words picture by picture, and the shape L, U.

    settings   domains, activations, k
    """
    shape = files.read_json(shapes)[modules.DECODER]["shape"]
    # The last of what counts as activation: the input of the down projection, by which contributions are exact.
    found = lists.read(word_neurons, settings["activations"][-1], METHOD, settings["k"])
    domains = domain_sets(masks.read(domain_neurons, settings["domains"]), shape)
    return domains, word_members(found, words, shape), shape


def from_files(*, settings: Mapping[str, Any], **paths: Any) -> pl.DataFrame:
    """The table from the files of a model; see `read_sets`.

    settings   also bootstrap, seed
    """
    domains, members, shape = read_sets(settings=settings, **paths)
    return table(domains, members, shape, stats.Draws(settings["bootstrap"], settings["seed"]))
