"""Answers to questions with the autoencoder in the loop: how many are still right (multimodal_sae.md 6.4).

The layer's output is replaced at every position, those of written tokens included.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vlmscope import stats
from vlmscope.metrics.vqa import com_exact
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.quality import judged, loop
from vlmscope.multimodal_sae.train import states
from vlmscope.multimodal_sae.train.job import Job
from vlmscope.session import progress

CLEAN = "clean"
# exact: share of right answers; more: than without any replacement, over the same questions; p: exact McNemar test.
DOWNSTREAM = {
    "coder": pl.String,
    "n": pl.Int64,
    "exact": pl.Float64,
    "exact_low": pl.Float64,
    "exact_high": pl.Float64,
    "more": pl.Float64,
    "more_low": pl.Float64,
    "more_high": pl.Float64,
    "p": pl.Float64,
    "same_answer": pl.Float64,
}
ANSWERS = {"sample": pl.String, "question": pl.String, "coder": pl.String, "said": pl.String, "right": pl.Boolean}
NOTES = (
    "An answer is right when it is, but for case, one that an annotator was sure of: the released measure of VQAv2.",
    "Intervals of 95 % draw questions; p is not corrected for the number of coders.",
    "No published autoencoder has such a figure.",
)
Change = Callable[[Tensor], Tensor]


def from_files(
    loaded: Loaded, *, weights: str, job: Job, asked: dict[str, Any], settings: Mapping[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Shares of right answers (`DOWNSTREAM`), and the answers (`ANSWERS`).

    weights    sae.safetensors in the autoencoder's folder
    job        whose states the components are taken from: those of the training
    asked      raws, tables, kinds and settings of the questions
    settings   multimodal_sae.downstream
    """
    coder = checkpoint.read(Path(weights).parent).to(loaded.device).requires_grad_(False)
    every, _ = judged.coders(loaded, coder, job, settings["fitted"])
    changes: dict[str, Change | None] = {CLEAN: None}
    changes |= {name: lambda x, one=one: one(x).out for name, one in every.items()}
    changes |= {"zero": torch.zeros_like}
    source = states.streamed(loaded, job.site, **asked, batch=job.batch, seed=0)
    said = written(loaded, source, changes, settings)
    truths = [json.loads(one.answer) for one in source.samples]
    right = {name: np.array(list(map(com_exact, texts, truths))) for name, texts in said.items()}
    rows = [
        {
            "sample": one.sample,
            "question": one.question,
            "coder": name,
            "said": texts[row],
            "right": right[name][row] > 0,
        }
        for name, texts in said.items()
        for row, one in enumerate(source.samples)
    ]
    return table(said, right, settings["bootstrap"], settings["seed"]), pl.DataFrame(rows, schema=ANSWERS)


@torch.inference_mode()
def written(
    loaded: Loaded, source: states.Streamed, changes: Mapping[str, Change | None], settings: Mapping[str, Any]
) -> dict[str, list[str]]:
    """What the model answers under every change of the layer's states; None for none.

    settings   max_new_tokens; keep_first: the first position of a prompt keeps its own state
    """
    found = {name: [""] * len(source.samples) for name in changes}
    site = loaded.family.site(source.take.site)
    for rows in progress(source.parts, len(source.parts), "batches"):
        shown = [source.pictures[row](source.samples[row]) for row in rows]
        tensors = inputs.encode(loaded, [source.prompts[row] for row in rows], shown, side="left")
        kept = loop.first(tensors) if settings["keep_first"] else None
        for name, change in changes.items():
            inside = nullcontext()
            if change is not None:
                inside = loop.replaced(loaded, site, source.take.layers[0], change, kept)
            with inside:
                tokens = answer.new_tokens(loaded, tensors, settings["max_new_tokens"])
            for row, one in zip(rows, tokens, strict=True):
                found[name][row] = answer.text_of(loaded, one)
    return found


def table(
    said: Mapping[str, Sequence[str]], right: Mapping[str, np.ndarray], resamples: int, seed: int
) -> pl.DataFrame:
    """`DOWNSTREAM`, in the order of the changes."""
    clean, rows = right[CLEAN], []
    for name, own in right.items():
        exact, low, high = stats.mean_interval(own, resamples, seed)
        row = {"coder": name, "n": len(own), "exact": exact, "exact_low": low, "exact_high": high}
        if name != CLEAN:
            more, more_low, more_high = stats.Draws(resamples, seed).mean(own - clean)
            row |= {"more": more, "more_low": more_low, "more_high": more_high}
            row |= {"p": stats.paired(clean, own, resamples, seed)[1]}
        same = [one == other for one, other in zip(said[name], said[CLEAN], strict=True)]
        rows.append(row | {"same_answer": float(np.mean(same))})
    return pl.DataFrame(rows, schema=DOWNSTREAM)
