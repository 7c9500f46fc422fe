"""Captions read and written anew, many rows at once: pictures are looked at once, rows differ in what is changed.

A row is a prompt with its picture and, where it is read, the tokens of a caption behind it. Steps are counted from the
first token of the caption: the state at step s predicts token s.
"""

import logging
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vlmscope import sweep
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded

log = logging.getLogger(__name__)

# How far logits may lie apart, as a share of the largest, for two ways to be the same.
CLOSE = {torch.float32: 1e-4, torch.float64: 1e-4}
CLOSE_16_BIT = 2e-2


@dataclass(frozen=True)
class Prompt:
    """A prompt with its picture, ready for many passes.

    ids      int64 [token]      without padding
    embeds   float [token, d]   what enters block 0; None where the decoder needs more than that
    kind     rows of a batch must have it in common
    """

    text: str
    picture: Image.Image
    ids: Tensor
    embeds: Tensor | None
    kind: Hashable


def prepare(loaded: Loaded, texts: Sequence[str], pictures: Sequence[Image.Image], batch: int) -> list[Prompt]:
    """Prompts in the order of their texts, each picture looked at once where the decoder can do without it."""
    found: dict[int, Prompt] = {}
    shared = bool(texts) and _suffice(loaded, texts[0], pictures[0])
    log.info("Pictures are looked at %s.", "once" if shared else "in every pass: this decoder needs them")
    for rows in inputs.batches(loaded, texts, pictures, batch):
        tensors = inputs.encode(loaded, [texts[row] for row in rows], [pictures[row] for row in rows], side="right")
        real = tensors["attention_mask"].bool()
        # Made inside inference mode, the values could not be used where gradients are asked for.
        embeds = sweep.embeddings(loaded, tensors).clone() if shared else [None] * len(rows)
        for place, row in enumerate(rows):
            kept = embeds[place][real[place]] if shared else None
            kind = None if shared else loaded.family.alike(loaded.config, loaded.processor, *pictures[row].size)
            found[row] = Prompt(texts[row], pictures[row], tensors["input_ids"][place][real[place]], kept, kind)
    return [found[row] for row in range(len(texts))]


def batches(prompts: Sequence[Prompt], most: int) -> Iterator[list[int]]:
    """Numbers of rows that may go together, at most so many, those of a kind in their order."""
    groups: dict[Hashable, list[int]] = {}
    for row, prompt in enumerate(prompts):
        groups.setdefault(prompt.kind, []).append(row)
    for rows in groups.values():
        yield from (rows[start : start + most] for start in range(0, len(rows), most))


@torch.inference_mode()
def _suffice(loaded: Loaded, text: str, picture: Image.Image) -> bool:
    """Whether the decoder reads the same from embeddings alone: some derive positions or masks from the picture."""
    if not hasattr(sweep.decoder(loaded), "generate"):
        return False
    tensors = inputs.encode(loaded, [text], [picture], side="left")
    tokens = [tensors["input_ids"][0, -1:].tolist()]
    whole = _forward(loaded, _with(loaded, tensors, tokens, 1), 2)
    alone = {key: tensors[key] for key in ("input_ids", "attention_mask")}
    alone |= {"inputs_embeds": sweep.embeddings(loaded, tensors)} | sweep.flags(loaded, tensors["input_ids"])
    found = _forward(loaded, _with(loaded, alone, tokens, 1), 2)
    allowed = CLOSE.get(whole.dtype, CLOSE_16_BIT) * whole.abs().max()
    return bool((found.to(whole) - whole).abs().max() <= allowed)


def logits(loaded: Loaded, prompts: Sequence[Prompt], tokens: Sequence[Sequence[int]]) -> Tensor:
    """Logits at every step of the rows' tokens and behind the last, [row, step, vocabulary].

    Rows with fewer tokens go on with numbers that mean nothing. Gradients flow where they are switched on.
    """
    steps = max(map(len, tokens))
    tensors = _with(loaded, _padded(loaded, prompts), tokens, steps)
    return _forward(loaded, tensors, steps + 1)


@torch.inference_mode()
def log_probs(loaded: Loaded, prompts: Sequence[Prompt], tokens: Sequence[Sequence[int]]) -> Tensor:
    """Log-probabilities at the same steps, float32."""
    return logits(loaded, prompts, tokens).float().log_softmax(-1)


def write(loaded: Loaded, prompts: Sequence[Prompt], max_new_tokens: int) -> list[list[int]]:
    """Greedy captions of the rows, without the end token."""
    tensors = _padded(loaded, prompts)
    writer = sweep.decoder(loaded) if "inputs_embeds" in tensors else None
    return answer.new_tokens(loaded, tensors, max_new_tokens, writer=writer)


def _padded(loaded: Loaded, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Tensors of the prompts, padded on the left."""
    if any(prompt.embeds is None for prompt in prompts):
        return inputs.encode(
            loaded, [prompt.text for prompt in prompts], [prompt.picture for prompt in prompts], side="left"
        )
    ids = pad_sequence([prompt.ids for prompt in prompts], batch_first=True, padding_side="left")
    ones = [torch.ones_like(prompt.ids) for prompt in prompts]
    tensors = {
        "input_ids": ids,
        "attention_mask": pad_sequence(ones, batch_first=True, padding_side="left"),
        "inputs_embeds": pad_sequence([prompt.embeds for prompt in prompts], batch_first=True, padding_side="left"),
    }
    return tensors | sweep.flags(loaded, ids)


def _with(loaded: Loaded, tensors: dict[str, Any], tokens: Sequence[Sequence[int]], steps: int) -> dict[str, Any]:
    """The same with the rows' tokens behind the prompts, padded on the right."""
    ids = tensors["input_ids"]
    more, seen = ids.new_zeros(len(tokens), steps), ids.new_zeros(len(tokens), steps)
    for row, part in enumerate(tokens):
        more[row, : len(part)] = ids.new_tensor(part)
        seen[row, : len(part)] = 1
    # Other marks of tokens (kind of token, say) are 0 for text.
    marks = {key: one for key, one in tensors.items() if torch.is_tensor(one) and one.shape == ids.shape}
    longer = {key: torch.cat([one, torch.zeros_like(more, dtype=one.dtype)], 1) for key, one in marks.items()}
    longer |= {
        "input_ids": torch.cat([ids, more], 1),
        "attention_mask": torch.cat([tensors["attention_mask"], seen], 1),
    }
    if "inputs_embeds" in tensors:
        behind = sweep.decoder(loaded).get_input_embeddings()(more).to(tensors["inputs_embeds"])
        longer["inputs_embeds"] = torch.cat([tensors["inputs_embeds"], behind], 1)
    return tensors | longer


def _forward(loaded: Loaded, tensors: dict[str, Any], keep: int) -> Tensor:
    """Logits of the last `keep` positions, from embeddings where there are some."""
    if "inputs_embeds" not in tensors:
        return loaded.model(**tensors, use_cache=False, logits_to_keep=keep).logits
    mask = tensors["attention_mask"]
    rest = {key: one for key, one in tensors.items() if key != "input_ids"}
    places = (mask.cumsum(1) - 1).clamp(min=0)
    return sweep.decoder(loaded)(**rest, position_ids=places, use_cache=False, logits_to_keep=keep).logits
