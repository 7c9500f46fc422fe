"""Results of a made-up autoencoder: 12 latents, six pictures of 3 x 3 patches, texts that want out of pages."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
from PIL import Image

from vlmscope import raw, samples
from vlmscope.multimodal_sae import schemas
from vlmscope.multimodal_sae.attribution import tables as attribution_tables
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.steer import tables as steer_tables
from vlmscope.samples import Sample
from vlmscope.store import files, tables

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \u2028 {{ 7*7 }} \u202e"
LATENTS, K, GRID, HOOK = 12, 3, 3, "model.layers.1"
NAMES = [f"objects-train-{number}" for number in range(6)]
# Latent 11 never fires; 7 only in texts; 3 wherever 2 does.
TOLD = {
    **{"latents": 0, "pictures": 3, "pixels": 24, "neighbours": 2, "counted": 6, "windows": 2, "window": 4},
    **{"steered": 3, "regions": 4, "top": 2},
}
TEXTS = {"text-0": ["<s>", " a", " red", HOSTILE], "chunk-0": [" cat", "\n", " red", " dog", " a", " red"]}


def dense():
    """Values [picture, patch, latent], at most three at a patch."""
    found = np.zeros((6, GRID * GRID, LATENTS), np.float32)
    for picture in range(6):
        found[picture, picture : picture + 2, 2] = 1 + picture
        found[picture, picture : picture + 2, 3] = 0.5
        found[picture, :, 0] = 2
    found[1, 8, 5] = 7.5
    found[5, 8, [4, 6]] = [3, 1]
    return found


def cache(path, values, names, base):
    """A cache of dense values, a list of [position, latent]."""
    shape = {"latents": LATENTS, "k": K, "base": base, "dtype": "float32"}
    with cache_files.published(path, HOOK, names, {"model": "x"}, **shape) as writer:
        for place, one in enumerate(values):
            idx = np.argsort(-one, axis=1, kind="stable")[:, :K]
            writer.add(idx, np.take_along_axis(one, idx, 1), str(place))


def text_values():
    found = [np.zeros((len(tokens), LATENTS), np.float32) for tokens in TEXTS.values()]
    found[0][2, 2], found[1][2, 2], found[1][5, 2], found[1][0, 7] = 4, 1, 2, 9
    return found


def scored(latent, explainer, refined, iou, coder="trained", concept="color"):
    row = dict.fromkeys(schemas.SCORED) | {"coder": coder, "explainer": explainer, "latent": latent, "concept": concept}
    more = {"iou_shuffled": 0.01, "iou_random": 0.02, "ceiling": 0.6, "clip": 21.5, "detection": 0.8, "consistency": 1}
    return (
        row
        | {"explanation": refined, "refined": refined, "iou": iou}
        | (more if iou is not None else {"concept": None})
    )


REFUSED = "Unable to produce descriptions"
SCORES = [
    *(scored(2, "local", "car", 0.05), scored(2, "oracle", HOSTILE, 0.4)),
    *(scored(0, "local", REFUSED, None), scored(0, "oracle", REFUSED, None)),
    *(scored(5, "local", "sky", 0.2, concept="scene"), scored(11, "local", "silence", 0.0)),
    scored(2, "oracle", "other coder", 0.9, coder="untrained"),
]


def answer(feature, kind, value, category, steered):
    return {
        **{"word": "red", "kind": kind, "feature": feature, "prompt": "what?", "image": NAMES[0], "value": value},
        **{"mode": "replace", "positions": "prefill", "original": "a cat", "steered": steered, "category": category},
        "in_picture": False,
    }


RATED = [
    {"coder": coder, "explainer": "oracle", "latent": latent, "explanation": name, "refined": name, "density": 0.1}
    | {"rubric": rubric, "rubric_shuffled": 0.5, "rated": 3, "unclear": 0, "promoted": "[]"}
    for coder, latent, name, rubric in (
        *(("trained", 2, HOSTILE, 2.5), ("trained", 6, REFUSED, None), ("untrained", 2, "nobody", 3.0)),
    )
]
STEERED = [
    answer(2, "found", 50.0, "same", "a cat"),
    answer(2, "found", 50.0, "names", f"a red {HOSTILE}"),
    answer(2, "found", 100.0, "other", "a dog"),
    answer(2, "found", 100.0, "same", "a cat"),
    answer(4, "random", 50.0, "same", "a cat"),
    answer(None, "rebuilt", None, "same", "a cat"),
]
EFFECTS = [
    {"word": "red", "kind": kind, "mode": "replace", "positions": "prefill", "value": 50.0, "n": 4, "pictures": 4}
    | {"named": named, "more": more, "more_low": more, "more_high": more, "same": 0.5}
    for kind, named, more in (("found", 0.75, 0.5), ("random", 0.25, None))
]
SHARES = [
    {"image": NAMES[place], "answer": HOSTILE, "baseline": "cat", "mode": "official", "feature": 2, "part": "image"}
    | {"rank": 1, "sum": total, "pooled": 0.1, "effect": 0.3, "token": token, "value": 0.2}
    for place, total in ((0, 0.5), (1, -0.9))
    for token in (1, 2)
]
DIRECTIONS = [
    {"latent": latent, "kind": kind, "rank": rank, "other": other, "token": token, "value": value}
    for latent in (0, 2, 5)
    for kind, rank, other, token, value in (
        *(("nearest", 1, 3, None, 0.9), ("nearest", 2, 11, None, 0.1)),
        *(
            ("promoted", 1, 8, " red", 0.5 + latent),
            ("promoted", 2, 9, HOSTILE, 0.25),
            ("suppressed", 1, 7, "cat", -0.75),
        ),
    )
]


def pictures(home):
    """Six pictures of one color each, with their sample table and manifest."""
    (home / "images").mkdir(parents=True)
    rows = []
    for place, name in enumerate(NAMES):
        Image.new("RGB", (30, 20), (40 * place, 90, 120)).save(home / "images" / f"{place}.png")
        rows.append(Sample(name, "objects", "train", place, name, (f"images/{place}.png",), 30, 20, "", (), "{}"))
    tables.write(samples.table(rows), home / "train.parquet", samples.SCHEMA)
    files.write_json(raw.manifest("coco_objects", home, "drawn", {}), home / "raw.json")


def make(home):
    """All files by the names of the rule's inputs."""
    pictures(home)
    cache(home / "cache.h5", dense(), NAMES, GRID * GRID)
    cache(home / "texts.h5", text_values(), list(TEXTS), 0)
    tokens = [(name, place, 7, token) for name, told in TEXTS.items() for place, token in enumerate(told)]
    written = {
        "tokens": ("texts.parquet", pl.DataFrame(tokens, schema=schemas.TOKENS, orient="row"), schemas.TOKENS),
        "directions": ("directions.parquet", DIRECTIONS, schemas.DIRECTIONS),
        "explanations": ("explanations.csv", SCORES, schemas.SCORED),
        "text_names": ("text_explanations.csv", RATED, schemas.TEXT_SCORED),
        "steering": ("steering.csv", STEERED, schemas.STEERING),
        "effects": ("steer_effects.csv", EFFECTS, steer_tables.EFFECTS),
        "attribution": ("attribution.parquet", SHARES, attribution_tables.ATTRIBUTION),
    }
    for name, rows, schema in written.values():
        tables.write(rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, schema=schema), home / name, schema)
    read = {key: [str(home / name)] for key, (name, _, _) in written.items()} | {"texts": [str(home / "texts.h5")]}
    read |= {"raws": [str(home / "raw.json")], "samples": [str(home / "train.parquet")]}
    return SimpleNamespace(**read | {"cache": str(home / "cache.h5"), "directions": str(home / "directions.parquet")})


def data_of(path):
    """What a page holds."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])
