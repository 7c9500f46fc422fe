"""Captions while a model is steered to another style (xl_vlms.md 2.10)."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope import samples
from vlmscope.capture import batches
from vlmscope.capture.shard import prompts
from vlmscope.datasets import base
from vlmscope.models import inputs
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.session import progress
from vlmscope.xl_vlms.steer import answers as steer_answers
from vlmscope.xl_vlms.steer import conditions as steer_conditions
from vlmscope.xl_vlms.steer import files as steering_files
from vlmscope.xl_vlms.steer.conditions import Condition
from vlmscope.xl_vlms.steer.files import Steering


def planned(found: Mapping[str, Steering], settings: Mapping[str, Any]) -> list[Condition]:
    """No steering, then every vector of a style at every strength with its controls.

    settings   vectors (xl_vlms.vectors), captions (xl_vlms.captions)
    """
    every, own = [Condition("none")], settings["captions"]
    for name in own["styles"]:
        for module in settings["vectors"][name]["modules"]:
            every += steer_conditions.of_vector(name, found[name], module, own)
    return every


def from_files(
    loaded: Loaded,
    *,
    raw: str,
    samples_table: str,
    steering: Sequence[str],
    settings: Mapping[str, Any],
    batch: int,
) -> pl.DataFrame:
    """Captions of the first pictures under every condition, `steer.schemas.STEERED`.

    settings   kind of the dataset, vectors (xl_vlms.vectors), captions (xl_vlms.captions)
    """
    own = settings["captions"]
    every = planned(dict(steering_files.read_all(steering)), settings)
    asked = samples.read(samples_table)[: own["images"]]
    ask = prompts(loaded, base.load(settings["kind"]), own["prompt"])
    texts, picture = [ask(one) for one in asked], batches.picture_of(read_manifest(raw)["root"])
    parts = steer_answers.answers(loaded, asked, texts, picture, every, own["max_new_tokens"], batch)
    rounds = inputs.rounds(loaded, asked, batch)
    return steer_answers.table(list(progress(parts, rounds, "batches")), every, asked)
