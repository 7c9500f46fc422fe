"""Attention of the last token from files to records, in the windows of blocked attention (rollout.py)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from torch import Tensor

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
    flowing = {one.sample.sample for one in asked[: settings["attention"]["flow"]]}
    records = [
        record
        for one in progress(asked, len(asked), "pictures")
        for record in _of_picture(own, one, spans, one.sample.sample in flowing)
    ]
    return pl.DataFrame(records, schema=MASSES), funnel | {"with_question": len(asked)}


def _of_picture(own: Bench, target: Target, spans: list[windows.Window], flowing: bool) -> Iterator[Record]:
    asked, _, plain = ablate.question(own, target)
    if not ablate.right(plain):
        return
    grid = prompts.view(own.loaded).grid
    keys = knockout.keys(target.patches, asked, grid, own.told["knockout"]["seed"], target.image_id)
    every = rollout.heads(own.loaded, asked)
    sets = {"picture": range(asked.first, asked.end)} | {source: keys[source] for source in SOURCES}
    for span in spans:
        place = {"sort": span.sort, "window": span.name, "layer_first": span.first, "layer_last": span.last}
        for method, paid in _paid(every[span.first : span.last + 1], len(asked.ids) - 1, sets, flowing):
            for source in SOURCES:
                found = {"method": method, "source": source, "keys": len(keys[source])}
                found |= {"mass": paid[source], "picture": paid["picture"]}
                yield ablate.named(target) | place | found


def _paid(
    layers: Tensor, query: int, sets: Mapping[str, Sequence[int]], flowing: bool
) -> Iterator[tuple[str, dict[str, float]]]:
    """Method -> what one position pays to every set in a window."""
    for method, read in rollout.METHODS.items():
        shares = read(layers, query)
        yield method, {name: rollout.mass(shares, keys) for name, keys in sets.items()}
    if flowing:
        yield "flow", {name: rollout.flow(layers, query, keys) for name, keys in sets.items()}
