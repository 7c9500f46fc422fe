"""Many questions about one picture in one row: a shared head, a shared stem, and segments blind to each other.

    head <image> ... | stem | question tail answer | question tail answer | ...

A segment attends to head, stem and itself and counts its positions as if it stood alone, so a packed row gives every
segment exactly the numbers of its own plain prompt.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from vlmscope.models.tiny.prompts import Prompt

# What the cross entropy of torch leaves out unless told otherwise.
IGNORED = -100
PADDING, HEAD, STEM = -1, 0, 1
# Segment numbers start after head and stem.
FIRST = 2
Encode = Callable[[str], list[int]]


class Segment(NamedTuple):
    """One question with its answer, and whether it follows the row's stem (a caption prompt has none)."""

    asked: list[int]
    answer: list[int]
    stemmed: bool


class Row(NamedTuple):
    """One picture's tokens."""

    head: list[int]
    stem: list[int]
    segments: list[Segment]


class Packed(NamedTuple):
    """A batch of rows.

    ids        int64 [row, token]
    labels     int64 [row, token]          the answers' ids, -100 elsewhere
    positions  int64 [row, token]
    segments   int64 [row, token]          -1 padding, 0 head, 1 stem, 2.. segments
    mask       float32 [row, 1, token, token]   added to attention scores
    """

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    mask: torch.Tensor


def row(head: list[int], prompted: list[tuple[Prompt, str]], end: str, encode: Encode) -> Row:
    """The row of one picture; all prompts share a head, and those with a stem share that.

    head       ids up to and including the picture, as the family's processor makes them
    prompted   prompts and answers
    end        token that ends an answer
    encode     text to ids without special tokens, cached by the caller
    """
    # A caption prompt has no stem; the others of a picture share one.
    stems = [prompt.stem for prompt, _ in prompted if prompt.stem]
    segments = [
        Segment(
            encode(prompt.question) + encode(prompt.tail),
            encode(f"{prompt.reply(answer)}{end}"),
            bool(prompt.stem),
        )
        for prompt, answer in prompted
    ]
    return Row(head, encode(stems[0]) if stems else [], segments)


def pack(rows: list[Row], padding: int) -> Packed:
    """Rows side by side, padded on the right."""
    lengths = [len(one.head) + len(one.stem) + sum(len(s.asked) + len(s.answer) for s in one.segments) for one in rows]
    shape = (len(rows), max(lengths))
    ids, labels = np.full(shape, padding), np.full(shape, IGNORED)
    positions, segments, stemmed = np.zeros(shape, int), np.full(shape, PADDING), np.zeros(shape, bool)
    for number, one in enumerate(rows):
        _fill(one, ids[number], labels[number], positions[number], segments[number], stemmed[number])
    mask = _mask(torch.from_numpy(segments), torch.from_numpy(stemmed))
    return Packed(*(torch.from_numpy(part) for part in (ids, labels, positions, segments)), mask)


def _fill(
    one: Row, ids: np.ndarray, labels: np.ndarray, positions: np.ndarray, segments: np.ndarray, stemmed: np.ndarray
) -> None:
    head, shared = len(one.head), len(one.head) + len(one.stem)
    ids[:shared], positions[:shared] = one.head + one.stem, np.arange(shared)
    segments[:head], segments[head:shared] = HEAD, STEM
    start = shared
    for number, segment in enumerate(one.segments, FIRST):
        middle = start + len(segment.asked)
        stop = middle + len(segment.answer)
        ids[start:stop], labels[middle:stop] = segment.asked + segment.answer, segment.answer
        # Positions go on where the segment's own prompt would: after the stem, or after the head.
        positions[start:stop] = (shared if segment.stemmed else head) + np.arange(stop - start)
        segments[start:stop], stemmed[start:stop] = number, segment.stemmed
        start = stop


def _mask(segments: torch.Tensor, stemmed: torch.Tensor) -> torch.Tensor:
    asking, asked = segments[:, :, None], segments[:, None, :]
    seen = (asked == HEAD) | (asked == asking) | ((asked == STEM) & stemmed[:, :, None])
    tokens = segments.shape[1]
    # Causal, as in the plain forward.
    seen &= torch.ones(tokens, tokens, dtype=torch.bool).tril()
    # Padding sees itself: a row of the softmax must not be empty.
    seen |= torch.eye(tokens, dtype=torch.bool)
    return torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)[:, None]
