"""Answers under clamps: every prompt is read once and continued under every latent, value and mode."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope import samples
from vlmscope.capture import batches
from vlmscope.capture.plan import Take
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.cache import passes
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.coder.sae import SparseCoder
from vlmscope.multimodal_sae.schemas import STEERING
from vlmscope.multimodal_sae.steer import clamping
from vlmscope.multimodal_sae.steer import features as steer_features
from vlmscope.multimodal_sae.steer.clamping import PLAIN, Clamp
from vlmscope.multimodal_sae.steer.features import Feature, Pooled
from vlmscope.multimodal_sae.train import states
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.session import progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Condition:
    """A clamp and what it is for; without a feature the states are only rebuilt."""

    feature: Feature | None
    clamp: Clamp


def planned(features: Sequence[Feature], settings: dict[str, Any]) -> list[Condition]:
    """The reconstruction alone, and every feature under every value, mode and kind of positions."""
    own, found = settings, [Condition(None, Clamp())]
    kinds = itertools.product(own["modes"], own["positions"], own["values"])
    for (mode, positions, value), one in itertools.product(kinds, features):
        found.append(Condition(one, Clamp(one.latent, value, mode, positions)))
    return found


def prompt(loaded: Loaded, question: str, picture: bool, chat: bool) -> str:
    """A question in the model's template, or as it is."""
    if chat:
        return loaded.family.turn(question) if picture else loaded.family.chat(question)
    return f"{passes.PROMPT}\n{question}" if picture else question


@dataclass(frozen=True)
class Steered:
    """The model and its autoencoder."""

    loaded: Loaded
    coder: SparseCoder
    take: Take

    def of(self, tensors: dict[str, Any], every: Sequence[Condition], most: int, batch: int) -> Iterator[Any]:
        """(condition or -1 for none, row, text) of a batch of prompts, padded on the left."""
        clamps = [PLAIN, *(one.clamp for one in every)]
        told = clamping.written(self.loaded, self.coder, self.take, tensors, clamps, most, batch)
        return ((number - 1, row, answer.text_of(self.loaded, tokens)) for number, row, tokens in told)


def about_pictures(
    model: Steered,
    chosen: Sequence[Sample],
    picture: Any,
    every: Sequence[Condition],
    settings: dict[str, Any],
    batch: int,
) -> Iterator[pl.DataFrame]:
    """Answers about pictures, a table per batch and question."""
    for question in settings["questions"]:
        text = prompt(model.loaded, question, True, settings["chat"])
        parts = inputs.batches(model.loaded, [text] * len(chosen), chosen, batch)
        for rows in progress(parts, inputs.rounds(model.loaded, chosen, batch), "batches"):
            some = [chosen[row] for row in rows]
            tensors = inputs.encode(model.loaded, [text] * len(some), [picture(one) for one in some], side="left")
            told = model.of(tensors, every, settings["max_new_tokens"], batch)
            yield _table(told, every, question, [one.sample for one in some], [one.answer for one in some])


def about_nothing(
    model: Steered, every: Sequence[Condition], settings: dict[str, Any], batch: int
) -> Iterator[pl.DataFrame]:
    """Answers to texts without a picture."""
    for text in settings["texts"]:
        given = prompt(model.loaded, text, False, settings["chat"])
        ids = model.loaded.processor.tokenizer([given], return_tensors="pt")
        tensors = {key: ids[key].to(model.loaded.device) for key in ("input_ids", "attention_mask")}
        told = model.of(tensors, every, settings["max_new_tokens"], batch)
        yield _table(told, every, text, [""], ["null"])


def _table(
    told: Iterator[Any], every: Sequence[Condition], question: str, names: Sequence[str], truths: Sequence[str]
) -> pl.DataFrame:
    """`STEERING` of one question about some pictures."""
    found = list(told)
    plain = {row: text for number, row, text in found if number < 0}
    spoken = [steer_features.said(one) for one in truths]
    rows = []
    for number, row, text in found:
        if number < 0:
            continue
        one, clamp = every[number].feature, every[number].clamp
        about = {"word": one.word, "kind": one.kind, "feature": one.latent} if one else {"kind": "rebuilt"}
        there = bool(steer_features.names(one.word, [spoken[row]])[0]) if one and names[row] else None
        how = {"value": clamp.value if one else None, "mode": clamp.mode, "positions": clamp.positions if one else None}
        texts = {"original": plain[row], "steered": text, "in_picture": there}
        kind = category(one.word if one else "", plain[row], text)
        rows.append({**about, **how, **texts, "prompt": question, "image": names[row], "category": kind})
    return pl.DataFrame(rows, schema=STEERING)


def category(word: str, original: str, steered: str) -> str:
    """What became of an answer, told by its words alone: the same, names the word anew, another one."""
    if original == steered:
        return "same"
    before, after = steer_features.names(word, [original, steered]) if word else (False, False)
    return "names" if after and not before else "other"


def from_files(
    loaded: Loaded,
    *,
    weights: str,
    found: dict[str, str],
    asked: dict[str, str],
    settings: dict[str, Any],
    batch: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All answers, `STEERING`, and the features, `FEATURES`.

    weights        sae.safetensors in the autoencoder's folder
    found, asked   raw manifest and sample table of the pictures where features are found and of those asked about
    settings       site, and multimodal_sae.steer
    """
    coder = checkpoint.read(Path(weights).parent).to(loaded.device).requires_grad_(False)
    model = Steered(loaded, coder, states.take_of(loaded, settings["site"]))
    own, pooled = settings["steer"], Pooled(coder.config.latents)
    some = samples.read(found["samples"])[: own["found_samples"]]
    reader = batches.picture_of(read_manifest(found["raw"])["root"])
    passes.pictures(loaded, coder, model.take, some, reader, pooled, scope="base", batch=batch)
    texts = [steer_features.said(one.answer) for one in some]
    given = [Feature(one["word"], "given", one["latent"]) for one in own["features"]]
    features, about = steer_features.choose(pooled, texts, own["words"], given, own["random"], own["seed"])
    every = planned(features, own)
    chosen = samples.read(asked["samples"])[: own["pictures"]]
    log.info("%d conditions, %d pictures", len(every), len(chosen))
    picture = batches.picture_of(read_manifest(asked["raw"])["root"])
    rows = max(batch, own["rows"])
    parts = [*about_pictures(model, chosen, picture, every, own, rows), *about_nothing(model, every, own, rows)]
    return pl.concat(parts), about
