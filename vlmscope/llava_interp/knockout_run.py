"""Blocked attention from files to records: every group in every window, and by layers (llava_interp.md 2.7)."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from vlmscope.capture.batches import picture_of
from vlmscope.llava_interp import ablate, knockout, prompts, windows
from vlmscope.llava_interp.ablate import Bench, Record
from vlmscope.llava_interp.schemas import KNOCKOUTS
from vlmscope.llava_interp.selection import Target
from vlmscope.llava_interp.windows import Intervention
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.session import progress

# Groups that are also blocked layer by layer.
SWEPT = (
    ("object_1", "last"),
    ("random_1", "last"),
    ("object_1", "question_and_last"),
    ("random_1", "question_and_last"),
    ("all_but_object_1", "last"),
)


def from_files(
    loaded: Loaded, *, raw: str, samples: str, settings: Mapping[str, Any], batch: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Records of all interventions, and the funnel of pictures; nothing is written, one token answers.

    Interventions follow where the untouched answer is right by at least one way to judge.
    """
    own = Bench(loaded, picture_of(read_manifest(raw)["root"]), None, None, settings, batch)
    targets, funnel = ablate.chosen(loaded, samples, settings)
    asked = [one for one in targets if one.sample.question][: settings["knockout"]["images"]]
    wanted = interventions(loaded.family.site("resid_post").layers(loaded.config), settings["knockout"]["sliding"])
    records = [record for one in progress(asked, len(asked), "pictures") for record in _of_picture(own, one, wanted)]
    return pl.DataFrame(records, schema=KNOCKOUTS), funnel | {"with_question": len(asked)}


def interventions(depth: int, widths: list[int]) -> list[Intervention]:
    """All groups in the published windows; some of them in single layers and sliding windows."""
    found = [Intervention(*group, window) for group in windows.GROUPS for window in windows.windows(depth)]
    rows = [*windows.singles(depth), *windows.sliding(depth, widths)]
    return found + [Intervention(*group, window) for group in SWEPT for window in rows]


def _of_picture(own: Bench, target: Target, wanted: list[Intervention]) -> Iterator[Record]:
    """Records of one picture, the untouched one first."""
    asked, word, plain = ablate.question(own, target)
    yield dict.fromkeys(KNOCKOUTS) | ablate.named(target) | {"source": "", "target": ""} | plain
    if not ablate.right(plain):
        return
    grid = prompts.view(own.loaded).grid
    sources = knockout.keys(target.patches, asked, grid, own.told["knockout"]["seed"], target.image_id)
    targets = knockout.queries(asked, grid)
    for one, logits in knockout.outcomes(own.loaded, asked, wanted, sources, targets, own.batch):
        where = {
            "source": one.source,
            "target": one.target,
            "sort": one.window.sort,
            "window": one.window.name,
            "layer_first": one.window.first,
            "layer_last": one.window.last,
            "keys": len(sources[one.source]),
            "queries": len(knockout.block(one, sources, targets).queries),
        }
        yield ablate.named(target) | where | prompts.told(own.loaded, logits, word)
