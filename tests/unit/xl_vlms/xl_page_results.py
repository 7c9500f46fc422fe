"""Results of a made-up model in files, as the steps before pages leave them: drawn pictures, texts that want out."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from vlmscope import samples as table
from vlmscope.samples import Sample
from vlmscope.store import files, tables
from vlmscope.world.draw import draw
from vlmscope.xl_vlms.captions import tables as caption_tables
from vlmscope.xl_vlms.dictionaries import dictionary, schemas
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries.files import Key, Side, Stored
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.steer.schemas import EFFECTS, STEERED

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \u2028 {{ 7*7 }} \u202e"
K, TRAIN, TEST, WIDTH = 3, 9, 4, 5
WORDS = [["dog", "Dog", "red", HOSTILE], ["dog", "blue", "blue"], []]
SETTINGS = {"method": "snmf", "samples": 3, "strongest": 2}
VECTORS = {
    "yes-no": {"task": "targeted", "original": "yes", "wanted": "no", "target": {"types": []}},
    "to-number": {"task": "type", "original": "", "wanted": "", "target": {"types": ["number"]}},
    "style-red": {"task": "caption", "original": "", "wanted": "", "target": {"types": []}},
}


@dataclass(frozen=True)
class Results:
    """Paths of the files."""

    folder: Path

    def __getattr__(self, name: str) -> str:
        kinds = {"raw": "json", "shift": "json", "dog": "h5", "before": "h5", "after": "h5"}
        csv = ("quality", "overlap", "classes", "effects", "steer_captions")
        return str(self.folder / f"{name}.{kinds.get(name, 'csv' if name in csv else 'parquet')}")


def image(number):
    return f"p_{number:012d}.jpg"


def side(name, count, first):
    names = [f"coco-{name}-{number}" for number in range(count)]
    return Side(
        names, [image(first + number) for number in range(count)], [f"a dog {HOSTILE}", *["a dog"] * (count - 1)]
    )


def stored(method="snmf"):
    """Sample i belongs to concept i modulo K, the first ones most."""
    projected = np.zeros((TRAIN, K), np.float32)
    projected[np.arange(TRAIN), np.arange(TRAIN) % K] = 10 - np.arange(TRAIN)
    held_out = np.array([[3, 1, 2], [0, 0, 5], [0, 0, 0], [1, 2, 3]], np.float32)
    own = dictionary.Dictionary(
        np.eye(K, WIDTH, dtype=np.float32), projected, method, 1.0, np.zeros(WIDTH), np.zeros(0)
    )
    images = np.argsort(-projected, axis=0, kind="stable")[:2].T
    return Stored(Key("final_norm", method, K, 0), own, projected, held_out, WORDS, images)


def about(**more):
    return {"model": "m", "token": "dog", "module": "final_norm", "method": "snmf", "k": K, "seed": 0, **more}


def scored():
    rows = []
    for method, base in (("snmf", 0.5), ("random", 0.1)):
        own = about(metric="CS", by="clip", method=method)
        rows += [own | {"split": "concept", "item": str(k), "top_k": 0, "value": base + k / 10} for k in range(K)]
        rows += [own | {"split": "test", "item": f"coco-test-{n}", "top_k": 1, "value": base + n} for n in range(TEST)]
    return pl.DataFrame(rows, schema=schemas.SCORED)


def write_dictionaries(found):
    sides = [side("train", TRAIN, 0), side("test", TEST, TRAIN)]
    dictionary_files.write(
        found.dog, [stored(), stored("kmeans")], sides, {"model": "m", "set": "dog", "main": "final_norm"}
    )
    tables.write(scored(), found.scored, schemas.SCORED)
    rows = {
        "quality": (schemas.DICTIONARIES, about(n=TRAIN, n_test=TEST, error_test=0.25, sparsity=2 / 3, dead=0)),
        "overlap": (schemas.OVERLAP, about(overlap_list=0.5, low=0.4, high=0.6, random_list=0.1)),
        "classes": (schemas.CLASSES, about(kind="colour", classes=4, nmi=0.7, nmi_random_samples=0.4)),
    }
    for name, (schema, row) in rows.items():
        tables.write(pl.DataFrame([dict.fromkeys(schema) | row], schema=schema), getattr(found, name), schema)


def write_shift(found):
    def row(concept, shifted):
        sides = {"original": ["dog", "left"], "shifted": ["dog", "red", HOSTILE], "tuned": ["dog", "Red", "red"]}
        images = {name: ["coco-train-0", "coco-train-1"] for name in ("original", "shifted", "tuned")}
        numbers = {"n": 4, "denom": 2, "orig_count": 1, "shifted_count": shifted, "magnitude": 1.5}
        return {"concept": concept, "words": sides | {"vector": ["red"]}, "images": images, **numbers}

    arm = {"n": 2, "t_overlap": 50.0, "t_overlap_low": 40.0, "t_overlap_high": 60.0, "cosine": 0.9}
    arm |= {"cosine_low": 0.8, "cosine_high": 1.0}
    arms = [arm | {"alpha": alpha, "arm": name} for alpha in (0.0, 1.0) for name in ("shift", "random")]
    told = {
        "format": "vlmscope.shift/1",
        "model": "m",
        "tuned": f"m-red{HOSTILE}",
        "set": "dog",
        "module": "final_norm",
    }
    told |= {"method": "kmeans", "k": 2, "alpha": 1.0, "samples": 8, "keywords": ["red"]}
    told["pictures"] = {f"coco-train-{number}": image(number) for number in range(2)}
    files.write_json({**told, "rows": {"concepts": [row(0, 1), row(1, 2)], "alpha": arms}}, found.shift)
    for name, text in (("before", "a dog"), ("after", f"a red dog {HOSTILE}")):
        names = [f"coco-train-{number}" for number in range(2)]
        known = {"samples": names, "texts": [text] * 2, "images": [image(0), image(1)], "row": np.arange(2)}
        vectors.write(getattr(found, name), vectors={"final_norm": np.ones((2, 3))}, recipe={}, **known)


def sample(number, kind, **answer):
    name = f"{'vqa' if kind != 'coco' else 'coco'}-val-{number}"
    told = {"answer_type": kind, "choice": HOSTILE, "answers": [], **answer}
    return Sample(name, "vqa", "val", number, name, (image(number),), 8, 8, f"is it {HOSTILE}?", (), json.dumps(told))


def condition(number, kind, vector="", block=-1, alpha=0.0, draw=0):
    own = {"condition": number, "kind": kind, "vector": vector, "block": block, "alpha": alpha, "draw": draw}
    return own | {"positions": "all", "start": 0, "n_samples": 0}


def every(vector, first):
    """A vector at three strengths and two controls; one strength comes twice."""
    told = [("vector", 0.5, 0), ("vector", 1.0, 0), ("alpha", -1.0, 0), ("alpha", 1.0, 0), ("gated", 1.0, 0)]
    told += [("random", 1.0, 0), ("random", 1.0, 1), ("shuffled", 1.0, 0)]
    return [condition(first + place, kind, vector, 2, alpha, draw) for place, (kind, alpha, draw) in enumerate(told)]


def written(row, name, plain):
    if row["kind"] == "none" or (row["kind"] == "gated" and name.endswith("0")):
        return plain
    return {"vector": f"{row['alpha']:g}", "alpha": f"{row['alpha']:g}", "gated": "no"}.get(row["kind"], f"{plain}!")


def steered(names, conditions, plain):
    rows = [
        row
        | {"sample": name, "prediction": written(row, name, plain), "tokens": 1}
        | {"steered": row["kind"] != "none" and not (row["kind"] == "gated" and name.endswith("0"))}
        for row in conditions
        for name in names
    ]
    return pl.DataFrame(rows, schema=STEERED)


def write_steering(found):
    kinds = ["yes/no", "number", "yes/no", "yes/no", "other"]
    asked = [sample(number, kind) for number, kind in enumerate(kinds)]
    names = [one.sample for one in asked]
    conditions = [condition(0, "none"), *every("yes-no", 1), *every("to-number", 9)]
    tables.write(steered(names, conditions, "yes"), found.answers, STEERED)
    tables.write(table.table(asked), found.vqa, table.SCHEMA)
    rows = [{"model": "m", "seed": 0, **row, "n": 5, "changed_pct": 10.0 * row["condition"]} for row in conditions]
    tables.write(pl.DataFrame([dict.fromkeys(EFFECTS) | row for row in rows], schema=EFFECTS), found.effects, EFFECTS)
    told = [sample(number, "coco", captions=["a dog", "x"]) for number in range(2)]
    names = [one.sample for one in told]
    tables.write(table.table(told), found.coco, table.SCHEMA)
    plain = [condition(0, "none"), *[row for row in every("style-red", 1) if row["kind"] != "alpha"]]
    tables.write(steered(names, plain, f"a dog {HOSTILE}"), found.captions, STEERED)
    schema = caption_tables.EXAMPLES
    shown = {"vector": "style-red", "style": "red", "kind": "vector", "block": 2, "alpha": 1.0, "sample": names[1]}
    tables.write(pl.DataFrame([dict.fromkeys(schema) | shown], schema=schema), found.examples, schema)
    schema, own = caption_tables.TABLE, {"model": "m", "vector": "style-red", "seed": 0, "n": 2}
    rows = [own | {"kind": kind, "block": 2, "alpha": 1.0, "draws": 2, "cider": 50.0} for kind in ("vector", "random")]
    rows.append(own | {"kind": "none", "alpha": 0.0, "cider": 60.0})
    tables.write(
        pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema), found.steer_captions, schema
    )


def make(folder):
    """All files of a model."""
    found = Results(folder)
    for number in range(TRAIN + TEST):
        Image.fromarray(draw("com", number).image).save(folder / image(number), quality=95, subsampling=0)
    files.write_json(
        {"format": "vlmscope.raw/1", "root": str(folder), "source": "drawn", "kind": "karpathy"}, found.raw
    )
    write_dictionaries(found)
    write_shift(found)
    write_steering(found)
    return found
