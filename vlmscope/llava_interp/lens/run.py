"""The lens over pictures with objects, from files to records (llava_interp.md 2.8)."""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
import polars as pl

from vlmscope.lens import texts
from vlmscope.llava_interp.asking import experiments, geometry, prompts
from vlmscope.llava_interp.asking.answers import MARKS
from vlmscope.llava_interp.asking.experiments import Bench
from vlmscope.llava_interp.asking.prompts import Asked, Word
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.lens import file as lens_file
from vlmscope.llava_interp.lens import reading
from vlmscope.llava_interp.lens import scores as lens_scores
from vlmscope.llava_interp.lens.reading import Reading
from vlmscope.llava_interp.schemas import HITS, SEGMENTATION
from vlmscope.models.load import Loaded
from vlmscope.session import progress

Row = dict[str, Any]


def from_files(
    loaded: Loaded, *, raw: str, samples: str, settings: Mapping[str, Any], batch: int, target: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hits and overlaps of all pictures, `HITS` and `SEGMENTATION`; what pages show of the first goes to `target`.

    settings   objects, asking, lens
    """
    own = experiments.bench(loaded, raw, "", settings, batch)
    told = settings["lens"]
    sized = settings["objects"] | {key: told[key] for key in ("least_area", "most_area")}
    targets, _ = experiments.chosen(loaded, samples, {**settings, "objects": sized})
    targets = targets[: told["images"]]
    hits: list[Row] = []
    maps: list[Row] = []
    recipe = {"settings": dict(settings), "model": loaded.about["fingerprint"]}
    with lens_file.published(target, recipe) as file:
        known: dict[int, str] = {}
        for place, one in enumerate(progress(targets, len(targets), "pictures")):
            asked, wanted, found = _through(own, one)
            hits += _hits(own, one, asked, wanted, found, known)
            maps += _overlaps(one, asked, found, told["threshold"])
            if place < told["shown"]:
                _keep(file, own, one, asked, found, known)
    return pl.DataFrame(hits, schema=HITS), pl.DataFrame(maps, schema=SEGMENTATION)


def _through(own: Bench, one: Target) -> tuple[Asked, Word, Reading]:
    told, loaded = own.told["lens"], own.loaded
    asked = prompts.prepare(loaded, [own.ask(told["question"])], [own.picture(one.sample)], 1)[0]
    wanted = prompts.word(loaded.processor.tokenizer, one.name.lower())
    return asked, wanted, reading.read(loaded, asked, wanted.right, k=told["k"], twice=told["twice"])


def _hits(own: Bench, one: Target, asked: Asked, wanted: Word, found: Reading, known: dict[int, str]) -> Iterator[Row]:
    """Rates of one picture; texts of all its tokens become known."""
    fresh = set(np.unique(found.tokens).tolist()) - known.keys()
    known |= texts(own.loaded.processor.tokenizer, fresh)
    yield from rates(one, prompts.view(own.loaded).grid, wanted, found.tokens[:, asked.first : asked.end], known)


def rates(one: Target, grid: int, wanted: Word, seen: np.ndarray, known: Mapping[int, str]) -> Iterator[Row]:
    """Rows of `HITS`; the strict criterion only where a single token stands for the class's first word.

    seen    tokens of visual positions, int [L + 1, V, k]
    known   text of every token that occurs
    """
    ways = {"lenient": lens_scores.beginnings(known, one.name)}
    if lens_scores.strict(wanted.piece.lstrip(MARKS), one.name):
        ways["strict"] = list(wanted.right)
    near = geometry.grown(one.patches, 1, grid)
    beside = [patch for patch in range(seen.shape[1]) if patch not in set(near)]
    for criterion, tokens in sorted(ways.items()):
        for k in sorted({1, seen.shape[-1]}):
            hit = lens_scores.hits(seen[..., :k], tokens)
            for layer, row in enumerate(hit):
                yield experiments.named(one) | {
                    "layer": layer,
                    "criterion": criterion,
                    "topk": k,
                    "rate": float(row[list(one.patches)].mean()),
                    "background": float(row[beside].mean()) if beside else None,
                }


def _overlaps(one: Target, asked: Asked, found: Reading, threshold: float) -> Iterator[Row]:
    """Maps of one picture against its object."""
    inside = np.zeros(asked.visual, dtype=bool)
    inside[list(one.patches)] = True
    share = found.share[:, asked.first : asked.end]
    maps = {str(layer): row for layer, row in enumerate(share)} | {"max": share.max(0), "mean": share.mean(0)}
    for layer, scores in maps.items():
        met = lens_scores.overlap(scores, inside, threshold)._asdict()
        yield {"image": one.sample.sample, "class": one.name, "layer": layer, **met, "share": float(inside.mean())}


def _keep(file: h5py.File, own: Bench, one: Target, asked: Asked, found: Reading, known: Mapping[int, str]) -> None:
    """What pages and figures show of a picture: ids, probabilities in 16 bits, texts of the tokens that occur."""
    group, told = file.create_group(one.sample.sample), own.told["objects"]["geometry"]
    seen, tokenizer = prompts.view(own.loaded), own.loaded.processor.tokenizer
    shown = sorted(set(np.unique(found.tokens).tolist()))
    own_texts = texts(tokenizer, set(asked.ids.tolist()))
    packed = io.BytesIO()
    geometry.viewed(own.picture(one.sample), seen, "aligned").save(packed, "PNG")
    arrays = {
        "tokens": lens_scores.ids(found.tokens, len(tokenizer)),
        "probs": lens_scores.quantised(found.probs),
        "share": lens_scores.quantised(found.share),
        "rank": found.rank,
        "ids": asked.ids.cpu().numpy().astype(np.int32),
        "patches": np.array(one.patches, np.int32),
        "norms": asked.norms["register"],
        "vocabulary": np.array(shown, np.int32),
        "picture": np.frombuffer(packed.getvalue(), np.uint8),
    }
    for name, values in arrays.items():
        group.create_dataset(name, data=values)
    group.create_dataset("texts", data=[known[token] for token in shown], dtype=h5py.string_dtype())
    group.create_dataset("prompt", data=[own_texts[token] for token in asked.ids.tolist()], dtype=h5py.string_dtype())
    group.attrs.update({"class": one.name, "grid": seen.grid, "first": asked.first, "geometry": told})
