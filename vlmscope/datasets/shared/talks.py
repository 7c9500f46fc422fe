"""Conversations in the layout of LLaVA: lists of {from, value}, `<image>` where a picture stands (multimodal_sae.md 5).

Markers are taken out of the words; the picture stands in front of the first words of the user, as templates put it.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlmscope.datasets import base
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

MARK = "<image>"
# Who speaks, by the names of LLaVA's files and of those made from them; all others are the system.
ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant"}
# Questions of a drawn conversation; every so many drawn pictures there is one without a picture.
ASKED, WORDS_ALONE = 3, 4
log = logging.getLogger(__name__)


class Turn(NamedTuple):
    """What one side said: user, assistant or system."""

    role: str
    text: str


class Talk(NamedTuple):
    """A conversation.

    marks   how many pictures its words point at
    """

    name: str
    turns: tuple[Turn, ...]
    marks: int
    origin: str


def talk(entry: dict[str, Any], path: Path, source: str) -> Talk:
    """A conversation of an official file, refused where it is none."""
    base.need(entry, ("id", "conversations"), path, source)
    said = entry["conversations"]
    if not isinstance(said, list | tuple) or not said:
        raise base.damaged(path, f"an entry has no conversation: {str(entry)[:120]}", source)
    turns = [_turn(one, path, source) for one in said]
    marks = sum(turn.text.count(MARK) for turn in turns)
    plain = tuple(Turn(turn.role, turn.text.replace(MARK, "").strip()) for turn in turns)
    return Talk(str(entry["id"]), plain, marks, str(entry.get("data_source") or ""))


def _turn(one: Any, path: Path, source: str) -> Turn:
    keys = ("role", "content") if isinstance(one, dict) and "role" in one else ("from", "value")
    base.need(one, keys, path, source)
    return Turn(ROLES.get(one[keys[0]], "system"), str(one[keys[1]]))


Numbered = tuple[int, Any]


def single(rows: Iterable[Numbered], name: str) -> Iterator[Numbered]:
    """Rows whose `talk` has one picture at most; others are left out and counted, as no prompt here holds several."""
    several = 0
    for number, row in rows:
        if row.talk.marks <= 1:
            yield number, row
        several += row.talk.marks > 1
    if several:
        log.warning("%s: %d conversations about several pictures were left out", name, several)


def sample(item: base.Found, *, name: str, split: str) -> Sample:
    """A conversation as a row of the sample table; the answer is {id, source, turns}."""
    own: Talk = item.row.talk
    answer = {"id": own.name, "source": own.origin, "turns": own.turns}
    return base.sample(item, name=name, split=split, question=_first(own.turns), answer=answer)


def _first(turns: Sequence[Turn]) -> str:
    return next((turn.text for turn in turns if turn.role == "user"), "")


def turns(sample: Sample) -> list[Turn]:
    """The whole conversation, the picture in front of the user's first words."""
    said = [Turn(*one) for one in json.loads(sample.answer)["turns"]]
    if not sample.images:
        return said
    place = next((k for k, turn in enumerate(said) if turn.role == "user"), 0)
    return [turn._replace(text=f"{MARK}\n{turn.text}") if k == place else turn for k, turn in enumerate(said)]


def words(sample: Sample) -> str:
    """What was said, without the picture, a line per turn."""
    return "\n".join(text for _, text in json.loads(sample.answer)["turns"])


def prompt(sample: Sample, style: str) -> str:
    """The user's first words, behind the picture where there is one."""
    asked = base.styled(sample, style, sample.question)
    return asked if sample.images else asked.removeprefix(f"{MARK}\n")


def drawn(scenes: Sequence[Scene]) -> Iterator[tuple[dict[str, Any], Scene | None]]:
    """Conversations about drawn scenes, and at every fourth one without a picture; entry and scene of its picture."""
    for place, scene in enumerate(scenes):
        said: list[dict[str, str]] = []
        for asked in scene.questions[:ASKED]:
            mark = "" if said else f"{MARK}\n"
            said += [{"from": "human", "value": mark + asked.text}, {"from": "gpt", "value": asked.answer}]
        yield {"id": str(scene.seed), "conversations": said, "data_source": "drawn"}, scene
        if place % WORDS_ALONE == 0:
            asked_for = {"from": "human", "value": "describe the image."}
            said = [asked_for, {"from": "gpt", "value": scene.caption}]
            yield {"id": f"{scene.seed}-words", "conversations": said, "data_source": "drawn words"}, None
