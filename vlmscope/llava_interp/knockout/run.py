"""Blocked attention from files to records: every group in every window, and by layers (llava_interp.md 2.7)."""

from collections.abc import Iterator

from vlmscope.llava_interp.asking import experiments, prompts
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.knockout import passes, windows
from vlmscope.llava_interp.knockout.windows import Intervention
from vlmscope.llava_interp.schemas import KNOCKOUTS

# Groups that are also blocked layer by layer.
SWEPT = (
    ("object_1", "last"),
    ("random_1", "last"),
    ("object_1", "question_and_last"),
    ("random_1", "question_and_last"),
    ("all_but_object_1", "last"),
)


def from_files(own: Bench, samples: str) -> Found:
    """Records of all interventions, and the funnel of pictures; nothing is written, one token answers.

    Interventions follow where the untouched answer is right by at least one way to judge.
    """
    told, model = own.told["knockout"], own.loaded
    asked, funnel = experiments.questioned(own, samples, told["images"])
    wanted = interventions(model.family.site("resid_post").layers(model.config), told["sliding"])
    return experiments.gathered(own, asked, lambda one: _of_picture(own, one, wanted), KNOCKOUTS), funnel


def interventions(depth: int, widths: list[int]) -> list[Intervention]:
    """All groups in the published windows; some of them in single layers and sliding windows."""
    found = [Intervention(*group, window) for group in windows.GROUPS for window in windows.windows(depth)]
    rows = [*windows.singles(depth), *windows.sliding(depth, widths)]
    return found + [Intervention(*group, window) for group in SWEPT for window in rows]


def _of_picture(own: Bench, target: Target, wanted: list[Intervention]) -> Iterator[Record]:
    """Records of one picture, the untouched one first."""
    asked, word, plain = experiments.question(own, target)
    yield dict.fromkeys(KNOCKOUTS) | experiments.named(target) | {"source": "", "target": ""} | plain
    if not experiments.right(plain):
        return
    grid = prompts.view(own.loaded).grid
    sources = passes.keys(target.patches, asked, grid, own.told["knockout"]["seed"], target.image_id)
    targets = passes.queries(asked, grid)
    for one, logits in passes.outcomes(own.loaded, asked, wanted, sources, targets, own.batch):
        where = {
            "source": one.source,
            "target": one.target,
            "sort": one.window.sort,
            "window": one.window.name,
            "layer_first": one.window.first,
            "layer_last": one.window.last,
            "keys": len(sources[one.source]),
            "queries": len(passes.block(one, sources, targets).queries),
        }
        yield experiments.named(target) | where | prompts.told(own.loaded, logits, word)
