"""The affine lens from files to records: fitted on one split, judged on another beside the plain lens (tuned.py)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.lens import texts
from vlmscope.llava_interp.asking import experiments, prompts
from vlmscope.llava_interp.asking.experiments import Bench, Record
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.lens import run, tuned
from vlmscope.llava_interp.lens.tuned import Maps, Running
from vlmscope.llava_interp.lens.tuned_tables import HITS
from vlmscope.models.load import Loaded
from vlmscope.samples import read
from vlmscope.session import progress


def from_files(
    loaded: Loaded, *, raw: str, fitted: str, samples: str, settings: Mapping[str, Any], batch: int
) -> tuple[Maps, dict[str, str], pl.DataFrame]:
    """The maps, what is told of them, and records `HITS` of both lenses on pictures that were not fitted.

    fitted     sample table of the pictures that the maps are fitted on; samples: of those that are judged
    settings   objects, asking, lens, tuned
    """
    own = experiments.bench(loaded, raw, "", settings, batch)
    maps, pictures, positions = _fit(own, fitted)
    told = settings["lens"]
    sized = settings["objects"] | {key: told[key] for key in ("least_area", "most_area")}
    targets, _ = experiments.chosen(loaded, samples, {**settings, "objects": sized})
    targets, known = targets[: told["images"]], {}
    records = [row for one in progress(targets, len(targets), "pictures") for row in _judged(own, one, maps, known)]
    about = {"pictures": pictures, "positions": positions, "ridge": settings["tuned"]["ridge"]}
    about |= {"fingerprint": loaded.about["fingerprint"]}
    return maps, {key: str(value) for key, value in about.items()}, pl.DataFrame(records, schema=HITS)


def _fit(own: Bench, fitted: str) -> tuple[Maps, int, int]:
    told, loaded = own.told["tuned"], own.loaded
    rows = read(fitted)[: told["images"]]
    if not rows:
        raise VlmscopeError("There is no picture to fit the lens on.", where=fitted, instead="a split with pictures")
    site = loaded.family.site("resid_post")
    running = Running.of(site.layers(loaded.config), site.width(loaded.config), loaded.device)
    text = own.ask(own.told["lens"]["question"])
    starts = range(0, len(rows), own.batch)
    for start in progress(starts, len(starts), "batches"):
        pictures = [own.picture(one) for one in rows[start : start + own.batch]]
        for asked in prompts.prepare(loaded, [text] * len(pictures), pictures, own.batch):
            running.add(tuned.states(loaded, asked))
    return running.fit(told["ridge"]), len(rows), running.count


def _judged(own: Bench, one: Target, maps: Maps, known: dict[int, str]) -> Iterator[Record]:
    """Rates and distances of one picture through both lenses."""
    told, loaded = own.told["lens"], own.loaded
    asked = prompts.prepare(loaded, [own.ask(told["question"])], [own.picture(one.sample)], 1)[0]
    wanted = prompts.word(loaded.processor.tokenizer, one.name.lower())
    plain = tuned.states(loaded, asked)
    for name, found in (("plain", plain), ("affine", maps.through(plain))):
        seen, far = tuned.best(loaded, found, told["k"])
        known |= texts(loaded.processor.tokenizer, set(np.unique(seen).tolist()) - known.keys())
        grid = prompts.view(loaded).grid
        for row in run.rates(one, grid, wanted, seen, known):
            yield {"lens": name} | row | {"divergence": float(far[row["layer"]].mean())}
