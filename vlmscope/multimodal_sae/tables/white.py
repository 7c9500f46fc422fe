"""Do answers about a white picture name what a held latent is said to stand for? (Table 9)

Latents come with the names that an explainer gave them; random latents of similar density are held to the same names.
"""

from collections.abc import Mapping, Sequence
from functools import cache as remembered
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain.naming import Talker
from vlmscope.multimodal_sae.schemas import LABELS
from vlmscope.multimodal_sae.steer import answers as steer_answers
from vlmscope.multimodal_sae.steer import features as steer_features
from vlmscope.multimodal_sae.steer.answers import Condition, Steered
from vlmscope.multimodal_sae.steer.clamping import Clamp
from vlmscope.multimodal_sae.steer.features import Feature
from vlmscope.multimodal_sae.tables.white_tables import ANSWERS, NAMED, RANDOM, WORDS
from vlmscope.multimodal_sae.train import states
from vlmscope.samples import Sample
from vlmscope.store import tables


def named(labels: pl.DataFrame, settings: Mapping[str, Any]) -> list[Feature]:
    """The first latents with a name of some classes.

    labels     table `LABELS`
    settings   explainer, concepts, features
    """
    own = labels.filter(coder="trained", explainer=settings["explainer"])
    kept = own.filter(pl.col("concept").is_in(settings["concepts"]))
    found = [Feature(row["refined"], NAMED, row["latent"]) for row in kept.head(settings["features"]).to_dicts()]
    if not found:
        raise VlmscopeError(
            f"The explainer '{settings['explainer']}' named no latent of {', '.join(settings['concepts'])}.",
            where="multimodal_sae.white",
            instead="another explainer of multimodal_sae.explain.by, or more concepts",
        )
    return found


def from_files(
    loaded: Loaded,
    *,
    weights: str,
    cached: str,
    labels: str,
    settings: Mapping[str, Any],
    judge: Talker | None,
    rows: int,
) -> pl.DataFrame:
    """Answers with their relevance, `ANSWERS`.

    weights    sae.safetensors in the autoencoder's folder
    cached     its cache, for how often latents fire
    settings   site, judge, and multimodal_sae.white
    judge      who judges; None: words are matched
    rows       most rows of a pass
    """
    own, coder = settings["white"], checkpoint.read(Path(weights).parent).to(loaded.device).requires_grad_(False)
    found = named(tables.read(labels, LABELS), own)
    with cache_files.opened(cached) as cache:
        density = cache.firing / max(1, int(cache.ends[-1]))
    features = [*found, *beside(found, density, own["random"], own["seed"])]
    every = [Condition(one, Clamp(one.latent, own["value"], own["mode"], own["positions"])) for one in features]
    model = Steered(loaded, coder, states.take_of(loaded, settings["site"]))
    said = answers(model, every, own, rows).rename({"word": "name"})
    # Answers come in the order of their latents: named ones, then the random ones of each.
    owners = [one.latent for one in found] + [one.latent for one in found for _ in range(own["random"])]
    by = WORDS if judge is None else settings["judge"]["model"] or "local"
    return judged(said.with_columns(pl.Series("latent", owners, pl.Int64), judge=pl.lit(by)), judge)


def judged(said: pl.DataFrame, judge: Talker | None) -> pl.DataFrame:
    """`ANSWERS`, from the same without relevance; equal answers are judged once."""
    score = remembered(lambda name, text: relevance(judge, name, text))
    columns = [
        pl.Series(key, [score(*row) for row in said.select("name", text).iter_rows()], pl.Int64)
        for key, text in (("relevance_before", "original"), ("relevance", "steered"))
    ]
    return said.with_columns(*columns).select(list(ANSWERS))


def beside(found: Sequence[Feature], density: np.ndarray, count: int, seed: int) -> list[Feature]:
    """Random latents of similar density beside every named one, none of them named."""
    generator, taken = np.random.default_rng(seed), [one.latent for one in found]
    return [
        Feature(one.word, RANDOM, latent)
        for one in found
        for latent in steer_features.beside(density, one.latent, taken, count, generator)
    ]


def answers(model: Steered, every: Sequence[Condition], settings: Mapping[str, Any], rows: int) -> pl.DataFrame:
    """Answers to the question about a white picture, as `schemas.STEERING`."""
    side = settings["pixels"]
    nothing = Sample("white", "", "", 0, "white", (), side, side, settings["question"], (), '""')
    given = {"questions": [settings["question"]], "chat": True, "max_new_tokens": settings["max_new_tokens"]}
    picture = Image.new("RGB", (side, side), "white")
    return pl.concat(steer_answers.about_pictures(model, [nothing], lambda one: picture, every, given, rows))


def relevance(judge: Talker | None, name: str, text: str) -> int | None:
    """1 to 10: how far a text is about what a name says; None where the judge gives no number.

    Without a judge words are matched, an offline stand-in: 1 where none of the name's is said, 10 where all are.
    """
    if judge is not None:
        grade = explain_prompts.grade(judge.say("", [explain_prompts.relevance_prompt(name, text)], 8))
        return grade if grade > 0 else None
    words = [word for word in name.lower().split() if word not in explain_prompts.SMALL]
    said = sum(bool(steer_features.names(word, [text])[0]) for word in words)
    return 1 + round(9 * said / len(words)) if words else None
