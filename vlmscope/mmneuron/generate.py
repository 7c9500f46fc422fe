"""Answers under conditions: each batch of pictures is prepared once and answered under every condition."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from PIL import Image

from vlmscope.capture.batches import picture_of
from vlmscope.datasets import base
from vlmscope.edits import zeroed
from vlmscope.mmneuron.masks import Units
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress


@dataclass(frozen=True)
class Decoding:
    """How answers are written (mmneuron.md 2.5); sampling draws each sample from its own seed, one at a time.

    official_rows   answer every row of the table, also those that only carry a further reference
    """

    decode: str = "greedy"
    max_new_tokens: int = 64
    seed: int = 0
    official_rows: bool = False


def questions(samples: Sequence[Sample]) -> list[Sample]:
    """One sample per question: rows that only carry a further reference answer are left to the evaluation.

    LingoQA asks each question twice in its table; its own benchmark takes one prediction (mmneuron.md 6).
    """
    seen: set[str] = set()
    return [sample for sample in samples if not (sample.group in seen or seen.add(sample.group))]


def answers(
    loaded: Loaded,
    samples: Sequence[Sample],
    prompt: Callable[[Sample], str],
    picture: Callable[[Sample], Image.Image],
    conditions: dict[str, Units],
    decoding: Decoding,
    batch: int,
) -> Iterator[pl.DataFrame]:
    """One table per batch of samples, all conditions in it; `arranged` puts them into the order of the samples.

    prompt    text with `<image>`, before the family's template
    """
    texts = [loaded.family.template.replace("{prompt}", prompt(sample)) for sample in samples]
    # One generator serves a whole batch, so a seed per sample means a batch per sample.
    size = 1 if decoding.decode == "sampling" else batch
    for rows in inputs.batches(loaded, texts, samples, size):
        pictures = [picture(samples[row]) for row in rows]
        tensors = inputs.encode(loaded, [texts[row] for row in rows], pictures, side="left")
        chosen = [samples[row] for row in rows]
        yield pl.concat(
            _condition(loaded, chosen, tensors, name, units, decoding) for name, units in conditions.items()
        )


def _condition(
    loaded: Loaded, samples: Sequence[Sample], tensors: dict[str, Any], name: str, units: Units, decoding: Decoding
) -> pl.DataFrame:
    sampling = None
    if decoding.decode == "sampling":
        import torch

        torch.manual_seed(answer.seed_of(decoding.seed, samples[0].dataset, samples[0].index))
        sampling = answer.OFFICIAL_SAMPLING
    with zeroed(loaded, units):
        written = answer.new_tokens(loaded, tensors, decoding.max_new_tokens, sampling)
    columns = {
        "condition": [name] * len(samples),
        "sample": [sample.sample for sample in samples],
        "group": [sample.group for sample in samples],
        "prediction": [answer.text_of(loaded, tokens) for tokens in written],
        "tokens": [len(tokens) for tokens in written],
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
    rounds = len(asked) if decoding.decode == "sampling" else inputs.rounds(loaded, asked, batch)
    return arranged(list(progress(parts, rounds, "batches")), asked, list(conditions))
