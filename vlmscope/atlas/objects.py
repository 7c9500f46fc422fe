"""Concepts, latents and neurons of a picture's object, with the object and without it.

A picture's own question, answered by the object's word, is read five times in one batch: as it is, with the object's
tokens or as many others replaced, and with the last position blind for them (llava_interp.md 2.5, 2.7).
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlmscope import sweep
from vlmscope.atlas import latents
from vlmscope.atlas.known import Known, Units
from vlmscope.atlas.schemas import CONDITIONS
from vlmscope.blocking import Block, blocked
from vlmscope.capture import taps
from vlmscope.llava_interp.asking import geometry, prompts, tokens
from vlmscope.llava_interp.asking.experiments import Bench
from vlmscope.llava_interp.asking.prompts import Asked, Word
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.models.load import Loaded

SITES = ("resid_post", "mlp_hidden", "mlp_gate")
# Site, layer -> values.
Seen = dict[tuple[str, int], np.ndarray]
Record = dict[str, Any]


@dataclass(frozen=True)
class Followed:
    """One picture read under all conditions.

    seen        site, layer -> float32 [condition, position, unit]; activations of `Known.followed` units
    log_probs   float64 [condition]   of the word
    plain       float32 [vocabulary]   log probabilities of the next token, untouched
    places      name -> positions of the prompt
    """

    target: Target
    asked: Asked
    seen: Seen
    log_probs: np.ndarray
    plain: np.ndarray
    places: Mapping[str, Sequence[int]]


def sets(target: Target, grid: int, buffer: int, seed: int) -> tuple[list[int], list[int]]:
    """Patches of the object with its neighbours, and as many others at random."""
    own = geometry.grown(target.patches, buffer, grid)
    values = tokens.seeded(seed, target.image_id, "matched", buffer)
    return own, tokens.drawn(values, grid * grid, len(own), set(own))


@torch.inference_mode()
def follow(bench: Bench, known: Known, target: Target, asked: Asked, word: Word, told: Mapping[str, Any]) -> Followed:
    """Read the picture's question under all conditions.

    told   buffer, seed
    """
    loaded, last = bench.loaded, len(asked.ids) - 1
    own, others = sets(target, prompts.view(loaded).grid, told["buffer"], told["seed"])
    replaced = [(), own, others, (), ()]
    embeds = torch.stack([prompts.without(asked, one, bench.value) for one in replaced])
    layers = range(loaded.family.site("resid_post").layers(loaded.config))
    keys = [(), (), (), own, others]
    blocks = [[Block([last], [asked.first + place for place in one], layers)] if one else [] for one in keys]
    seen, logits = read(loaded, known, asked, embeds, blocks)
    every = logits.log_softmax(-1)
    found = every[:, list(word.right)].logsumexp(-1)
    beside = set(range(asked.visual)) - set(geometry.grown(target.patches, 2, prompts.view(loaded).grid)) - set(others)
    places = {
        "last": [last],
        "text": list(range(asked.end, last)),
        "patches": [asked.first + one for one in sorted(beside)],
    }
    return Followed(target, asked, seen, found.double().cpu().numpy(), every[0].cpu().numpy(), places)


def read(
    loaded: Loaded, known: Known, asked: Asked, embeds: Tensor, blocks: Sequence[Sequence[Block]]
) -> tuple[Seen, Tensor]:
    """States and followed activations of every layer, and logits behind the prompt, float32 [row, vocabulary].

    embeds   float [row, S, d]
    """
    seen: Seen = {}
    mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
    flags = sweep.flags(loaded, asked.ids.expand(len(embeds), -1))
    with contextlib.ExitStack() as inside:
        inside.enter_context(blocked(loaded, blocks, mask))
        for name in SITES:
            site = loaded.family.site(name)
            layers = range(site.layers(loaded.config))
            inside.enter_context(taps.reading(loaded, site, layers, functools.partial(_keep, seen, known, name)))
        found = sweep.decoder(loaded)(
            inputs_embeds=embeds, attention_mask=mask, use_cache=False, logits_to_keep=1, **flags
        )
    return seen, found.logits[:, -1].float()


def _keep(seen: Seen, known: Known, site: str, layer: int, value: Tensor) -> None:
    """States whole, activations of the followed units alone: all of them would take gigabytes at paper scale."""
    if site != "resid_post":
        value = value[..., known.followed(site, layer).tolist()]
    seen[site, layer] = value.float().cpu().numpy()


# ---- records ------------------------------------------------------------------------------------------------------


def records(one: Followed, known: Known, word: str) -> Iterator[Record]:
    """Every number of a picture, `schemas.RECORDS`."""
    head = {"sample": one.target.sample.sample, "word": word}
    for number, condition in enumerate(CONDITIONS):
        about = {**head, "condition": condition}
        answer = {"kind": "answer", "name": word, "belongs": "own", "depth": 0, "place": "last"}
        yield {**about, **answer, "value": float(one.log_probs[number])}
        for row in (*_concepts(one, known, word, number), *_latents(one, known, word, number)):
            yield {**about, **row}
        for row in (*_neurons(one, known, word, number), *_domains(one, known, number)):
            yield {**about, **row}


def _concepts(one: Followed, known: Known, word: str, number: int) -> Iterator[Record]:
    for block, scales in known.scales.items():
        rows = one.seen["resid_post", block][number]
        for name, scale in scales.items():
            told = {"kind": "concept", "name": name, "belongs": _belongs(name, word), "depth": block + 1}
            yield from _placed(one, scale.of(rows), told)


def _latents(one: Followed, known: Known, word: str, number: int) -> Iterator[Record]:
    acts = latents.active(known.coder, one.seen["resid_post", known.block][number])
    owners = {latent: _belongs(name, word) for name, pairs in known.latents.items() for latent, _ in pairs}
    # A latent that tells two words belongs to the picture's, if that is one of them.
    owners |= {latent: "own" for latent, _ in known.latents[word]} | dict.fromkeys(known.silent, "random")
    for latent, belongs in owners.items():
        told = {"kind": "latent", "name": str(latent), "belongs": belongs, "depth": known.block + 1}
        yield from _placed(one, acts[:, latent], told)


def _neurons(one: Followed, known: Known, word: str, number: int) -> Iterator[Record]:
    """Activation at the position that answers, turned so that above zero writes the word."""
    groups = [("own", known.neurons[word]), ("random", known.others[word])]
    groups += [("other", chosen) for name, chosen in known.neurons.items() if name != word]
    # A neuron of several words counts once, for the picture's word if that is one of them.
    counted: set[str] = set()
    for belongs, chosen in groups:
        values = at(one.seen, known, chosen)[number, one.places["last"][0]] * chosen.sign
        for name, layer, value in zip(chosen.names(), chosen.layer, values, strict=True):
            if name not in counted:
                told = {"kind": "neuron", "name": name, "belongs": belongs, "depth": int(layer) + 1, "place": "last"}
                yield {**told, "value": float(value)}
            counted.add(name)


def at(seen: Seen, known: Known, chosen: Units) -> np.ndarray:
    """Activations of some neurons, input of the down projection, float32 [condition, position, k]."""
    pairs = list(zip(chosen.layer.tolist(), chosen.unit.tolist(), strict=True))
    places = [int(np.searchsorted(known.followed("mlp_hidden", layer), unit)) for layer, unit in pairs]
    return np.stack([seen["mlp_hidden", layer][..., k] for (layer, _), k in zip(pairs, places, strict=True)], axis=-1)


def _domains(one: Followed, known: Known, number: int) -> Iterator[Record]:
    for name, members in known.domains.items():
        firing = [
            one.seen["mlp_gate", layer][number][:, row[known.followed("mlp_gate", layer)]] > 0
            for layer, row in enumerate(members)
        ]
        told = {"kind": "domain", "name": name, "belongs": "other", "depth": 0}
        yield from _placed(one, np.concatenate(firing, axis=1).mean(axis=1), told)


def _placed(one: Followed, values: np.ndarray, told: Record) -> Iterator[Record]:
    """Means over each kind of place, of values [position]."""
    for place, positions in one.places.items():
        if len(positions):
            yield {**told, "place": place, "value": float(values[list(positions)].mean())}


def _belongs(name: str, word: str) -> str:
    return "own" if name == word else "other"
