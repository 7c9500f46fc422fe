"""Prompts with their picture, embedded once and answered under many conditions (llava_interp.md 2.1, 4).

Visual tokens are the positions of the prompt that stand for the picture, found by their id. Notation: S positions of
the prompt, V visual tokens, d width of the stream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vlmscope import sweep
from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking.answers import MARKS
from vlmscope.llava_interp.asking.geometry import View
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded


@dataclass(frozen=True)
class Asked:
    """One prompt, ready for many passes.

    ids      int64 [S]
    embeds   float [S, d]   what enters block 0; visual tokens as the projector gave them
    first    position of the first visual token
    visual   V
    norms    rule -> float32 [V]: lengths of the visual tokens, behind the projector and in front of it
    """

    ids: Tensor
    embeds: Tensor
    first: int
    visual: int
    norms: Mapping[str, np.ndarray]

    @property
    def end(self) -> int:
        """The position behind the last visual token."""
        return self.first + self.visual


def view(loaded: Loaded) -> View:
    """The one square that the model sees of every picture; families that cut pictures into several are refused."""
    told = getattr(loaded.config, "vision_config", None)
    side, patch = getattr(told, "image_size", 0), getattr(told, "patch_size", 0)
    pictures = (side, side), (3 * side, side)
    positions = {loaded.family.vision_positions(loaded.config, loaded.processor, *size) for size in pictures if side}
    if not patch or positions != {(side // patch) ** 2 + 1}:
        raise VlmscopeError(
            f"The family {loaded.family.name} does not see a picture as one square of patches.",
            where="run.llava_interp",
            instead="models of the families llava, llava_phi",
        )
    return View(side, side // patch)


def text(loaded: Loaded, told: Mapping[str, Any], question: str, begin: str = "") -> str:
    """A question as the model is asked it.

    told    prompt: what stands around a question, "<image>\\n{question}"; prompts: the same for single families
    begin   words that the answer is begun with
    """
    shape = told["prompts"].get(loaded.family.name, told["prompt"])
    return loaded.family.chat(shape.replace("{question}", question), begin)


def begun(begin: str, name: str) -> str:
    """What the answer about a class is begun with: `{a}` becomes its article, "a" or "an".

    The released code has "It is a" throughout, which before a vowel goes on with "n" [differs: llava_interp.md 8 #8].
    """
    return begin.replace("{a}", "an" if name[:1].lower() in "aeiou" else "a")


@torch.inference_mode()
def prepare(loaded: Loaded, texts: Sequence[str], pictures: Sequence[Image.Image], batch: int) -> list[Asked]:
    """Prompts in the order of their texts; every picture is looked at once."""
    found: dict[int, Asked] = {}
    site = loaded.family.site("vision_resid")
    layer = max(set(range(site.layers(loaded.config))) - site.inert(loaded.config))
    for rows in inputs.batches(loaded, texts, pictures, batch):
        tensors = inputs.encode(loaded, [texts[row] for row in rows], [pictures[row] for row in rows], side="right")
        towers: dict[int, Tensor] = {}
        with taps.reading(loaded, site, [layer], towers.__setitem__):
            # Made inside inference mode, the values could not be used where gradients are asked for.
            embeds = sweep.embeddings(loaded, tensors)
        for place, row in enumerate(rows):
            real = tensors["attention_mask"][place].bool()
            found[row] = _asked(loaded, tensors["input_ids"][place][real], embeds[place][real], towers[layer][place])
    return [found[row] for row in range(len(texts))]


def _asked(loaded: Loaded, ids: Tensor, embeds: Tensor, tower: Tensor) -> Asked:
    places = (ids == loaded.family.image_token(loaded.config)).nonzero().squeeze(1).tolist()
    wanted = view(loaded).grid ** 2
    if len(places) != wanted or places[-1] - places[0] != wanted - 1:
        raise VlmscopeError(
            f"The prompt has {len(places)} visual tokens, the picture {wanted} patches.",
            where="llava_interp.prompts.prepare",
            instead="a prompt with one <image>",
        )
    first = places[0]
    states = {"register": embeds[first : first + wanted], "register_tower": tower[-wanted:]}
    norms = {name: one.float().norm(dim=-1).cpu().numpy() for name, one in states.items()}
    return Asked(ids, embeds, first, wanted, norms)


# ---- rows of a batch ----------------------------------------------------------------------------------------------


# A prompt, positions that are taken away.
Row = tuple[Asked, Sequence[int]]


def without(asked: Asked, tokens: Sequence[int], value: Tensor | None) -> Tensor:
    """Embeddings with some visual tokens replaced, float [S, d].

    tokens   numbers of visual tokens, from 0
    value    float [d]; None for zeros
    """
    if not len(tokens):
        return asked.embeds
    changed = asked.embeds.clone()
    places = torch.as_tensor(tokens, device=changed.device) + asked.first
    changed[places] = 0 if value is None else value.to(changed)
    return changed


def padded(loaded: Loaded, rows: Sequence[Row], value: Tensor | None) -> dict[str, Any]:
    """Tensors of rows, padded on the left."""
    ids = pad_sequence([asked.ids for asked, _ in rows], batch_first=True, padding_side="left")
    ones = [torch.ones_like(asked.ids) for asked, _ in rows]
    embeds = [without(asked, tokens, value) for asked, tokens in rows]
    tensors = {
        "input_ids": ids,
        "attention_mask": pad_sequence(ones, batch_first=True, padding_side="left"),
        "inputs_embeds": pad_sequence(embeds, batch_first=True, padding_side="left"),
    }
    return tensors | sweep.flags(loaded, ids)


def write(loaded: Loaded, rows: Sequence[Row], value: Tensor | None, most: int, batch: int) -> list[str]:
    """Greedy answers of the rows, in their order, at most `most` tokens each."""
    found: dict[int, str] = {}
    for part in inputs.by_length([len(asked.ids) for asked, _ in rows], batch):
        tensors = padded(loaded, [rows[row] for row in part], value)
        written = answer.new_tokens(loaded, tensors, most, writer=sweep.decoder(loaded))
        found |= {row: answer.text_of(loaded, one) for row, one in zip(part, written, strict=True)}
    return [found[row] for row in range(len(rows))]


@torch.inference_mode()
def next_logits(loaded: Loaded, rows: Sequence[Row], value: Tensor | None, batch: int) -> Tensor:
    """Logits behind the last position of the rows, float32 [row, vocabulary] on the host."""
    found: dict[int, Tensor] = {}
    for part in inputs.by_length([len(asked.ids) for asked, _ in rows], batch):
        tensors = padded(loaded, [rows[row] for row in part], value)
        found |= zip(part, behind(loaded, tensors).float().cpu(), strict=True)
    return torch.stack([found[row] for row in range(len(rows))])


def behind(loaded: Loaded, tensors: Mapping[str, Any]) -> Tensor:
    """Logits behind the last position of left-padded embeddings, [row, vocabulary]."""
    rest = {key: one for key, one in tensors.items() if key != "input_ids"}
    places = (tensors["attention_mask"].cumsum(1) - 1).clamp(min=0)
    return sweep.decoder(loaded)(**rest, position_ids=places, use_cache=False, logits_to_keep=1).logits[:, -1]


# ---- one token as an answer ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """The first token of a class.

    piece    as the tokenizer writes it
    token    its id
    right    ids of its beginning with a blank in front and without: what counts as the class
    """

    piece: str
    token: int
    right: tuple[int, ...]


def word(tokenizer: Any, name: str) -> Word:
    """The first token of a class, or of any other word."""
    pieces = tokenizer.tokenize(name)
    # A mark by itself says nothing about the class.
    bare = next((piece.lstrip(MARKS) for piece in pieces if piece.strip(MARKS)), "")
    known = tokenizer.get_vocab()
    right = [known[one] for one in (*(mark + bare for mark in MARKS), bare) if one in known and bare]
    return Word(pieces[0], known[pieces[0]], tuple(dict.fromkeys(right)))


def told(loaded: Loaded, logits: Tensor, wanted: Word) -> dict[str, Any]:
    """What the next token is, and how likely that of the class: columns of records.

    logits   float32 [vocabulary]
    """
    shares = logits.float().softmax(-1)
    token = int(shares.argmax())
    return {
        "text": loaded.processor.tokenizer.decode([token], skip_special_tokens=True),
        "token": token,
        "prob": float(shares[token]),
        "first": wanted.piece,
        "first_prob": float(shares[wanted.token]),
        "right": list(wanted.right),
        "right_prob": float(shares[list(wanted.right)].sum()),
        "right_log_prob": float(logits.float().log_softmax(-1)[list(wanted.right)].logsumexp(0)),
    }
