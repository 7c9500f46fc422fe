"""Answers: decode with a cache, prompts padded on the left."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from vlmscope.models.load import Loaded
from vlmscope.store.files import digest_text

# The released decoding (mmneuron.md 2.5); top-k and top-p are the library defaults of its time.
OFFICIAL_SAMPLING = {"do_sample": True, "temperature": 0.9, "top_k": 50, "top_p": 1.0}


@torch.inference_mode()
def new_tokens(
    loaded: Loaded,
    inputs: dict[str, Any],
    max_new_tokens: int,
    sampling: dict[str, Any] | None = None,
    writer: Any = None,
    *,
    keep_end: bool = False,
) -> list[list[int]]:
    """Token ids written after each prompt, the end token and what follows it cut off. Greedy unless told otherwise.

    writer     part of the model that writes, where `inputs` hold embeddings; the whole model unless told otherwise
    keep_end   an end token stays, as the last one
    What else the checkpoint's own generation settings hold (a repetition penalty, say) stays as it is.
    """
    stops, pad = ends(loaded), loaded.processor.tokenizer.pad_token_id
    choice = sampling or {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    written = (writer or loaded.model).generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        eos_token_id=stops or None,
        # Behind an end anything may stand: it is cut off.
        pad_token_id=stops[0] if pad is None and stops else pad,
        num_beams=1,
        **choice,
    )
    prompt = inputs["input_ids"].shape[1]
    rows = written[:, prompt:].tolist()
    lengths = [sum(1 for _ in itertools.takewhile(lambda token: token not in stops, row)) for row in rows]
    return [row[: length + keep_end] for row, length in zip(rows, lengths, strict=True)]


def ends(loaded: Loaded) -> list[int]:
    """Ids at which an answer is over: those of the checkpoint's generation settings, and the tokenizer's own.

    Chat models stop at the end of their turn, which often only the former name, alone or in a list (Llama 3, Phi-3,
    Qwen2-VL, Idefics2); others leave it to the tokenizer.
    """
    told = loaded.model.generation_config.eos_token_id
    return sorted({*(told if isinstance(told, list) else [told]), loaded.processor.tokenizer.eos_token_id} - {None})


def seed_of(seed: int, *names: object) -> int:
    """A seed for one sample, from the run's seed and the sample's names; stable across processes."""
    # 15 hexadecimal digits are 60 bits: generators take seeds of at most 63.
    return int(digest_text(":".join(map(str, (seed, *names))))[:15], 16)


def text_of(loaded: Loaded, tokens: Sequence[int]) -> str:
    """Answer text without special tokens and outer blanks."""
    return loaded.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()
