"""Answers under conditions: each batch of pictures is prepared once and answered under every condition."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from PIL import Image

from vlmscope import sweep
from vlmscope.capture.batches import picture_of
from vlmscope.datasets import base
from vlmscope.edits import Change
from vlmscope.mmneuron import masks
from vlmscope.mmneuron.masks import Units
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress
from vlmscope.sweep import Pass, Writing


@dataclass(frozen=True)
class Decoding:
    """How answers are written (mmneuron.md 2.5); sampling draws each sample from its own seed, one at a time.

    The released code samples without a seed, and its limit counts the prompt too [differs: mmneuron.md 8 #13, #14].

    official_rows   answer every row of the table, also those that only carry a further reference
    """

    decode: str = "greedy"
    max_new_tokens: int = 64
    seed: int = 0
    official_rows: bool = False


def questions(samples: Sequence[Sample]) -> list[Sample]:
    """One sample per question: rows that only carry a further reference answer are left to the evaluation.

    LingoQA asks each question twice in its table; its own benchmark takes one prediction, the released code two
    [differs: mmneuron.md 6].
    """
    seen: set[str] = set()
    return [sample for sample in samples if not (sample.group in seen or seen.add(sample.group))]


def answers(
    loaded: Loaded,
    samples: Sequence[Sample],
    prompt: Callable[[Sample], str],
    picture: Callable[[Sample], Image.Image],
    conditions: Mapping[str, Units],
    decoding: Decoding,
    batch: int,
) -> Iterator[pl.DataFrame]:
    """One table per batch of samples, all conditions in it; `arranged` puts them into the order of the samples.

    prompt    text with `<image>`, before the family's template
    batch     most samples that are encoded together, and most rows of a pass: samples times conditions
    """
    changes = [Change(units) for units in conditions.values()]
    for chosen, tensors in encoded(loaded, samples, prompt, picture, decoding, batch):
        passes = written(loaded, chosen, tensors, changes, decoding, batch)
        yield pl.concat(_table(loaded, chosen, list(conditions), one) for one in passes)


def encoded(
    loaded: Loaded,
    samples: Sequence[Sample],
    prompt: Callable[[Sample], str],
    picture: Callable[[Sample], Image.Image],
    decoding: Decoding,
    batch: int,
) -> Iterator[tuple[list[Sample], dict[str, Any]]]:
    """Batches of samples of similar length with their tensors, padded on the left; `rounds` of them."""
    texts = [loaded.family.chat(prompt(sample)) for sample in samples]
    for rows in inputs.batches(loaded, texts, samples, _together(decoding, batch)):
        pictures = [picture(samples[row]) for row in rows]
        yield (
            [samples[row] for row in rows],
            inputs.encode(loaded, [texts[row] for row in rows], pictures, side="left"),
        )


def rounds(loaded: Loaded, samples: Sequence[Sample], decoding: Decoding, batch: int) -> int:
    """How many such batches there are."""
    return inputs.rounds(loaded, samples, _together(decoding, batch))


def _together(decoding: Decoding, batch: int) -> int:
    # One generator serves a whole batch, so a seed per sample means a batch per sample.
    return 1 if decoding.decode == "sampling" else batch


def written(
    loaded: Loaded,
    samples: Sequence[Sample],
    tensors: dict[str, Any],
    changes: Sequence[Change],
    decoding: Decoding,
    rows: int,
    states: bool = False,
) -> Iterator[Pass]:
    """Answers of a batch under every change, and states of the last block where wanted; the first change first."""
    if decoding.decode == "greedy":
        yield from sweep.passes(loaded, tensors, changes, rows, Writing(decoding.max_new_tokens), states)
        return
    import torch

    writing = Writing(decoding.max_new_tokens, answer.OFFICIAL_SAMPLING)
    for number, change in enumerate(changes):
        # The same draw of numbers for each change: answers then differ by the change alone.
        torch.manual_seed(answer.seed_of(decoding.seed, samples[0].dataset, samples[0].index))
        for one in sweep.passes(loaded, tensors, [change], 1, writing, states):
            yield replace(one, pairs=((number, 0),))


def _table(loaded: Loaded, samples: Sequence[Sample], names: Sequence[str], one: Pass) -> pl.DataFrame:
    asked = [samples[row] for _, row in one.pairs]
    columns = {
        "condition": [names[number] for number, _ in one.pairs],
        "sample": [sample.sample for sample in asked],
        "group": [sample.group for sample in asked],
        "prediction": [answer.text_of(loaded, tokens) for tokens in one.written],
        "tokens": [len(tokens) for tokens in one.written],
    }
    return pl.DataFrame(columns, schema=ANSWERS)


def arranged(parts: Sequence[pl.DataFrame], samples: Sequence[Sample], conditions: Sequence[str]) -> pl.DataFrame:
    """Tables of all batches as one: by condition as listed, then in the order of the samples."""
    order = {sample.sample: place for place, sample in enumerate(samples)}
    rank = {name: place for place, name in enumerate(conditions)}
    joined = pl.concat(parts) if parts else pl.DataFrame(schema=ANSWERS)
    keys = [
        pl.col("condition").replace_strict(rank, return_dtype=pl.Int32),
        pl.col("sample").replace_strict(order, return_dtype=pl.Int32),
    ]
    return joined.sort(keys)


def from_files(
    loaded: Loaded,
    *,
    raw: str,
    samples: str,
    settings: Mapping[str, Any],
    conditions: dict[str, Units],
    batch: int,
) -> pl.DataFrame:
    """Answers of one domain under every condition."""
    benchmark, picture = base.load(settings["kind"]), picture_of(read_manifest(raw)["root"])
    decoding = Decoding(**settings["generate"])
    rows = read(samples)
    asked = rows if decoding.official_rows else questions(rows)
    parts = answers(loaded, asked, lambda one: benchmark.prompt(one, "full"), picture, conditions, decoding, batch)
    done = list(progress(parts, rounds(loaded, asked, decoding, batch), "batches"))
    return arranged(done, asked, list(conditions))


def masked(
    loaded: Loaded,
    *,
    raws: Sequence[str],
    samples: Sequence[str],
    neurons: str,
    portion: Mapping[str, str],
    settings: Mapping[str, Any],
    conditions: Sequence[tuple[str, list[str]]],
    batch: int,
) -> Iterator[pl.DataFrame]:
    """Answers of some domains in turn, each without its own neurons under every condition.

    portion      domain -> benchmark format, in the order of the files
    conditions   name, modules whose neurons are set to zero
    """
    found = masks.read(neurons, settings["domains"])
    for (domain, kind), raw, table in zip(portion.items(), raws, samples, strict=True):
        yield from_files(
            loaded,
            raw=raw,
            samples=table,
            settings={"kind": kind, "generate": settings["generate"]},
            conditions=masks.of_conditions(found, loaded.family.name, domain, conditions),
            batch=batch,
        )
