"""Small results of every kind that the page of words reads, with texts that want out of it."""

from types import SimpleNamespace

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.atlas import compared, depth, destroyed, neurons, schemas, shown
from vlmscope.llava_interp.schemas import HITS
from vlmscope.mm_neurons.look import catalogue
from vlmscope.mmneuron import schemas as domain_schemas
from vlmscope.store import files, tables

DOMAINS = ["com", "med"]
HOSTILE = "</script><script>document.title='out'</script>"
SETTINGS = {"domains": DOMAINS, "activations": ["down_proj_input"], "method": "snmf", "neurons": 5}
# Value of a cell by its type, unless it is told.
CELLS = {pl.String: "x", pl.Float64: 0.25, pl.Int64: 2, pl.Int32: 1, pl.Boolean: True}


def frame(schema, *rows):
    """A table whose cells are told or of a value of their type."""
    return pl.DataFrame([{key: CELLS.get(kind) for key, kind in schema.items()} | row for row in rows], schema=schema)


def picture(sample, word):
    """A picture of two by two patches; its first patch is the object's."""
    maps = [np.array(values, np.float32) for values in ([1, 0.5, -1, 0], [0, 0, 0, 3], [0.2, 0.1, 0.1, 0.1])]
    lens = np.array([[0.1, 0, 0, 0], [0.9, 0, 0, 0.5]], np.float32)
    logs = np.log([0.9, 0.1, 0.8, 0.2, 0.7])
    return shown.Shown(sample, word, Image.new("RGB", (8, 8), "red"), 7, np.array([0]), *maps, lens, logs)


def make(folder):
    """All files, by the names under which the page's step reads them."""
    every = ("all", "dog", HOSTILE)
    changes = [
        {"word": word, "kind": kind, "belongs": belongs, "name": "all", "place": "last", "condition": condition}
        for word in every
        for kind, belongs in (("concept", "own"), ("latent", "own"), ("answer", "own"), ("concept", "other"))
        for condition in ("object", "blocked")
    ]
    changes.append(changes[8] | {"kind": "neuron", "name": "L0.u1", "belongs": "own"})
    # Not every word is steered to.
    steering = [{"word": word, "method": method} for word in every[:2] for method in ("concept", "random")]
    listed = [{"noun": "dog", "layer": 0, "unit": 1, "place": 1, "tokens": f"dog|{HOSTILE}", "share": 0.5}]
    rates = [
        {"class": "dog", "layer": layer, "criterion": "strict", "topk": 1, "rate": 0.5 * layer} for layer in (0, 1)
    ]
    written = {
        "neurons": (neurons.NEURONS, [{"word": word, "domain": "any", "layer": "all"} for word in every]),
        "directions": (schemas.DIRECTIONS, [{"word": word, "kind": "word"} for word in every[1:]]),
        "depth": (depth.DEPTH, [{"what": depth.LENS, "depth": number} for number in (0, 1)]),
        "destroyed": (destroyed.DESTROYED, changes),
        "steering": (compared.STEERING, steering),
        "hits": (HITS, rates),
        "listed": (catalogue.NEURONS, [one | {"activation": "down_proj_input"} for one in listed]),
        "domain_neurons": (
            domain_schemas.neurons(DOMAINS),
            [{"module": "lang", "layer": 0, "index": 1, "domain": "med"}],
        ),
    }
    for name, (schema, rows) in written.items():
        tables.write(frame(schema, *rows), folder / f"{name}.parquet", schema)
    files.write_json({"lang": {"shape": [2, 4]}}, folder / "shapes.json")
    shown.write(folder / "maps.h5", [picture("a", "dog"), picture("b", "dog")], {})
    found = {name: str(folder / f"{name}.parquet") for name in written}
    return SimpleNamespace(**found, shapes=str(folder / "shapes.json"), maps=str(folder / "maps.h5"))
