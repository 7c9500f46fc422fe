"""A file of lenses and records of a made-up model, as the steps before pages leave them; texts that want out."""

import io
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import polars as pl
from PIL import Image

from vlmscope.llava_interp.lens import file as lens_file
from vlmscope.llava_interp.lens import scores as lens_scores
from vlmscope.llava_interp.look import views_file
from vlmscope.llava_interp.schemas import HITS, KNOCKOUTS, RECORDS, SEGMENTATION
from vlmscope.store import tables

HOSTILE = "</script><script>document.title='gone'</script>"
WORDS = [
    "<s>",
    "<image>",
    " cat",
    "Cat",
    " dog",
    "ca",
    "cats",
    "\n",
    "\u202egnitirw",
    HOSTILE,
    "{{ 7 * 7 }}",
    "catalogue",
]
GRID, FIRST, LAYERS, K = 3, 2, 4, 3
POSITIONS = FIRST + GRID * GRID + 3
SAMPLES = ("objects-train-0", "objects-train-7", "objects-train-10")
PATCHES = (1, 4, 5)
TOLD = {"pages": 1000, "threshold": 0.5, "answers": "strict", "synonyms": {}}


@dataclass(frozen=True)
class Results:
    """Paths of the files."""

    folder: Path

    @property
    def named(self):
        """Arguments of `pages.from_files` but its settings."""
        names = ("hits", "maps", "ablation", "vqa", "knockout")
        files = {"shown": str(self.folder / "lens.h5"), "views": str(self.folder / "views.h5")}
        return files | {name: str(self.folder / f"{name}.parquet") for name in names}


def random_group(
    file, name, *, layers=LAYERS, positions=POSITIONS, k=K, grid=GRID, words=None, first=FIRST, seed=0, pixels=24
):
    """Tokens drawn from a list of texts, or from as many as a vocabulary has; returns what was put in."""
    texts = words or WORDS
    generator = np.random.default_rng(seed)
    # Ids are not places in the list of texts.
    vocabulary = np.sort(generator.choice(32064, len(texts), replace=False))
    shape = (layers, positions)
    few = len(texts) < 100
    places = (
        generator.random((*shape, len(texts))).argsort(-1)[..., :k]
        if few
        else generator.integers(0, len(texts), (*shape, k))
    )
    tokens = vocabulary[places]
    probs = -np.sort(-generator.dirichlet(np.ones(k + 2), shape)[..., :k], axis=-1)
    share = generator.random(shape) ** 4
    packed = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)).save(packed, "PNG")
    arrays = {
        "tokens": lens_scores.ids(tokens, 32064),
        "probs": lens_scores.quantised(probs),
        "share": lens_scores.quantised(share),
        "rank": generator.integers(0, 32064, shape).astype(np.int32),
        "ids": np.zeros(positions, np.int32),
        "patches": np.array(PATCHES, np.int32),
        "norms": generator.random(grid * grid).astype(np.float32),
        "vocabulary": np.unique(tokens).astype(np.int32),
        "picture": np.frombuffer(packed.getvalue(), np.uint8),
    }
    group = file.create_group(name)
    for key, values in arrays.items():
        group.create_dataset(key, data=values)
    told = dict(zip(vocabulary.tolist(), texts, strict=True))
    prompt = ["<s>", HOSTILE, *["<image>"] * grid * grid]
    prompt += [" cat"] * (positions - len(prompt))
    group.create_dataset("texts", data=[told[one] for one in np.unique(tokens).tolist()], dtype=h5py.string_dtype())
    group.create_dataset("prompt", data=prompt, dtype=h5py.string_dtype())
    group.attrs.update({"class": "cat", "grid": grid, "first": first, "geometry": "aligned"})
    return arrays


def random_views(
    file, name, *, layers=LAYERS, positions=POSITIONS, k=2, grid=GRID, words=("nearest", "cup"), first=FIRST, seed=0,
    queries=2, heads=2, lenses=("cosine",), start=40_000,
):  # fmt: skip
    """Numbers drawn at random; the texts of the other lenses have ids of their own."""
    generator = np.random.default_rng(seed)
    visual, blocks = grid * grid, layers - 1
    group = file.create_group(name)
    group.create_dataset("entropy", data=generator.random((layers, positions)) * 5)
    group.create_dataset("lengths", data=generator.random((layers, positions)) * 90)
    group.create_dataset("previous", data=generator.random((blocks, positions)) * 2 - 1)
    group.create_dataset("queries", data=np.arange(positions - queries, positions))
    group.create_dataset("heads", data=generator.integers(0, 32, (heads, blocks)))
    for part, rows in (("attention", queries), ("attention_heads", heads)):
        group.create_dataset(part, data=generator.dirichlet(np.ones(visual + 1), (rows, blocks))[..., :visual])
    for lens in lenses:
        part = group.create_group(f"lenses/{lens}")
        part.create_dataset("tokens", data=start + generator.integers(0, len(words), (layers, visual, k)))
        part.create_dataset("values", data=generator.random((layers, visual, k)) - 0.2)
    group.create_dataset("vocabulary", data=start + np.arange(len(words)))
    group.create_dataset("texts", data=list(words), dtype=h5py.string_dtype())


def records(schema, rows):
    """Rows with nothing in the columns that are not named."""
    return pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema)


def said(sample, setting, condition, text, size=None, **more):
    """One answer; those of one token are the class where the text is."""
    token = {"token": 7 if text == "cat" else 3, "first": " cat", "right": [7]} if setting == "vqa" else {}
    own = {"sample": sample, "class": "cat", "setting": setting, "condition": condition, "size": size, "text": text}
    return own | {"tokens": 2, "indices": [1, 4]} | token | more


def answers():
    """The first picture loses its object, the second keeps it, of the third nothing was asked."""
    for sample, without in zip(SAMPLES[:2], ("no", "yes"), strict=True):
        kept = "a cat" if without == "yes" else HOSTILE
        for setting, plain, own in (("generative", "a cat", kept), ("polling", "yes", without)):
            yield said(sample, setting, "none", plain, tokens=0, indices=[])
            yield from (said(sample, setting, "object", own, 1), said(sample, setting, "matched", plain, 1))
        yield said(sample, "generative", "noise", "a sofa", tokens=0, indices=[])


def make(folder):
    """All files, in a folder."""
    results = Results(folder)
    with lens_file.published(results.named["shown"], {}) as file:
        for seed, name in enumerate(SAMPLES):
            random_group(file, name, seed=seed)
    with views_file.published(results.named["views"], {}) as file:
        for seed, name in enumerate(SAMPLES):
            random_views(file, name, seed=seed)
    hit = {"class": "cat", "criterion": "strict", "topk": 1, "background": 0.0}
    hits = [
        hit | {"sample": name, "layer": layer, "rate": (0.0, 0.5, 0.5, 0.25)[layer]}
        for name in SAMPLES[:2]
        for layer in range(LAYERS)
    ]
    hits.append(hit | {"sample": SAMPLES[2], "layer": 0, "rate": 0.125, "criterion": "lenient"})
    maps = [
        {"image": SAMPLES[0], "class": "cat", "layer": layer, "iou": iou}
        for layer, iou in (("0", 0.1), ("1", 0.3), ("max", 0.9))
    ]
    one = said(SAMPLES[0], "vqa", "none", "cat", tokens=0, indices=[])
    block = {name: one[name] for name in ("sample", "class", "text", "token", "first", "right")}
    blocked = [block | {"source": "", "target": "", "sort": "", "window": ""}]
    blocked.append(
        block | {"source": "object", "target": "last", "sort": "window", "window": "all", "token": 3, "text": "dog"}
    )
    blocked.append(block | {"source": "object", "target": "last", "sort": "layer", "window": "layer_0"})
    frames = {"hits": (HITS, hits), "maps": (SEGMENTATION, maps), "ablation": (RECORDS, list(answers()))}
    frames |= {"vqa": (RECORDS, [one, said(SAMPLES[0], "vqa", "object", "dog", 1)]), "knockout": (KNOCKOUTS, blocked)}
    for name, (schema, rows) in frames.items():
        tables.write(records(schema, rows), results.named[name], schema)
    return results
