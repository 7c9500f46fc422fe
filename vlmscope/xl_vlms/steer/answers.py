"""Answers under steering: every prompt is read once and continued under all conditions, many rows at a time.

xl_vlms.md 2.10 and 10. Behind block l the prompt is recomputed above l alone; behind the last block all conditions
share it, and the first tokens are norm and head of the pushed states.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope import replay, samples
from vlmscope.capture import batches
from vlmscope.capture.shard import prompts
from vlmscope.datasets import base
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded
from vlmscope.pushes import Push, pushed
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.session import progress
from vlmscope.xl_vlms.steer import conditions, files, source
from vlmscope.xl_vlms.steer.conditions import Condition
from vlmscope.xl_vlms.steer.schemas import STEERED

log = logging.getLogger(__name__)


def written(
    loaded: Loaded, tensors: Mapping[str, Any], every: Sequence[Condition], max_new_tokens: int, rows: int
) -> Iterator[tuple[int, int, list[int], bool]]:
    """(condition, sample, tokens, whether it was steered) of a batch of prompts, padded on the left.

    rows   most rows of a pass
    """
    last = loaded.family.site("resid_post").layers(loaded.config) - 1
    places = [last if one.direction is None else one.block for one in every]
    known = replay.prefix(loaded, tensors, places)
    count, behind = len(known.inputs["input_ids"]), _behind_picture(loaded, known.inputs)
    for block in sorted(set(places)):
        ends = known.ends(block).float().cpu().numpy()
        held = {number: every[number].holds(ends) for number, place in enumerate(places) if place == block}
        pairs = [(number, sample) for number in held for sample in range(count)]
        for start in range(0, len(pairs), rows):
            part = pairs[start : start + rows]
            steered = [bool(held[number][sample]) for number, sample in part]
            pushes = [
                [_push(every[number], block, behind[sample])] * on
                for (number, sample), on in zip(part, steered, strict=True)
            ]
            tokens = _continued(loaded, known, block, [sample for _, sample in part], pushes, max_new_tokens)
            yield from ((*pair, one, on) for pair, one, on in zip(part, tokens, steered, strict=True))


def _push(one: Condition, block: int, behind: int) -> Push:
    return Push(block, one.direction, one.alpha, one.positions, one.start or behind)


def _behind_picture(loaded: Loaded, tensors: Mapping[str, Any]) -> list[int]:
    """Number of the first position behind the picture, padding not counted."""
    image = loaded.family.image_token(loaded.config)
    rows = zip(tensors["input_ids"].cpu(), tensors["attention_mask"].bool().cpu(), strict=True)
    return [int((ids[mask] == image).nonzero().max()) + 1 for ids, mask in rows]


def _continued(
    loaded: Loaded, known: replay.Prefix, block: int, some: list[int], pushes: list[list[Push]], most: int
) -> list[list[int]]:
    own = known.rows(some)
    with replay.replayed(loaded, known, block, some), pushed(loaded, pushes, own["attention_mask"]):
        return answer.new_tokens(loaded, own, most)


def answers(
    loaded: Loaded,
    asked: Sequence[Sample],
    texts: Sequence[str],
    picture: Any,
    every: Sequence[Condition],
    max_new_tokens: int,
    batch: int,
) -> Iterator[pl.DataFrame]:
    """A table per batch of questions, `STEERED`."""
    for rows in inputs.batches(loaded, texts, asked, batch):
        pictures = [picture(asked[row]) for row in rows]
        tensors = inputs.encode(loaded, [texts[row] for row in rows], pictures, side="left")
        found = [
            {
                "condition": number,
                "sample": asked[rows[sample]].sample,
                "prediction": answer.text_of(loaded, tokens),
                "tokens": len(tokens),
                "steered": on,
            }
            for number, sample, tokens, on in written(loaded, tensors, every, max_new_tokens, batch)
        ]
        yield pl.DataFrame(found, schema_overrides={"condition": pl.Int64, "tokens": pl.Int64})


def table(parts: Sequence[pl.DataFrame], every: Sequence[Condition], asked: Sequence[Sample]) -> pl.DataFrame:
    """Tables of all batches as one, by condition, then in the order of the questions."""
    names = ("kind", "vector", "block", "alpha", "positions", "start", "draw", "n_samples")
    about = pl.DataFrame([{name: getattr(one, name) for name in names} for one in every], infer_schema_length=None)
    about = about.with_columns(condition=pl.int_range(pl.len(), dtype=pl.Int64))
    order = {one.sample: place for place, one in enumerate(asked)}
    joined = pl.concat(parts).join(about, on="condition")
    ranked = joined.with_columns(place=pl.col("sample").replace_strict(order, return_dtype=pl.Int64))
    return ranked.sort("condition", "place").select(pl.col(name).cast(kind) for name, kind in STEERED.items())


def from_files(
    loaded: Loaded,
    *,
    raw: str,
    samples_table: str,
    steering: Sequence[str],
    paired: Sequence[str],
    settings: Mapping[str, Any],
    batch: int,
) -> pl.DataFrame:
    """Answers to the evaluation questions under every condition, `STEERED`.

    paired     vectors whose concepts are paired (steer.directions), none where that is not done
    settings   kind of the dataset, vectors (xl_vlms.vectors), steer (xl_vlms.steer), swept
    """
    steer, found = settings["steer"], dict(files.read_all(steering))
    every = conditions.planned(found, settings, settings["swept"])
    if paired:
        every += conditions.pairs(source.from_files(paired, []), steer)
    asked = samples.read(samples_table)[: steer["questions"]]
    log.info("%d conditions, %d questions", len(every), len(asked))
    ask = prompts(loaded, base.load(settings["kind"]), steer["prompt"])
    texts, picture = [ask(one) for one in asked], batches.picture_of(read_manifest(raw)["root"])
    parts = answers(loaded, asked, texts, picture, every, steer["max_new_tokens"], batch)
    return table(list(progress(parts, inputs.rounds(loaded, asked, batch), "batches")), every, asked)
