"""A comparison from files to files: a JSON of everything that tables and pages need, an HDF5 of its vectors."""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.stats import Draws
from vlmscope.store import files, hdf5
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.sets.vectors import VectorSet
from vlmscope.xl_vlms.shift import held_out, study, sweeps
from vlmscope.xl_vlms.shift.study import Reader, Settings, Study
from vlmscope.xl_vlms.words import filter as filtering
from vlmscope.xl_vlms.words import grounding, vocabulary

FORMAT, ARRAYS = "vlmscope.shift/1", "vlmscope.shift-vectors/1"
# Kinds of rows beside those of the concepts.
SWEEPS = ("held_out", "alpha", "keywords", "k", "layers", "iterations")


def reader(words: vocabulary.Vocabulary, accept: filtering.WordFilter) -> Reader:
    """What reads directions as words of a model."""
    known = functools.cache(accept.__call__)

    def read(directions: np.ndarray, tokens: int, keep: int) -> list[list[str]]:
        return grounding.words(directions, words.unembedding, words.pieces, known, tokens=tokens, keep=keep)

    return read


def from_files(
    before: str,
    after: str,
    steps: Sequence[str],
    *,
    words: str,
    settings: Settings,
    about: Mapping[str, Any],
    targets: Mapping[str, str],
) -> None:
    """Compare two models over one set and write what was found.

    before, after   vectors of the original and of the fine-tuned model
    steps           vectors of models on the way, in the order of about["steps"]
    words           vocabulary of the original
    settings        xl_vlms.shift without its pairs, word_list, stop_list
    about           model, tuned, set, steps (their numbers, the last one that of `after`), keywords, published
    targets         shift, vectors
    """
    read = reader(vocabulary.read(words), filtering.word_filter(settings["word_list"], settings["stop_list"]))
    sets = tuple(vectors.read(path, settings["module"]) for path in (before, after))
    _check(sets, settings, about)
    one = study.study(*sets, settings, read)
    draws = Draws(settings["bootstrap"], settings["seed"])
    strengths, shares = sweeps.alphas(one, settings, draws, read, about["keywords"])
    way = [*(vectors.read(path, settings["module"]) for path in steps), sets[1]]
    rows = {
        "concepts": sweeps.concepts(one),
        "held_out": held_out.rows(one.pair, settings, read),
        "alpha": strengths,
        "keywords": shares,
        "k": sweeps.ks(*sets, settings, draws, read),
        "layers": sweeps.layers(_layers(before, after), settings, draws, read),
        "iterations": sweeps.iterations(sets[0], list(zip(about["steps"], way, strict=True)), settings, read),
    }
    files.write_json(plain({"format": FORMAT, **about, **_told(one, sets, settings), "rows": rows}), targets["shift"])
    write_vectors(one, targets["vectors"], {**about, "settings": dict(settings)})


def _check(sets: Sequence[VectorSet], settings: Settings, about: Mapping[str, Any]) -> None:
    sizes = {name: len(one.samples) for name, one in zip((about["model"], about["tuned"]), sets, strict=True)}
    if min(sizes.values()) < settings["k"]:
        counts = ", ".join(f"{count} of {name}" for name, count in sizes.items())
        raise VlmscopeError(
            f"The set '{about['set']}' has too few vectors for {settings['k']} concepts: {counts}.",
            where="xl_vlms.shift.k",
            instead="a smaller k, or a set of a word that both models write more often",
        )
    if sets[0].values.shape[1] != sets[1].values.shape[1]:
        raise VlmscopeError(
            f"The states of {about['model']} and {about['tuned']} differ in width.",
            where="xl_vlms.shift.pairs",
            instead="two checkpoints of one model",
        )


def _layers(before: str, after: str) -> list[tuple[str, VectorSet, VectorSet]]:
    both = set(vectors.modules(after))
    names = [name for name in vectors.modules(before) if name in both]
    return [(name, vectors.read(before, name), vectors.read(after, name)) for name in names]


def _told(one: Study, sets: Sequence[VectorSet], settings: Settings) -> dict[str, Any]:
    """Numbers of samples, settings that a table names, and a picture for every sample that is named."""
    named = {name for lists in one.images.values() for own in lists for name in own}
    pictures = {name: image for own in sets for name, image in zip(own.samples, own.images, strict=True)}
    return {
        **{key: settings[key] for key in ("module", "method", "k", "seed", "alpha")},
        "samples": len(one.pair.samples),
        "total": sets[0].total,
        "with_vector": {"original": len(sets[0].samples), "tuned": len(sets[1].samples)},
        **sweeps.distances(one),
        "pictures": {name: pictures[name] for name in sorted(named)},
    }


def plain(value: Any) -> Any:
    """The same with null for what is no finite number."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(path: str | Path) -> dict[str, Any]:
    """A written comparison, checked."""
    found = files.read_json(path)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise VlmscopeError(
            "This is no comparison of two models.", where=str(path), instead=f"snakemake {path} --force"
        )
    return found


def write_vectors(one: Study, target: str, recipe: dict[str, Any]) -> None:
    """Concepts, shifts and the states behind them (docs/formats.md)."""
    with hdf5.published(target, ARRAYS, recipe) as file:
        file["original"], file["tuned"] = one.original.concepts, one.tuned.concepts
        file["shifted"], file["deltas"] = one.concepts.astype(np.float32), one.shifts.deltas.astype(np.float32)
        file["matched"], file["labels"] = one.matched, one.shifts.labels
        file["sample_deltas"] = hdf5.half(one.pair.after - one.pair.before)
        file["samples"] = np.array(one.pair.samples, dtype=hdf5.h5py.string_dtype())


def read_vectors(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of such a file by name, samples left out."""
    with hdf5.opened(path, ARRAYS, "file of shifts") as file:
        return {name: file[name][()] for name in file if name != "samples"}
