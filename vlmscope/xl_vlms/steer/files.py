"""Steering vectors from vector sets to files (docs/formats.md): one file per vector, every kept block in it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import arrays
from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.steer import source as steering_source
from vlmscope.xl_vlms.steer import vectors as directions
from vlmscope.xl_vlms.steer.source import Source

FORMAT = "vlmscope.steering/1"


class Steering(NamedTuple):
    """A vector as its file holds it; every array by block.

    vector     float32 [D]
    shuffled   float32 [draw, D]   of shuffled labels, as long as the vector; none for sums
    fewer      number of samples -> float32 [draw, D]
    concepts   float32 [K, D]      of the base's set, for vectors with a gate
    open       bool [K]            concepts whose questions are steered
    about      how it was made
    """

    vector: dict[str, np.ndarray]
    shuffled: dict[str, np.ndarray]
    fewer: dict[int, dict[str, np.ndarray]]
    concepts: dict[str, np.ndarray]
    open: dict[str, np.ndarray]
    about: dict[str, Any]


def make(
    source: Source, settings: Mapping[str, Any], imported: Mapping[str, Steering] | None = None
) -> dict[str, Steering]:
    """Every vector of the configuration, sums last.

    settings   vectors (xl_vlms.vectors), sizes (numbers of samples of the vectors that are varied), draws, shuffled,
               seed, swept (names of those vectors)
    imported   vectors that are ready
    """
    found = dict(imported or {})
    asked = {name: one for name, one in settings["vectors"].items() if name not in found}
    plain = {name: one for name, one in asked.items() if one["method"] != "sum"}
    for name, one in sorted(plain.items(), key=lambda item: bool(item[1]["without"])):
        found[name] = _made(source, name, one, settings, found)
    for name, one in asked.items():
        if one["method"] == "sum":
            found[name] = _summed(one, found)
    return found


def _made(
    source: Source, name: str, one: Mapping[str, Any], settings: Mapping[str, Any], others: Mapping[str, Steering]
) -> Steering:
    seed, base, target = settings["seed"], one["base"], one["target"]
    about = {"method": one["method"], "made_of": dict(one), "layers": source.layers(base["set"])}
    made = Steering({}, {}, {}, {}, {}, about)
    for block in source.blocks(base["set"]):
        both = source.group(base, block), source.group(target, block)
        vector = _shift(one, both, seed)
        made.vector[block] = directions.without(vector, [others[other].vector[block] for other in one["without"]])
        made.shuffled[block] = directions.as_long(
            directions.shuffled_like(*both, settings["shuffled"], seed), made.vector[block]
        )
        made.about.update(n_base=len(both[0]), n_target=len(both[1]))
        for n in settings["sizes"] if name in settings["swept"] else ():
            if n <= min(map(len, both)):
                made.fewer.setdefault(n, {})[block] = directions.fewer(*both, n, settings["draws"], seed)
        if one["gate"]:
            made.concepts[block], made.open[block] = _gate(source, one, block, seed)
    return made


def _shift(one: Mapping[str, Any], both: tuple[np.ndarray, np.ndarray], seed: int) -> np.ndarray:
    base, target = both
    if one["method"] == "shift_of_means":
        return directions.shift_of_means(base, target)
    if not len(base):
        return directions.shift_of_means(base, target)
    return directions.from_concepts(dictionary.fit(base, "kmeans", one["k"], seed=seed).concepts, target)


def _gate(source: Source, one: Mapping[str, Any], block: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Concepts of the whole set, and those of which at least half the samples are of base or target."""
    values = source.whole(one["base"]["set"], block).values
    concepts = dictionary.fit(values, "kmeans", one["gate"], seed=seed).concepts
    own = source.chosen(one["base"], block)
    if one["target"]["set"] == one["base"]["set"]:
        own = own | source.chosen(one["target"], block)
    place = directions.nearest(values, concepts)
    all_of, own_of = (np.bincount(part, minlength=len(concepts)) for part in (place, place[own]))
    return concepts, 2 * own_of >= np.maximum(all_of, 1)


def _summed(one: Mapping[str, Any], others: Mapping[str, Steering]) -> Steering:
    weights, parts = list(one["parts"].values()), [others[name].vector for name in one["parts"]]
    blocks = [block for block in parts[0] if all(block in part for part in parts)]
    total = {block: directions.composed([part[block] for part in parts], weights) for block in blocks}
    layers = others[next(iter(one["parts"]))].about["layers"]
    return Steering(total, {}, {}, {}, {}, {"method": "sum", "made_of": dict(one), "layers": layers})


# ---- files -------------------------------------------------------------------------------------------------------


def write(made: Steering, target: str | Path, **about: str) -> None:
    """One file; `block.N` is the vector itself, the rest stands under names with a slash."""
    parts = dict(made.vector)
    parts |= {f"shuffled/{block}": one for block, one in made.shuffled.items() if len(one)}
    parts |= {f"samples.{n}/{block}": one for n, by_block in made.fewer.items() for block, one in by_block.items()}
    parts |= {f"concepts/{block}": one for block, one in made.concepts.items()}
    parts |= {f"open/{block}": one for block, one in made.open.items()}
    words = {"format": FORMAT, "about": json.dumps(made.about, sort_keys=True), **about}
    arrays.write(parts, target, words)


def read(path: str | Path) -> Steering:
    """A vector with all that stands beside it."""
    parts, words = arrays.read(path)
    if words.get("format") != FORMAT:
        raise VlmscopeError(
            f"This is no file of a steering vector ({words.get('format', 'no format mark')}).",
            where=str(path),
            instead="delete it and run snakemake again; released files are imported (docs/formats.md)",
        )
    made = Steering({}, {}, {}, {}, {}, json.loads(words["about"]))
    for key, value in parts.items():
        kind, _, block = key.rpartition("/")
        _, _, number = kind.partition(".")
        place = made.fewer.setdefault(int(number), {}) if number else getattr(made, kind or "vector")
        place[block] = value
    return made


def from_files(*, sets: Sequence[str], tables: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Steering]:
    """Every vector of the configuration, from files of vectors and tables of questions.

    settings   as for `make`, and imported: vectors that are read from files of the released code
    """
    imported = {name: _imported(one) for name, one in settings["imported"].items()}
    return make(steering_source.from_files(sets, tables), settings, imported)


def _imported(one: Mapping[str, Any]) -> Steering:
    # Such files need torch, which nothing else here does.
    from vlmscope.xl_vlms.steer import released

    vector = released.read(one["file"], one["key"])
    about = {"method": "imported", "made_of": dict(one), "layers": 0}
    return Steering({f"block.{one['block']}": vector}, {}, {}, {}, {}, about)


def write_all(made: Mapping[str, Steering], targets: Sequence[str], **about: str) -> None:
    """Write vectors to files that bear their names."""
    for target in targets:
        write(made[Path(target).stem], target, **about)


def read_all(paths: Sequence[str]) -> Iterator[tuple[str, Steering]]:
    """Names and vectors of files."""
    for path in paths:
        yield Path(path).stem, read(path)
