"""Answers: decode with a cache, prompts padded on the left."""

from collections.abc import Sequence
from typing import Any

import torch

from vlmscope.models.load import Loaded
from vlmscope.store.files import digest_text

# The released decoding (mmneuron.md 2.5); top-k and top-p are the library defaults of its time.
OFFICIAL_SAMPLING = {"do_sample": True, "temperature": 0.9, "top_k": 50, "top_p": 1.0}


@torch.inference_mode()
def new_tokens(
    loaded: Loaded, inputs: dict[str, Any], max_new_tokens: int, sampling: dict[str, Any] | None = None
) -> list[list[int]]:
    """Token ids written after each prompt, the end token and what follows it cut off. Greedy unless told otherwise."""
    tokenizer = loaded.processor.tokenizer
    choice = sampling or {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    written = loaded.model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        num_beams=1,
        **choice,
    )
    prompt = inputs["input_ids"].shape[1]
    return [_before_end(row, tokenizer.eos_token_id) for row in written[:, prompt:].tolist()]


def _before_end(row: Sequence[int], end: int) -> list[int]:
    return list(row[: row.index(end)]) if end in row else list(row)


def seed_of(seed: int, *names: object) -> int:
    """A seed for one sample, from the run's seed and the sample's names; stable across processes."""
    return int(digest_text(":".join(map(str, (seed, *names))))[:15], 16)


def text_of(loaded: Loaded, tokens: Sequence[int]) -> str:
    """Answer text without special tokens and outer blanks."""
    return loaded.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()
