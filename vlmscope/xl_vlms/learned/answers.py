"""Answers while each prompt is steered by a vector of its own: a net's, the sample's, a mean, a random one.

xl_vlms.md 2.11: x <- x + alpha g(context) at all positions, of the prompt and of what is written.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope import replay
from vlmscope import samples as table
from vlmscope.capture import batches
from vlmscope.capture.shard import prompts
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded
from vlmscope.pushes import Push, pushed
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.session import progress
from vlmscope.xl_vlms.learned import fit, states, vectors
from vlmscope.xl_vlms.learned import net as learned_net
from vlmscope.xl_vlms.learned.net import Net
from vlmscope.xl_vlms.learned.states import Plan
from vlmscope.xl_vlms.learned.vectors import ANSWERS, METHODS, Forced

log = logging.getLogger(__name__)

_RANKS = {method: place for place, method in enumerate(METHODS)}


class Steers(NamedTuple):
    """Where the vectors of every method come from.

    fixed    method -> float32 [sample, D]
    net      writes that of `learned`
    alphas   strengths of every method that steers
    """

    fixed: dict[str, np.ndarray]
    net: Net
    alphas: tuple[float, ...]

    def of(self, method: str, rows: Sequence[int], context: np.ndarray) -> np.ndarray:
        """Vectors of some samples, float32 [row, D].

        context   float32 [row, D]   what the net reads
        """
        return self.net.vectors(context) if method == "learned" else self.fixed[method][list(rows)]


def steers(trained: Forced, tested: Forced, net: Net, task: Mapping[str, Any]) -> Steers:
    """Vectors of every method for the samples that are tested.

    trained   with the shifts that the means are made of
    """
    fixed = fit.vectors(trained, tested, net, task)
    # That of the net is made anew, of the prompt's state as it is while the answer is written.
    del fixed["learned"]
    return Steers(fixed, net, tuple(task["alphas"]))


def answers(
    loaded: Loaded,
    asked: Sequence[Sample],
    texts: Mapping[str, Sequence[str]],
    picture: Any,
    given: Steers,
    where: Plan,
    most: int,
    batch: int,
) -> Iterator[pl.DataFrame]:
    """A table per batch and wording, `ANSWERS`.

    texts   `none` -> prompts; `prompt` -> prompts that tell what is wanted
    most    tokens per answer
    """
    for name, wording in texts.items():
        for rows in inputs.batches(loaded, wording, asked, batch):
            tensors = inputs.encode(
                loaded, [wording[row] for row in rows], [picture(asked[row]) for row in rows], side="left"
            )
            known = replay.prefix(loaded, tensors, [where.context, where.block])
            methods = [one for one in METHODS if one != "prompt"] if name == "none" else [name]
            for method in methods:
                alphas = (0.0,) if method == name else given.alphas
                for alpha in alphas:
                    written = _written(loaded, known, given, where, rows, method, alpha, most)
                    yield pl.DataFrame(
                        [
                            {"method": method, "alpha": alpha, "sample": asked[row].sample, "prediction": said}
                            for row, said in zip(rows, written, strict=True)
                        ],
                        schema=ANSWERS,
                    )


def _written(
    loaded: Loaded,
    known: replay.Prefix,
    given: Steers,
    where: Plan,
    rows: Sequence[int],
    method: str,
    alpha: float,
    most: int,
) -> list[str]:
    pushes: list[list[Push]] = [[]]
    if alpha:
        context = known.ends(where.context).float().cpu().numpy()
        pushes = [[Push(where.block, vector, alpha)] for vector in given.of(method, rows, context)]
    places = list(range(len(rows)))
    own = known.rows(places)
    with replay.replayed(loaded, known, where.block, places), pushed(loaded, pushes, own["attention_mask"]):
        return [answer.text_of(loaded, tokens) for tokens in answer.new_tokens(loaded, own, most)]


def from_files(
    loaded: Loaded,
    *,
    raw: str,
    samples: str,
    net: str,
    trained: str,
    tested: str,
    settings: Mapping[str, Any],
    batch: int,
) -> pl.DataFrame:
    """Answers of every method, `ANSWERS`, in the order of methods, strengths and samples.

    settings   kind of the dataset, task (xl_vlms.learned.tasks.*)
    """
    task, test = settings["task"], vectors.read(tested)
    asked = table.read(samples)[: len(test.samples)]
    if [one.sample for one in asked] != test.samples:
        raise VlmscopeError("The forced answers are of other samples.", where=tested, instead="make them anew")
    where = states.plan(task, loaded.family.site(states.SITE).layers(loaded.config))
    given = steers(vectors.read(trained), test, learned_net.read(net), task)
    ask = prompts(loaded, base.load(settings["kind"]), task["prompt"])
    texts = {"none": [ask(one) for one in asked]}
    if task["told"]:
        texts["prompt"] = [ask(replace(one, question=f"{one.question} {task['told']}")) for one in asked]
    picture = batches.picture_of(read_manifest(raw)["root"])
    stream = answers(loaded, asked, texts, picture, given, where, task["max_new_tokens"], batch)
    conditions = 1 + len(task["alphas"]) * (len(METHODS) - 2) + len(texts) - 1
    found = list(progress(stream, conditions * inputs.rounds(loaded, asked, batch), "batches"))
    order = {one.sample: place for place, one in enumerate(asked)}
    ranks = {"place": pl.col("sample").replace_strict(order), "rank": pl.col("method").replace_strict(_RANKS)}
    return pl.concat(found).with_columns(**ranks).sort("rank", "alpha", "place").select(*ANSWERS)
