"""Everything the five systems found about each word, as plain data for one page."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.atlas import compared, depth, destroyed, neurons, schemas, shown
from vlmscope.llava_interp.schemas import HITS
from vlmscope.mm_neurons.look import catalogue
from vlmscope.mm_neurons.look.examples import BAR
from vlmscope.mmneuron import masks, modules
from vlmscope.multimodal_sae.steer.features import auc
from vlmscope.store import files, tables
from vlmscope.xl_vlms.dictionaries import files as dictionary_files

ALL = "all"
# What a table row shows, in this order.
OVERLAP = ("domain", "domain_neurons", "word_neurons", "both", "expected", "random_low", "random_high", "p", "q")
MATCHES = (
    "word",
    "kind",
    "concept",
    "match",
    "latent",
    "value",
    "low",
    "high",
    "random_mean",
    "random_high",
    "random_p",
)
CHANGES = (
    *("kind", "belongs", "name", "depth", "place", "condition", "clean", "change", "change_low", "change_high"),
    *("control", "difference_low", "difference_high", "p", "n"),
)
STEERED = (
    *(
        "method",
        "n",
        "strength",
        "kl_typical",
        "gain",
        "gain_low",
        "gain_high",
        "says",
        "loss",
        "loss_low",
        "loss_high",
    ),
    *("right", "right_clean", "beyond", "beyond_low", "beyond_high"),
)
DEPTHS = ("what", "depth", "value", "low", "high", "control", "half")


def rows(frame: pl.DataFrame, columns: Sequence[str]) -> list[list[Any]]:
    """Some columns as plain lists; three digits more than a reader can use."""
    return [
        [round(value, 5) if isinstance(value, float) else value for value in row]
        for row in frame.select(columns).iter_rows()
    ]


def changes(found: pl.DataFrame, word: str) -> list[list[Any]]:
    """What a word's objects take along; for all words what belongs to others and to none, too."""
    own = found.filter(word=word)
    return rows(own if word == ALL else own.filter(pl.col("belongs") == "own"), CHANGES)


def answer(pictures: Sequence[shown.Shown]) -> list[list[float]]:
    """Probability of the word, picture by picture, under every condition."""
    return [[round(float(one), 4) for one in np.exp(each.log_probs)] for each in pictures]


def lens_rates(hits: pl.DataFrame, word: str) -> list[list[float]]:
    """Share of the object's patches that are read as the word, and of those beside it, by depth, over its pictures."""
    own = hits.filter(criterion="strict", topk=1).filter(pl.col("class").str.to_lowercase() == word)
    found = own.group_by("layer").agg(pl.col("rate").mean(), pl.col("background").mean(), pl.len()).sort("layer")
    return rows(found, ("layer", "rate", "background", "len"))


def word_neurons(listed: pl.DataFrame, word: str, domains: Mapping[str, np.ndarray], most: int) -> list[list[Any]]:
    """A word's best neurons as its catalogue lists them: name, pictures, share, rank, tokens, domains."""
    found = []
    for row in listed.filter(noun=word).sort("place").head(most).iter_rows(named=True):
        layer, unit = row["layer"], row["unit"]
        of = [name for name, own in domains.items() if name != neurons.ANY and own[layer, unit]]
        texts = (row["tokens"] or "").split(BAR)
        found.append([f"L{layer}.u{unit}", row["images"], row["share"], row["mean_rank"], texts, of])
    return found


def concepts(path: str, method: str) -> list[list[str]]:
    """Words of every concept of a dictionary, where the last state is decomposed."""
    main = dictionary_files.main_module(path)
    keys = [key for key in dictionary_files.keys(path) if (key.module, key.method) == (main, method)]
    return dictionary_files.read(path, keys[0]).words if keys else []


def maps(one: shown.Shown) -> dict[str, Any]:
    """A picture's maps as bytes, each from 0 to its highest value, which stands beside."""
    found: dict[str, Any] = {"sample": one.sample, "patches": one.patches.tolist(), "latent": one.number}
    for name, values in (("concept", one.concept), ("latents", one.latent), ("neurons", one.neurons)):
        found[name] = painted(values, one.patches)
    found["lens"] = [painted(values, one.patches, 1.0) for values in one.lens]
    return found


def painted(values: np.ndarray, patches: np.ndarray, most: float = 0.0) -> list[Any]:
    """Bytes in base 64, the value that the brightest stands for, and how well the map tells the object's patches.

    The last is the area under the ROC curve, 0.5 by chance; below zero is dark.
    """
    top = most or max(float(values.max()), 1e-9)
    shades = np.clip(255 * values / top, 0, 255).round().astype(np.uint8)
    own = np.isin(np.arange(len(values)), patches)
    area = float(auc(values[:, None], own)[0]) if own.any() and not own.all() else None
    return [base64.b64encode(shades.tobytes()).decode(), round(top, 4), area]


def from_files(
    *,
    paths: Any,
    dictionaries: Mapping[str, str],
    words: Mapping[str, str],
    settings: Mapping[str, Any],
) -> tuple[dict[str, Any], list[Image.Image]]:
    """Data of the page, and the pictures in the order in which it names them.

    paths      with attributes neurons, directions, depth, destroyed, steering: tables of the atlas; maps; hits: records
               of the lens; listed: the catalogue's neurons; domain_neurons, shapes
    settings   domains, activations, method (of dictionaries), neurons: listed at most
    """
    overlap = tables.read(paths.neurons, neurons.NEURONS).filter(layer=ALL)
    matches = tables.read(paths.directions, schemas.DIRECTIONS)
    lost = tables.read(paths.destroyed, destroyed.DESTROYED)
    steered = tables.read(paths.steering, compared.STEERING)
    hits, pictures = tables.read(paths.hits, HITS), list(shown.read(paths.maps))
    listed = tables.read(paths.listed, catalogue.NEURONS).filter(activation=settings["activations"][-1])
    domains = neurons.domain_sets(
        masks.read(paths.domain_neurons, settings["domains"]),
        files.read_json(paths.shapes)[modules.DECODER]["shape"],
    )
    every = {word: [one for one in pictures if one.word == word] for word in words.values()}
    items = [
        {
            "word": word,
            "pictures": [pictures.index(one) for one in every.get(word, [])],
            "answers": answer(every.get(word, pictures)),
            "overlap": rows(overlap.filter(word=word), OVERLAP),
            "matches": rows(matches.filter(kind="word") if word == ALL else matches.filter(word=word), MATCHES),
            "changes": changes(lost, word),
            "steering": rows(steered.filter(word=word), STEERED),
            "lens": [] if word == ALL else lens_rates(hits, word),
            "neurons": [] if word == ALL else word_neurons(listed, word, domains, settings["neurons"]),
            "concepts": concepts(dictionaries[key], settings["method"]) if key in dictionaries else [],
        }
        for key, word in [(ALL, ALL), *words.items()]
    ]
    told = {"overlap": OVERLAP, "matches": MATCHES, "changes": CHANGES, "steering": STEERED, "depth": DEPTHS}
    return {
        "columns": {name: list(columns) for name, columns in told.items()},
        "conditions": list(schemas.CONDITIONS),
        "depth": rows(tables.read(paths.depth, depth.DEPTH), DEPTHS),
        "grid": round(len(pictures[0].concept) ** 0.5) if pictures else 0,
        "items": items,
        "maps": [maps(one) for one in pictures],
    }, [one.picture for one in pictures]
