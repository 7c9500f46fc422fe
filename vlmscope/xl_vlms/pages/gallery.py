"""Cards of concepts: words, most activating pictures, scores, and what random words and directions reach beside."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.raw import read_manifest
from vlmscope.store import tables
from vlmscope.xl_vlms.cox import classes as concept_classes
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries import schemas
from vlmscope.xl_vlms.dictionaries.files import Key, Side, Stored
from vlmscope.xl_vlms.pages.parts import RANDOM, Numbered, Page, concepts, rounded

# What the page tells of the dictionary as a whole, by the columns of the tables.
QUALITY = ("n", "n_test", "error_test", "error_test_low", "error_test_high", "sparsity", "dead", "own_word")
OVERLAP = ("overlap_list", "low", "high", "random_list")
AGREEMENT = ("nmi", "nmi_shuffled", "nmi_random_samples", "nmi_random_directions")


def key_of(path: str, method: str) -> Key:
    """The dictionary of a method at the main module of a file."""
    main = dictionary_files.recipe(path)["main"]
    found = [key for key in dictionary_files.keys(path) if (key.module, key.method) == (main, method)]
    if not found:
        raise VlmscopeError(
            f"There is no dictionary made with {method} at {main}.",
            where=path,
            instead="a method of xl_vlms.dictionaries.methods under xl_vlms.show.concepts",
        )
    return found[0]


def scores(scored: pl.DataFrame, key: Key, main: str) -> list[dict[str, list[float | None]]]:
    """Metric -> score of the words with the pictures, that of random words with them, for every concept.

    scored   `SCORED`, rows of one set
    main     method whose pictures alone were held against random words
    """
    own = scored.filter(split="concept", module=key.module)
    known = {
        random: {(int(row["item"]), row["metric"]): row["value"] for row in own.filter(method=method).to_dicts()}
        for random, method in ((False, key.method), (True, RANDOM if key.method == main else ""))
    }
    metrics = own.filter(method=key.method)["metric"].unique(maintain_order=True)
    return [
        {metric: [rounded(known[random].get((number, metric))) for random in (False, True)] for metric in metrics}
        for number in range(key.k)
    ]


def drawn(one: Stored, side: Side, token: str, raw: str) -> list[list[list[Any]]]:
    """Per concept what most of its pictures show: kind, class, how many of them, share of all samples.

    Empty where pictures were not drawn here, whose truth is not known.
    """
    about = read_manifest(raw)
    if about["source"] != "drawn":
        return [[] for _ in one.words]
    shown = concept_classes.names(concept_classes.scenes(side.images, about["kind"], Path(about["root"])), token)
    return [[_most(kind, values, images) for kind, values in shown.items()] for images in one.images]


def _most(kind: str, values: Sequence[str], images: np.ndarray) -> list[Any]:
    name, count = Counter(values[row] for row in images).most_common(1)[0]
    return [kind, name, count, rounded(values.count(name) / len(values))]


def by_chance(scored: pl.DataFrame, key: Key) -> dict[str, float | None]:
    """Metric -> mean score of random words, with the pictures of the main method's concepts.

    scored   `SCORED`, rows of one set
    """
    random = scored.filter(split="concept", module=key.module, method=RANDOM)
    means = random.group_by("metric", maintain_order=True).agg(pl.col("value").mean())
    return {metric: rounded(value) for metric, value in means.iter_rows()}


def from_files(
    path: str, *, method: str, main: str, scored: str, quality: str, overlap: str, classes: str, raw: str
) -> Page:
    """Cards of the dictionary that a method made of a set.

    path      dictionaries of the set
    main      xl_vlms.dictionaries.main
    scored, quality, overlap, classes   tables `SCORED`, `DICTIONARIES`, `OVERLAP`, `CLASSES`
    raw       manifest of the pictures
    """
    key, sides = key_of(path, method), dictionary_files.sides(path)
    about, pictures = dictionary_files.recipe(path), Numbered()
    token, one = about["set"], dictionary_files.read(path, key)
    values = tables.read(scored, schemas.SCORED).filter(token=token)
    found = concepts(one, sides["train"], pictures)
    parts = zip(found, scores(values, key, main), drawn(one, sides["train"], token, raw), strict=True)
    cards = [card | {"scores": told, "drawn": truth} for card, told, truth in parts]
    rows = {"quality": (quality, schemas.DICTIONARIES, QUALITY), "overlap": (overlap, schemas.OVERLAP, OVERLAP)}
    whole = {
        name: _told(tables.read(table, schema), token, key, names) for name, (table, schema, names) in rows.items()
    }
    data = {
        **{"model": about["model"], "set": token, **key._asdict()},
        "concepts": cards,
        **{"main": main, "random": by_chance(values, key)},
        "by": dict(values.select("metric", "by").unique(maintain_order=True).iter_rows()),
        **{name: found[0] if found else None for name, found in whole.items()},
        "agreement": _told(tables.read(classes, schemas.CLASSES), token, key, ("kind", "classes", *AGREEMENT)),
    }
    return Page.below(raw, data, pictures)


def _told(table: pl.DataFrame, token: str, key: Key, names: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """Rows about a dictionary, some columns of them."""
    own = table.filter(token=token, **key._asdict()).select(names)
    return [
        {name: rounded(one) if isinstance(one, float) else one for name, one in row.items()} for row in own.to_dicts()
    ]
