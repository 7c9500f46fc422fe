"""What a fine-tune learns: prompts, pictures and the answers behind them, as padded batches with labels."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vlmscope.capture import batches
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs
from vlmscope.models.load import Loaded
from vlmscope.samples import Sample

# Where the formats keep what is to be said; of several captions the first.
SAID = ("phrase", "caption", "captions", "choice", "answer")
# Labels that the loss passes over.
IGNORED = -100


class Lesson(NamedTuple):
    """One sample as it is learnt.

    prompt   text with one `<image>`
    tokens   what is to be written behind it, the end token included
    """

    sample: Sample
    prompt: str
    tokens: tuple[int, ...]


def said(sample: Sample) -> str:
    """The text that a sample's answer holds."""
    held = json.loads(sample.answer)
    if isinstance(held, str):
        return held
    for key in SAID if isinstance(held, dict) else ():
        if held.get(key):
            return held[key] if isinstance(held[key], str) else held[key][0]
    raise VlmscopeError(
        "The sample holds no text that could be learnt.",
        where=sample.sample,
        instead="finetunes.*.data: a dataset of phrases, captions or short answers",
    )


def chosen(samples: Sequence[Sample], words: Sequence[str], limit: int) -> list[Sample]:
    """The first samples, at most `limit`, whose text holds one of the words as a whole, in any case; all for none."""
    pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + r")\b", re.IGNORECASE)
    found = [one for one in samples if not words or pattern.search(said(one))][:limit]
    if not found:
        raise VlmscopeError(
            f"None of {len(samples)} samples holds one of the words {', '.join(words)}.",
            where="finetunes.*.words",
            instead="words that the dataset's phrases hold",
        )
    return found


def lessons(
    loaded: Loaded, samples: Sequence[Sample], ask: Callable[[Sample], str], asked: Callable[[Sample, str], str]
) -> list[Lesson]:
    """Samples with the tokens of their answers.

    ask     prompt of a sample
    asked   the same with words that the answer is begun with
    """
    words = loaded.processor.tokenizer
    found = []
    for one in samples:
        before, whole = (words(text, add_special_tokens=False).input_ids for text in (ask(one), asked(one, said(one))))
        if whole[: len(before)] != before or len(whole) == len(before):
            raise VlmscopeError(
                "The tokens of a prompt change with the answer behind it.",
                where=f"{one.sample}: {said(one)!r}",
                instead="finetunes.*.prompt: another style",
            )
        found.append(Lesson(one, ask(one), (*whole[len(before) :], words.eos_token_id)))
    return found


def order(count: int, batch: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Places of the samples of every step, int64; all samples come once before one comes again."""
    rng = np.random.default_rng(seed)
    line = np.zeros(0, dtype=np.int64)
    for _ in range(steps):
        while len(line) < batch:
            line = np.concatenate([line, rng.permutation(count)])
        yield line[:batch]
        line = line[batch:]


def batched(
    loaded: Loaded, part: Sequence[Lesson], picture: Callable[[Sample], Image.Image], most: int
) -> Iterator[tuple[dict[str, Any], Tensor]]:
    """Inputs of the forward, and labels of its last positions, int64 [sample, position], for parts of one step.

    most   largest number of samples that go through the model together
    """
    for rows in inputs.batches(loaded, [one.prompt for one in part], [one.sample for one in part], most):
        mine = [part[row] for row in rows]
        tensors = inputs.encode(loaded, [one.prompt for one in mine], [picture(one.sample) for one in mine], "right")
        whole = batches.appended(inputs.Batch(rows, tensors), [one.tokens for one in mine])
        yield whole.inputs, labels(whole, [one.tokens for one in mine])


def labels(batch: inputs.Batch, tokens: Sequence[Sequence[int]]) -> Tensor:
    """The token after each of the last positions, where it is one that is learnt; they begin where an answer does."""
    length, first = batch.inputs["input_ids"].shape[1], min(batch.starts) - 1
    found = torch.full((len(tokens), length - first), IGNORED)
    for row, (start, said) in enumerate(zip(batch.starts, tokens, strict=True)):
        found[row, start - 1 - first : start - 1 - first + len(said)] = torch.tensor(said)
    return found.to(batch.inputs["input_ids"].device)
