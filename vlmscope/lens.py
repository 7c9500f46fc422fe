"""Logit lens: what the final norm and the unembedding make of states inside the model (mmneuron.md 2.6).

Any site of the residual stream's width can be read, and sums of such sites too. Notation: V vocabulary, d width.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vlmscope.capture import run, taps
from vlmscope.errors import VlmscopeError
from vlmscope.models.base import Site
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded

# The released code reads these four: channel -> sites whose sum is read.
CHANNELS: dict[str, tuple[str, ...]] = {
    "block": ("resid_post",),
    "attention": ("attn_out",),
    "middle": ("resid_pre", "attn_out"),
    "mlp": ("mlp_out",),
}
# Logits held at once: 256 MB in float32, 2,000 positions of a vocabulary of 32,000.
MOST_VALUES = 1 << 26
# Begins a word and is made of letters alone.
WORD = re.compile(r"\s[^\W\d_]{2,}")


@dataclass(frozen=True)
class Reading:
    """What the lens says at some positions; every array may have a layer axis in front.

    entropy       float32 [row]      of the distribution over the vocabulary, in nats, 0 .. ln V
    tokens        int64   [row, k]   the most probable tokens, best first
    probability   float32 [row, k]   theirs
    """

    entropy: Tensor
    tokens: Tensor
    probability: Tensor


def logits(loaded: Loaded, states: Tensor) -> Tensor:
    """Logits [..., V] that the model would give if `states` [..., d] left its last block; in the model's precision."""
    norm, head = (taps.module_at(loaded.model, path) for path in _paths(loaded))
    return head(norm(states.to(_place(norm))).to(_place(head)))


def _paths(loaded: Loaded) -> tuple[str, str]:
    if not loaded.family.head:
        raise VlmscopeError(
            f"The family {loaded.family.name} writes no text, so there is no lens.",
            where="the model of a logit lens",
            instead="a model with a language decoder",
        )
    return loaded.family.norm, loaded.family.head


def _place(module: nn.Module) -> torch.device:
    """Where a module computes; the parts of a large model lie on several devices."""
    return next(module.parameters()).device


@torch.inference_mode()
def read(loaded: Loaded, states: Tensor, k: int) -> Reading:
    """Read states [row, d] through norm and head, in parts, so that never more than `MOST_VALUES` logits exist."""
    width = taps.module_at(loaded.model, _paths(loaded)[1]).weight.shape[0]
    parts = [_read(logits(loaded, part), k) for part in states.split(max(1, MOST_VALUES // width))]
    return Reading(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _read(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Entropy, top tokens and their probabilities of logits [row, V]."""
    share = scores.float().softmax(-1)
    top = share.topk(min(k, share.shape[-1]), dim=-1)
    # entr is 0 at 0: a token that is ruled out (a logit of minus infinity) adds nothing.
    return torch.special.entr(share).sum(-1), top.indices, top.values


# ---- all layers in one pass --------------------------------------------------------------------------------------


def through(
    loaded: Loaded, batch: Batch, rows: Tensor, k: int, channels: Mapping[str, Sequence[str]] = CHANNELS
) -> dict[str, Reading]:
    """One forward pass of a right-padded batch, every layer of every channel read at the chosen positions.

    rows       bool [sample, token]
    channels   name -> sites whose sum is read
    returns    channel -> arrays [layer, row] and [layer, row, k] on the host, rows by sample, then position
    """
    places = rows.flatten().nonzero().squeeze(1)
    sinks = {
        name: _Channel(loaded, [_stream(loaded, one) for one in sites], places, k) for name, sites in channels.items()
    }
    with torch.inference_mode(), contextlib.ExitStack() as hooks:
        for sink in sinks.values():
            for site in sink.sites:
                hooks.enter_context(taps.reading(loaded, site, sink.layers, sink.see))
        run.forward(loaded, batch)
    return {name: sink.result() for name, sink in sinks.items()}


def _stream(loaded: Loaded, name: str) -> Site:
    """A site of that name, refused where its states are no vectors of the residual stream."""
    site, stream = loaded.family.site(name), loaded.family.site("resid_post")
    if site.stream != "text" or site.width(loaded.config) != stream.width(loaded.config):
        raise VlmscopeError(
            f"The site '{name}' does not hold vectors of the residual stream.",
            where="the channels of a logit lens",
            instead="sites such as resid_pre, resid_post, attn_out, mlp_out, embeds",
        )
    return site


class _Channel:
    """Adds up the sites of one channel layer by layer and reads the sum as soon as it is there."""

    def __init__(self, loaded: Loaded, sites: Sequence[Site], places: Tensor, k: int) -> None:
        self.loaded, self.sites, self.places, self.k = loaded, sites, places, k
        counts = {site.layers(loaded.config) for site in sites}
        if len(counts) > 1:
            raise VlmscopeError("Sites of unlike numbers of layers cannot be added.", where="the channels of a lens")
        self.layers = list(range(counts.pop()))
        self.sums: dict[int, list[Tensor]] = {}
        self.read: dict[int, Reading] = {}

    def see(self, layer: int, value: Tensor) -> None:
        """States of one site, [sample, token, d]."""
        parts = self.sums.setdefault(layer, [])
        parts.append(value.flatten(0, 1).index_select(0, self.places.to(value.device)))
        if len(parts) == len(self.sites):
            first, *others = self.sums.pop(layer)
            for other in others:
                first = first + other.to(first.device)
            # Read at once: states of all layers and channels would not fit beside a large model.
            found = read(self.loaded, first, self.k)
            self.read[layer] = Reading(found.entropy.cpu(), found.tokens.cpu(), found.probability.cpu())

    def result(self) -> Reading:
        """All layers on the host."""
        order = [self.read[layer] for layer in self.layers]
        return Reading(
            torch.stack([one.entropy for one in order]),
            torch.stack([one.tokens for one in order]),
            torch.stack([one.probability for one in order]),
        )


@contextlib.contextmanager
def shifted(loaded: Loaded, vectors: Mapping[int, Tensor], site: str = "attn_out") -> Iterator[None]:
    """Add a vector [d] to what a site gives, layer -> vector, at every position; lenses inside see the sum.

    The released code can add to the attention's output and never does (mmneuron.md 2.6).
    """
    place, handles = loaded.family.site(site), []
    known = range(place.layers(loaded.config))
    if beyond := sorted(set(vectors) - set(known)):
        raise VlmscopeError(
            f"The model has no layers {beyond}; it has {len(known)}.",
            where="vectors to be added",
            instead="tensors named by layer numbers, counted from 0",
        )
    try:
        for layer, vector in vectors.items():
            module = taps.module_at(loaded.model, place.path, layer)
            handles.append(module.register_forward_hook(_adding(vector), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adding(vector: Tensor) -> Any:
    def after(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return output + vector.to(output)

    return after


# ---- tokens as text ----------------------------------------------------------------------------------------------


def texts(tokenizer: Any, tokens: Iterable[int]) -> dict[int, str]:
    """Token id -> its text, with the blank in front where it begins a word.

    Tokenizers drop that blank at the beginning of a text, so each token is read behind another one. Parts of a
    character stay as the vocabulary writes them; ids beyond the vocabulary (padded heads) are named `<id N>`.
    """
    anchor = tokenizer.encode("a", add_special_tokens=False)[:1]
    start = _decoded(tokenizer, anchor)
    return {token: _text(tokenizer, anchor, start, token) for token in sorted(set(tokens))}


def _decoded(tokenizer: Any, tokens: Sequence[int]) -> str:
    return tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _text(tokenizer: Any, anchor: list[int], start: str, token: int) -> str:
    piece = tokenizer.convert_ids_to_tokens(token) if token < len(tokenizer) else None
    if piece is None:
        return f"<id {token}>"
    both = _decoded(tokenizer, [*anchor, token])
    text = both[len(start) :] if both.startswith(start) else ""
    return piece if not text or "\ufffd" in text else text


def is_word(text: str) -> bool:
    """Whether a token begins a word and is made of letters alone; what follows it is not looked at."""
    return WORD.fullmatch(text) is not None
