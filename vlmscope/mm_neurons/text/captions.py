"""Captions as a model wrote them, from the capture that recorded them (mm_neurons.md 2.3)."""

import json
import logging

import polars as pl

from vlmscope import samples as table
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.schemas import CAPTIONS
from vlmscope.store import shards
from vlmscope.store.shards import Answer
from vlmscope.store.spelling import Spelling, spelling

log = logging.getLogger(__name__)


def captions(answers: dict[str, Answer], samples: list[table.Sample], spelled: Spelling) -> pl.DataFrame:
    """One row per sample of the capture, in its order (`schemas.CAPTIONS`)."""
    references = {one.sample: reference(one) for one in samples}
    if missing := [name for name in answers if name not in references]:
        raise VlmscopeError(
            f"The capture has {len(missing)} samples that the sample table does not have, {missing[0]} for one.",
            where="mm_neurons.dataset",
            instead="snakemake --forcerun data_samples",
        )
    rows, row = [], 0
    for name, (tokens, end) in answers.items():
        whole = [*tokens, end] if end >= 0 else tokens
        rows.append((name, spelled.text(tokens).strip(), whole, references[name], row))
        # The token that ends an answer has no row in the capture.
        row += len(tokens)
    cut = sum(end < 0 for _, end in answers.values())
    log.info("%d captions, %d of them cut at the limit", len(rows), cut)
    return pl.DataFrame(rows, schema=CAPTIONS, orient="row")


def reference(sample: table.Sample) -> str | None:
    """The caption that the dataset has for a picture; none where it has other answers."""
    answer = json.loads(sample.answer)
    return answer.get("caption") if isinstance(answer, dict) else None


def from_files(*, model: str, index: str, samples: str) -> pl.DataFrame:
    """The table of a capture.

    model   manifest of the model that wrote
    """
    return captions(shards.read_answers(index), table.read(samples), spelling(model))
