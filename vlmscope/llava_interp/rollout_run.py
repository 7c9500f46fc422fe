"""Attention of the last token from files to records, in the windows of blocked attention (rollout.py)."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from vlmscope.capture.batches import picture_of
from vlmscope.llava_interp import ablate, knockout, prompts, rollout, windows
from vlmscope.llava_interp.ablate import Bench, Record
from vlmscope.llava_interp.rollout_tables import MASSES
from vlmscope.llava_interp.selection import Target
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.session import progress

# Keys whose blocking is measured too; the random ones are the same tokens.
SOURCES = ("object_1", "random_1")


def from_files(
    loaded: Loaded, *, raw: str, samples: str, settings: Mapping[str, Any], batch: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Records `MASSES` of pictures whose untouched answer is right, and the funnel of pictures.

    settings   objects, asking, attention, knockout
    """
    own = Bench(loaded, picture_of(read_manifest(raw)["root"]), None, None, settings, batch)
    targets, funnel = ablate.chosen(loaded, samples, settings)
    asked = [one for one in targets if one.sample.question][: settings["attention"]["images"]]
    depth = loaded.family.site("resid_post").layers(loaded.config)
    spans = [*windows.windows(depth), *windows.singles(depth)]
    spans += windows.sliding(depth, settings["knockout"]["sliding"])
    records = [record for one in progress(asked, len(asked), "pictures") for record in _of_picture(own, one, spans)]
    return pl.DataFrame(records, schema=MASSES), funnel | {"with_question": len(asked)}


def _of_picture(own: Bench, target: Target, spans: list[windows.Window]) -> Iterator[Record]:
    asked, _, plain = ablate.question(own, target)
    if not ablate.right(plain):
        return
    grid = prompts.view(own.loaded).grid
    keys = knockout.keys(target.patches, asked, grid, own.told["knockout"]["seed"], target.image_id)
    every = rollout.heads(own.loaded, asked)
    for span in spans:
        place = {"sort": span.sort, "window": span.name, "layer_first": span.first, "layer_last": span.last}
        for method, read in rollout.METHODS.items():
            shares = read(every[span.first : span.last + 1], len(asked.ids) - 1)
            picture = rollout.mass(shares, range(asked.first, asked.end))
            for source in SOURCES:
                found = {"method": method, "source": source, "keys": len(keys[source])}
                found |= {"mass": rollout.mass(shares, keys[source]), "picture": picture}
                yield ablate.named(target) | place | found
