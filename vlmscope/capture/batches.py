"""From a sample table to batches: which samples a capture takes, which of them a shard holds, tensors for the model."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded
from vlmscope.samples import Sample

# Which tokens stand for a picture, as some decoders are told.
KINDS = ("token_type_ids", "mm_token_type_ids")
# Numbers of tokens at which parts of a picture stand; negative ones stand nowhere.
PLACES = {"image_input_idx"}


def within_budget(samples: Sequence[Sample], loaded: Loaded, most: int, vision_positions: int) -> list[Sample]:
    """The first samples up to `most`, or up to the one that reaches the budget of vision positions.

    The released code stops at 100,000 positions, 35 pictures of five tiles (mmneuron.md 2.2). The sample that
    reaches the budget counts [differs: mmneuron.md 8 #5].
    """
    chosen, positions = [], 0
    for sample in samples[:most]:
        chosen.append(sample)
        if sample.images:
            positions += loaded.family.vision_positions(loaded.config, loaded.processor, sample.width, sample.height)
        if vision_positions and positions >= vision_positions:
            break
    return chosen


def of_shard(samples: Sequence[Sample], shard: int, shards: int) -> list[Sample]:
    """Part number `shard` of nearly equal consecutive parts."""
    bounds = [len(samples) * place // shards for place in (shard, shard + 1)]
    return list(samples[bounds[0] : bounds[1]])


def prefill(
    loaded: Loaded,
    samples: Sequence[Sample],
    prompt: Callable[[Sample], str],
    picture: Callable[[Sample], Image.Image],
    batch: int,
) -> Iterator[inputs.Batch]:
    """Right-padded batches of similar length, longest first; `inputs.rounds` of them."""
    texts = [prompt(sample) for sample in samples]
    for rows in inputs.batches(loaded, texts, samples, batch):
        pictures = [picture(samples[row]) for row in rows if samples[row].images]
        tensors = inputs.encode(loaded, [texts[row] for row in rows], pictures, side="right")
        yield inputs.Batch(rows, tensors)


def answered(
    loaded: Loaded,
    batches: Iterable[inputs.Batch],
    max_new_tokens: int,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[inputs.Batch]:
    """The same batches with the greedy answer behind each prompt, for one more plain pass over both.

    States of that pass equal those of the decoding steps; a single pass reads them all at once, wherever they are.

    around   what holds while a batch is written
    """
    stops = set(answer.ends(loaded))
    for batch in batches:
        with around():
            written = answer.new_tokens(loaded, left_padded(batch.inputs), max_new_tokens, keep_end=True)
        ended = tuple(row[-1] if row and row[-1] in stops else -1 for row in written)
        said = [row if end < 0 else row[:-1] for row, end in zip(written, ended, strict=True)]
        yield replace(appended(batch, said), ended=ended)


def left_padded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Right-padded token tensors with their padding moved to the left, as generation needs it."""
    mask = tensors["attention_mask"]
    # A stable sort of the mask puts zeros first and keeps the order of the tokens.
    order = mask.sort(dim=1, stable=True).indices
    moved = {key: tensors[key].gather(1, order) for key in _by_token(tensors)}
    for key in PLACES & tensors.keys():
        gap = (mask == 0).sum(1).view(-1, *[1] * (tensors[key].ndim - 1))
        moved[key] = torch.where(tensors[key] < 0, tensors[key], tensors[key] + gap)
    return {**tensors, **moved}


def _by_token(tensors: dict[str, Tensor]) -> list[str]:
    """Tensors with an entry per token of the decoder; a Q-Former has tokens of its own."""
    return [key for key in ("input_ids", "attention_mask", *KINDS) if key in tensors]


def appended(batch: inputs.Batch, written: Sequence[Sequence[int]]) -> inputs.Batch:
    """A right-padded batch whose rows go on with the written tokens; the end token is not among them."""
    mask = batch.inputs["attention_mask"]
    starts = mask.sum(1).tolist()
    length = max(start + len(tokens) for start, tokens in zip(starts, written, strict=True))
    # Kinds of tokens are 0 for text.
    longer = {key: batch.inputs[key].new_zeros(len(starts), length) for key in _by_token(batch.inputs)}
    for row, (start, tokens) in enumerate(zip(starts, written, strict=True)):
        end = start + len(tokens)
        for key, value in longer.items():
            value[row, :start] = batch.inputs[key][row, :start]
        longer["input_ids"][row, start:end] = longer["input_ids"].new_tensor(tokens)
        longer["attention_mask"][row, :end] = 1
    return inputs.Batch(batch.rows, {**batch.inputs, **longer}, tuple(starts))


def picture_of(root: str | Path) -> Callable[[Sample], Image.Image]:
    """A reader of pictures below a dataset's folder."""
    from vlmscope.samples import picture

    return lambda sample: picture(sample, Path(root))
