"""What became of steered answers: no effect, the thing is named, it is reasoned from, or neither (2.7).

The published judge sees two texts and not what the latent stands for [differs: 8 B13]; ours is told. Without a judge
words decide: they cannot tell reasoning, so `reasons` never occurs then.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from vlmscope.multimodal_sae.explain.naming import Kept, Talker
from vlmscope.multimodal_sae.schemas import STEERING
from vlmscope.multimodal_sae.steer.shares import CATEGORIES, ROWS, UNCLEAR
from vlmscope.selection import whole_words
from vlmscope.session import progress
from vlmscope.store import files, tables

WORDS = "words"
# Tokens of a judge's answer.
SHORT = 8


def by_words(description: str, original: str, steered: str) -> str:
    """Category by words alone: the thing is named where its words occur more often than before."""
    if original == steered:
        return "no_effect"
    pattern = whole_words([description, f"{description}s"])
    before, after = (len(pattern.findall(one)) for one in (original, steered))
    return "names" if description and after > before else "unrelated"


def asked(description: str, original: str, steered: str) -> str:
    """The question after the category."""
    lines = "\n".join(f"{number}: {meaning}" for number, meaning in enumerate(CATEGORIES.values(), 1))
    return (
        "A language model answered twice. The second time, a part of it that is said to stand for a thing was "
        f"switched on. What became of the answer?\n\n{lines}\n\nExamples, for the thing 'rain':\n"
        "First: A dog in a park. Second: A dog in a park. Answer: 1\n"
        "First: A dog in a park. Second: A dog in the rain. Answer: 2\n"
        "First: A dog in a park. Second: A wet dog looks for a roof. Answer: 3\n"
        "First: A dog in a park. Second: Two cars. Answer: 4\n\n"
        f"Thing: {description}\nFirst: {original}\nSecond: {steered}\n\nAnswer with the number alone."
    )


def rated(description: str, steered: str) -> str:
    """The question how much an answer has to do with a thing."""
    return (
        "How much does the text have to do with the thing? Answer with one number from 1, nothing at all, to 10, it is "
        f"all about it, and nothing else.\n\nThing: {description}\nText: {steered}"
    )


def number(text: str, most: int) -> int | None:
    """The number from 1 to `most` that is the only one in an answer; None for anything else."""
    found = re.findall(r"\d+", text)
    return int(found[0]) if len(found) == 1 and 1 <= int(found[0]) <= most else None


class Judge:
    """Says what became of answers; equal ones are asked about once.

    talker      who is asked; None: words decide
    name        of the judge, for the tables
    relevance   a talker is also asked for 1 to 10
    """

    def __init__(self, talker: Talker | None, name: str, relevance: bool, kept: Kept | None = None) -> None:
        self.talker, self.name, self.relevance, self.kept = talker, name, relevance, kept

    def of(self, description: str, original: str, steered: str) -> tuple[str, int | None]:
        """Category and relevance."""
        if self.talker is None:
            return by_words(description, original, steered), None
        same, about = original == steered, [description, original, steered]
        place = None if same else number(self._say("category", asked(*about), about), len(CATEGORIES))
        category = "no_effect" if same else [*CATEGORIES][place - 1] if place else UNCLEAR
        if not self.relevance:
            return category, None
        return category, number(self._say("relevance", rated(description, steered), [description, steered]), 10)

    def _say(self, role: str, question: str, about: list[str]) -> str:
        assert self.talker is not None and self.kept is not None
        talker = self.talker
        return self.kept.get(json.dumps([role, *about]), lambda: [talker.say("", [question], SHORT)])[0]


def rows(steering: pl.DataFrame, judge: Judge) -> pl.DataFrame:
    """Table `ROWS` of all answers with a latent held; random latents are judged by the word that they stand beside."""
    own = steering.filter(pl.col("feature").is_not_null()).with_columns(
        pl.col("word", "original", "steered").fill_null("")
    )
    texts = own.select("word", "original", "steered").rows()
    pairs = [judge.of(*one) for one in progress(texts, len(texts), "answers")]
    found = own.with_columns(
        description=pl.col("word"),
        judge=pl.lit(judge.name),
        category=pl.Series([one[0] for one in pairs], dtype=pl.String),
        relevance=pl.Series([one[1] for one in pairs], dtype=pl.Int64),
    )
    return found.select(pl.col(name).cast(kind) for name, kind in ROWS.items())


def from_files(
    steering: str, settings: Mapping[str, Any], talkers: Callable[[str], Talker | None], state: str, code: str
) -> tuple[pl.DataFrame, Kept]:
    """Table `ROWS`, and what to clear once it stands.

    settings   judge (as in multimodal_sae.figures), relevance
    state      file of the answers so far
    """
    told = {key: settings["judge"][key] for key in ("by", "model")}
    kept = Kept(state, files.digest_text(json.dumps([told, files.digest(steering), code], sort_keys=True)))
    talker = talkers("judge")
    name = WORDS if talker is None else told["model"] or settings["model"]
    judge = Judge(talker, name, settings["relevance"], kept)
    return rows(tables.read(steering, STEERING), judge), kept
