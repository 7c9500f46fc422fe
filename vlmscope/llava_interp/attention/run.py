"""Attention of the last token from files to records, in the windows of blocked attention (rollout.py)."""

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from vlmscope.llava_interp.asking import experiments, prompts
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.attention import rollout
from vlmscope.llava_interp.attention.tables import MASSES
from vlmscope.llava_interp.knockout import passes, windows

# Keys whose blocking is measured too; the random ones are the same tokens.
SOURCES = ("object_1", "random_1")


def from_files(own: Bench, samples: str) -> Found:
    """Records `MASSES` of pictures whose untouched answer is right, and the funnel of pictures.

    settings   objects, asking, attention, knockout
    """
    told = own.told["attention"]
    asked, funnel = experiments.questioned(own, samples, told["images"])
    depth = own.loaded.family.site("resid_post").layers(own.loaded.config)
    spans = [*windows.windows(depth), *windows.singles(depth)]
    spans += windows.sliding(depth, own.told["knockout"]["sliding"])
    flowing = {one.sample.sample for one in asked[: told["flow"]]}

    def of_one(one: Target) -> Iterator[Record]:
        return _of_picture(own, one, spans, one.sample.sample in flowing)

    return experiments.gathered(own, asked, of_one, MASSES), funnel


def _of_picture(own: Bench, target: Target, spans: list[windows.Window], flowing: bool) -> Iterator[Record]:
    asked, _, plain = experiments.question(own, target)
    if not experiments.right(plain):
        return
    grid = prompts.view(own.loaded).grid
    keys = passes.keys(target.patches, asked, grid, own.told["knockout"]["seed"], target.image_id)
    every = rollout.heads(own.loaded, asked)
    sets = {"picture": range(asked.first, asked.end)} | {source: keys[source] for source in SOURCES}
    for span in spans:
        place = {"sort": span.sort, "window": span.name, "layer_first": span.first, "layer_last": span.last}
        for method, paid in _paid(every[span.first : span.last + 1], len(asked.ids) - 1, sets, flowing):
            for source in SOURCES:
                found = {"method": method, "source": source, "keys": len(keys[source])}
                found |= {"mass": paid[source], "picture": paid["picture"]}
                yield experiments.named(target) | place | found


def _paid(
    layers: Tensor, query: int, sets: Mapping[str, Sequence[int]], flowing: bool
) -> Iterator[tuple[str, dict[str, float]]]:
    """Method -> what one position pays to every set in a window."""
    for method, read in rollout.METHODS.items():
        shares = read(layers, query)
        yield method, {name: rollout.mass(shares, keys) for name, keys in sets.items()}
    if flowing:
        yield "flow", {name: rollout.flow(layers, query, keys) for name, keys in sets.items()}
