"""Do wrong answers become right when the latents are changed on which they rest? (Table 11)

Attribution of D = logit[true answer] - logit[the other one] says which latents speak for either. Those that speak for
the wrong answer are removed, those that speak for the true one are held; as many random latents that are active in the
same prompt stand beside both. Whoever does this knows the true answer; `doubted` does without.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope import samples
from vlmscope.capture import batches
from vlmscope.errors import VlmscopeError
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.attribution.patching import Prompt
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.steer import clamping
from vlmscope.multimodal_sae.steer.answers import Steered
from vlmscope.multimodal_sae.steer.clamping import PLAIN, Clamp
from vlmscope.multimodal_sae.tables.hallusion_tables import ANSWERS, CONDITIONS, RANDOM, REBUILT
from vlmscope.multimodal_sae.train import states
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.session import progress

WORDS = ("yes", "no")
FIRST = re.compile(r"\b(yes|no)\b")


@dataclass(frozen=True)
class Asked:
    """A question with the answer that the model gives by itself.

    said   yes, no, or empty for neither
    """

    sample: Sample
    truth: str
    said: str


def verdict(text: str) -> str:
    """The first yes or no of an answer; empty where there is none."""
    found = FIRST.search(text.lower())
    return found[1] if found else ""


def prompted(loaded: Loaded, one: Sample, settings: Mapping[str, Any]) -> str:
    """A question as the model is asked it."""
    return loaded.family.turn(one.question + settings["suffix"])


def asked(
    model: Steered, chosen: Sequence[Sample], picture: Any, settings: Mapping[str, Any], rows: int
) -> tuple[list[Asked], dict[str, int]]:
    """What the model answers, in the order of the questions, and the tokens with which it begins yes and no."""
    texts = [prompted(model.loaded, one, settings) for one in chosen]
    said, begun = [""] * len(chosen), {word: Counter() for word in WORDS}
    parts, rounds = inputs.batches(model.loaded, texts, chosen, rows), inputs.rounds(model.loaded, chosen, rows)
    for part in progress(parts, rounds, "batches"):
        shown = [picture(chosen[row]) for row in part]
        tensors = inputs.encode(model.loaded, [texts[row] for row in part], shown, side="left")
        for row, tokens in zip(part, answer.new_tokens(model.loaded, tensors, settings["max_new_tokens"]), strict=True):
            said[row] = verdict(answer.text_of(model.loaded, tokens))
            if said[row]:
                begun[said[row]][tokens[0]] += 1
    if lacking := [word for word, counts in begun.items() if not counts]:
        raise VlmscopeError(
            f"The model never answers {lacking[0]}, so there is nothing to compare.",
            where="multimodal_sae.hallusion",
            instead="more questions, or a suffix that asks for yes or no",
        )
    truths = [json.loads(one.answer)["answer"] for one in chosen]
    found = [Asked(*row) for row in zip(chosen, truths, said, strict=True)]
    return found, {word: counts.most_common(1)[0][0] for word, counts in begun.items()}


def studied(found: Sequence[Asked], most: int) -> list[Asked]:
    """The first questions that are answered wrongly, and the first that are answered rightly."""
    clear = [one for one in found if one.said]
    wrong, right = ([one for one in clear if (one.said == one.truth) == kind][:most] for kind in (False, True))
    return wrong + right


def conditions(sums: Mapping[int, float], right: bool, settings: Mapping[str, Any], seed: int) -> dict[Any, Any]:
    """(Condition, number of the draw) -> latents and what they are held at.

    sums    latent -> how far it speaks for the true answer
    right   whether the model answers rightly by itself
    """
    most, value = settings["latents"], settings["value"]
    order = sorted(sums, key=lambda latent: (sums[latent], latent))
    against = [latent for latent in order[:most] if sums[latent] < 0]
    speaking = [latent for latent in order[::-1][:most] if sums[latent] > 0]
    found = {("removed", 0): (against, 0.0), ("held", 0): (speaking, value)}
    found["doubted", 0] = (speaking if right else against, 0.0)
    rest = np.setdiff1d(order, [*against, *speaking])
    generator = np.random.default_rng([settings["seed"], seed])
    for draw in range(settings["random"]):
        for name, own, held in (("removed", against, 0.0), ("held", speaking, value)):
            drawn = generator.choice(rest, min(len(own), len(rest)), replace=False).tolist()
            found[RANDOM[name], draw] = (drawn, held)
    return found


def _sums(prompt: Prompt, settings: Mapping[str, Any]) -> dict[int, float]:
    """How far every active latent speaks for the true answer."""
    values = prompt.attributed(settings["attribution"], prompt.latents)
    latents = prompt.entries.latent.cpu().numpy()
    totals = np.bincount(latents, values, prompt.coder.config.latents)
    return {latent: float(totals[latent]) for latent in prompt.latents}


def _changed(
    model: Steered, one: Asked, tensors: dict[str, Any], pair: tuple[int, int], own: Mapping[str, Any], rows: int
) -> Iterator[dict[str, Any]]:
    """Rows of `ANSWERS` of one question."""
    prompt = Prompt(model.loaded, model.coder, model.take, tensors, *pair, rows=rows)
    planned = conditions(_sums(prompt, own), one.said == one.truth, own, one.sample.index)
    planned[REBUILT, 0] = ([], None)
    clamps = [_clamp(latents, value, own) for latents, value in planned.values()]
    told = clamping.written(model.loaded, model.coder, model.take, tensors, clamps, own["max_new_tokens"], rows)
    texts = {number: answer.text_of(model.loaded, tokens) for number, _, tokens in told}
    about = {"sample": one.sample.sample, "question": one.sample.question, "truth": one.truth, "said": one.said}
    for number, ((name, draw), (latents, value)) in enumerate(planned.items()):
        listed = " ".join(map(str, latents))
        changed = {"condition": name, "draw": draw, "latents": listed, "value": value, "steered": texts[number]}
        yield about | changed | {"outcome": outcome(one, verdict(texts[number]))}


def _clamp(latents: Sequence[int], value: float | None, settings: Mapping[str, Any]) -> Clamp:
    """The clamp of a condition; where nothing is held, states are rebuilt, or left alone as the mode has it."""
    how = {"mode": settings["mode"], "positions": settings["positions"]}
    if not latents:
        return Clamp(**how) if settings["mode"] == "replace" else PLAIN
    return Clamp(latents[0], float(value or 0.0), **how, more=tuple(latents[1:]))


def outcome(one: Asked, said: str) -> int:
    """1 where a wrong answer became right, -1 where a right one became anything else, 0 otherwise."""
    return int(said == one.truth) - int(one.said == one.truth)


def from_files(
    loaded: Loaded, *, weights: str, raw: str, table: str, settings: Mapping[str, Any], rows: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Answers under every condition (`ANSWERS`), and how many questions were asked, clear, and wrong.

    weights    sae.safetensors in the autoencoder's folder
    settings   site, and multimodal_sae.hallusion
    rows       most rows of a pass
    """
    own, coder = settings["hallusion"], checkpoint.read(Path(weights).parent).to(loaded.device).requires_grad_(False)
    loaded.model.requires_grad_(False)
    model = Steered(loaded, coder, states.take_of(loaded, settings["site"]))
    chosen = samples.read(table)[: own["questions"]]
    picture = batches.picture_of(read_manifest(raw)["root"])
    found, begun = asked(model, chosen, picture, own, rows)
    kept = studied(found, own["studied"])
    parts = []
    for one in progress(kept, len(kept), "questions"):
        tensors = inputs.encode(loaded, [prompted(loaded, one.sample, own)], [picture(one.sample)], side="left")
        other = WORDS[one.truth == WORDS[0]]
        parts += _changed(model, one, tensors, (begun[one.truth], begun[other]), own, rows)
    clear = [one for one in found if one.said]
    counts = {"asked": len(found), "clear": len(clear), "wrong": sum(one.said != one.truth for one in clear)}
    order = {name: place for place, name in enumerate(CONDITIONS)}
    parts.sort(key=lambda row: order[row["condition"]])
    return pl.DataFrame(parts, schema=ANSWERS), counts
