"""Which positions of a batch a take looks at."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vlmscope.capture.plan import Take
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded
from vlmscope.store import spelling


def chosen(loaded: Loaded, take: Take, batch: Batch) -> Tensor:
    """Text positions of a take, bool [sample, token]; with keep = first, the first one of every sample."""
    if take.where == "word":
        mask = _before_words(loaded.processor.tokenizer, take.words, batch)
    elif take.where == "at":
        mask = _listed(take.at, batch)
    else:
        mask = positions(take.where, batch, loaded.family.image_token(loaded.config))
    return mask & (mask.cumsum(1) == 1) if take.keep == "first" else mask


def positions(where: str, batch: Batch, image_token: int) -> Tensor:
    """Positions of a kind: bool [sample, token], padding never included.

    The answer's positions are those of the written tokens; emitting ones stand one earlier, where the state
    predicted them.
    """
    inputs = batch.inputs
    real = inputs["attention_mask"].bool()
    if where in ("answer", "emitting"):
        early = int(where == "emitting")
        places = torch.arange(real.shape[1], device=real.device) + early
        starts = torch.tensor(batch.starts, device=real.device)[:, None]
        return (places >= starts) & (places < real.sum(1, keepdim=True))
    if where == "image":
        return real & (inputs["input_ids"] == image_token)
    if where == "text":
        return real & (inputs["input_ids"] != image_token)
    if where == "last":
        places = torch.arange(real.shape[1], device=real.device)
        return real & (places == (real * places).argmax(1, keepdim=True))
    return real


def _listed(at: Sequence[int], batch: Batch) -> Tensor:
    """Positions by number, counted without padding, negative ones from the end; those beyond a text are not there."""
    real = batch.inputs["attention_mask"].bool()
    number = real.cumsum(1) - 1
    from_end = number - real.sum(1, keepdim=True)
    wanted = torch.tensor(at, device=real.device)
    return real & (torch.isin(number, wanted[wanted >= 0]) | torch.isin(from_end, wanted[wanted < 0]))


def _before_words(tokenizer: Any, words: Sequence[str], batch: Batch) -> Tensor:
    """Positions whose state predicted the beginning of one of the words in the written answer (xl_vlms.md 2.2)."""
    mask = torch.zeros_like(batch.inputs["attention_mask"], dtype=torch.bool)
    ends = batch.inputs["attention_mask"].sum(1).tolist()
    for row, (start, end) in enumerate(zip(batch.starts, ends, strict=True)):
        written = batch.inputs["input_ids"][row, start:end].tolist()
        mask[row, [start + place - 1 for place in word_starts(tokenizer, written, words)]] = True
    return mask


def word_starts(tokenizer: Any, tokens: Sequence[int], words: Sequence[str]) -> list[int]:
    """Tokens at which one of the words begins in the text that they make (`spelling.word_starts`)."""

    def read(part: Sequence[int]) -> str:
        return tokenizer.decode(part, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    return spelling.word_starts(read, tokens, words)
