"""Results of a made-up model in files, as the steps before pages and exports leave them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from vlmscope import samples as table
from vlmscope.mm_neurons import needs
from vlmscope.mm_neurons.image import grids
from vlmscope.mm_neurons.image.grids import Seen, Units
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons
from vlmscope.mm_neurons.schemas import CAPTIONS, EFFECTS, NEURON_TOKENS, NOUNS
from vlmscope.samples import Sample
from vlmscope.store import files, shards, tables

LAYERS, UNITS, SIDE = 2, 6, 3
TEXTS = ["dog", "Dog ", "cat", "", "tree", "</script>", "|", "red", "blue", "a\u202eb"]
ACTIVATIONS = ("act_fn", "down_proj_input")
# Caption, its nouns as (noun, position, in_picture); no position: dropped.
SAID = [
    ("a dog and a cat.", [("cat", 4, True), ("dog", 1, False)]),
    ("the dog/house", [("dog", 1, True), ("house", None, None)]),
    ("nothing", []),
    ("Dog sees dog <b>", [("<b>", 3, None), ("Dog", 0, True), ("dog", 2, True)]),
]


@dataclass(frozen=True)
class Results:
    """Paths of the files."""

    folder: Path

    def __getattr__(self, name: str) -> str:
        ending = {"neurons": "h5", "maps": "h5", "raw": "json", "index": "json"}.get(name, "parquet")
        return str(self.folder / f"{name}.{ending}")


# Every second neuron of a list is active below zero.
ODD = np.arange(LAYERS * UNITS) % 2 == 1


def order(seed):
    """Layers and units of all neurons in an order of its own."""
    places = np.random.default_rng(seed).permutation(LAYERS * UNITS)
    return places // UNITS, places % UNITS


def sample(number):
    return f"sbu-train-{number}"


def entries():
    for place, activation in enumerate(ACTIVATIONS):
        for number, (_, nouns) in enumerate(SAID):
            for noun, position, _ in nouns:
                if position is not None:
                    score = np.linspace(3, -3, LAYERS * UNITS).astype(np.float32)
                    # The same word has nearly the same neurons in every picture.
                    places = order(len(noun.casefold()) + 100 * place)
                    yield Entry(activation, "contribution", sample(number), noun, Neurons(*places, score, ODD))
                    yield Entry(activation, "random", sample(number), noun, Neurons(*order(number), score))


def nouns():
    rows = []
    for number, (_, told) in enumerate(SAID):
        for noun, position, seen in told:
            kept = {"position": position, "starts_word": True} if position is not None else {}
            about = {"tokens": [TEXTS.index(noun) if noun in TEXTS else 9], "n_subtokens": 1, "in_picture": seen}
            status = "kept" if kept else "spelled otherwise"
            rows.append({"sample": sample(number), "noun": noun, "status": status, **about, **kept})
        if not told:
            rows.append({"sample": sample(number), "status": "no noun"})
    return pl.DataFrame(rows, schema=NOUNS).with_columns(token=pl.col("tokens").list.first())


def neuron_tokens():
    rows = []
    for place in range(LAYERS * UNITS):
        for end in ("top", "bottom"):
            for rank in range(4):
                token = (place + rank + 5 * (end == "bottom")) % len(TEXTS)
                logit = (10 - rank - place / 10) * (1 if end == "top" else -1)
                rows.append((place // UNITS, place % UNITS, end, rank, token, TEXTS[token], logit))
    return pl.DataFrame(rows, schema=NEURON_TOKENS, orient="row")


def maps():
    for number, (_, told) in enumerate(SAID):
        kept = [noun for noun, position, _ in told if position is not None]
        if kept:
            drawn = np.random.default_rng(number)
            picture = Image.fromarray(drawn.integers(0, 256, (12, 12, 3), dtype=np.uint8))
            yield Seen(sample(number), picture, (SIDE, SIDE), None)
            for activation in ACTIVATIONS:
                for noun in kept:
                    values = drawn.standard_normal((LAYERS * UNITS, SIDE * SIDE)).astype(np.float16)
                    yield Units(activation, "contribution", sample(number), noun, values)


def effects():
    rows = []
    for noun in ("cat", "dog"):
        for name, activation in (("contribution", "act_fn"), ("contribution", "down_proj_input"), ("random", "")):
            for draw in range(2):
                for k in (1, 2):
                    gone = name != "random" and k == 2
                    text = "a hat." if gone else SAID[0][0]
                    for kind, sigma in (("noise", 0.5), ("zero", None)):
                        size = (sample(0), noun, name, activation, draw, kind, k, sigma)
                        rows.append((*size, gone, -0.5 * k * gone, gone, text))
    return pl.DataFrame(rows, schema=EFFECTS, orient="row")


def make(folder):
    """All files of the model in a folder."""
    found = Results(folder)
    said = [
        (sample(number), text, list(range(len(text.split()))), f"photo {number}", 10 * number)
        for number, (text, _) in enumerate(SAID)
    ]
    tables.write(pl.DataFrame(said, schema=CAPTIONS, orient="row"), found.captions, CAPTIONS)
    tables.write(nouns(), found.nouns, NOUNS)
    tables.write(neuron_tokens(), found.tokens, NEURON_TOKENS)
    tables.write(effects(), found.effects, EFFECTS)
    lists.write(found.neurons, entries(), {})
    grids.write(found.maps, maps(), {})
    pictures(found, folder)
    return found


def pictures(found, folder):
    """Raw pictures, their table, and activations of every written token."""
    rows = []
    for number, (text, _) in enumerate(SAID):
        Image.new("RGB", (20, 16), (60 * number, 80, 40)).save(folder / f"{number}.png")
        answer = json.dumps({"caption": f"photo {number}", "in_picture": None})
        about = (sample(number), "sbu", "train", number, sample(number), (f"{number}.png",), 20, 16, text, (), answer)
        rows.append(Sample(*about))
    tables.write(table.table(rows), found.samples, table.SCHEMA)
    files.write_json({"format": "vlmscope.raw/1", "root": str(folder)}, found.raw)
    drawn = np.random.default_rng(0)
    kept = {}
    for take in needs.TAKES.values():
        values = drawn.standard_normal((10 * len(SAID), LAYERS, UNITS))
        owner = np.repeat(np.arange(len(SAID)), 10).astype(np.int32)
        zeros = np.zeros(len(owner), np.int32)
        kept[take] = {"values": values, "sample": owner, "position": zeros, "token": zeros}
    shards.write(folder / "00000.h5", [sample(number) for number in range(len(SAID))], kept, {})
    shards.close_index(found.index, [str(folder / "00000.h5")], {})
