"""How often an embedded model is right, beside what a blind guesser would reach."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch

from vlmscope.models import answer, inputs
from vlmscope.models.base import Family
from vlmscope.models.load import Loaded
from vlmscope.models.tiny import language, packing, pixels, prompts
from vlmscope.models.tiny.packing import IGNORED
from vlmscope.models.tiny.prompts import Prompt
from vlmscope.models.tiny.pupil import Pupil
from vlmscope.models.tiny.recipe import Language
from vlmscope.world.scene import Scene

CAPTION = "caption"
# A family and a scene: prompts with answers.
Ask = Callable[[Family, Scene], list[tuple[Prompt, str]]]


class Outcome(NamedTuple):
    """One answered question; `kind` is that of the question, or `caption`."""

    domain: str
    kind: str
    question: str
    answer: str
    is_right: bool


def official(own: Family, scene: Scene) -> list[tuple[Prompt, str]]:
    """The official prompts of a scene's questions, then its caption prompt, each with the answer."""
    told = [(prompts.official(own, scene.domain, one), one.answer) for one in scene.questions]
    return [*told, (prompts.caption(own.template), scene.caption)]


def plain(own: Family, scene: Scene) -> list[tuple[Prompt, str]]:
    """The questions alone inside a chat template, then the caption prompt, each with the answer."""
    told = [(prompts.plain(own.template, one), one.answer) for one in scene.questions]
    return [*told, (prompts.caption(own.template), scene.caption)]


@torch.no_grad()
def packed(pupil: Pupil, scenes: Sequence[Scene], ask: Ask = official, frames: int = 1) -> list[Outcome]:
    """All questions and captions of the scenes in few forward passes.

    An answer is right when every token of it, the end included, is the likeliest one: greedy exact match.
    """
    outcomes: list[Outcome] = []
    for part in pixels.chunks(scenes, 8):
        album = pupil.album(part, frames)
        told = [ask(pupil.family, scene) for scene in part]
        rows = [row for place, one in enumerate(told) for row in pupil.asked(album, place, one)]
        batch, tensors = pupil.pack(album, rows)
        last = pupil.states(tensors)
        wrong = (pupil.head(last[:, :-1]).argmax(-1) != batch.labels[:, 1:]) & (batch.labels[:, 1:] != IGNORED)
        rights: dict[int, list[bool]] = defaultdict(list)
        for number, row in enumerate(rows):
            missed = set(batch.segments[number, 1:][wrong[number]].tolist())
            rights[row.scene] += [place + packing.FIRST not in missed for place in range(len(row.row.segments))]
        for place, scene in enumerate(part):
            outcomes += _outcomes(scene, rights[place])
    return outcomes


@torch.no_grad()
def lens(recipe: Language, pupil: Pupil, scenes: Sequence[Scene]) -> list[float]:
    """Share of object patches whose word is the logit lens's first, at the embedding and after each layer."""
    hits: list[list[bool]] = [[] for _ in range(recipe.layers + 1)]
    image = pupil.family.image_token(pupil.model.config)
    for part in pixels.chunks(scenes, 8):
        album = pupil.album(part)
        told = [(prompts.plain(prompts.BARE, scene.questions[0]), "") for scene in part]
        rows = [row for place, one in enumerate(told) for row in pupil.asked(album, place, [one])]
        batch, tensors = pupil.pack(album, rows)
        truth = language.lens_words(recipe, pupil, part)
        for hit, states in zip(hits, pupil.depths(tensors), strict=True):
            here = states[batch.ids == image].view(*truth.shape, -1)[truth != IGNORED]
            hit += (pupil.head(here).argmax(-1) == truth[truth != IGNORED]).tolist()
    return [sum(hit) / len(hit) for hit in hits]


def _outcomes(scene: Scene, rights: list[bool]) -> list[Outcome]:
    asked = [(one.kind, one.text, one.answer) for one in scene.questions]
    asked.append((CAPTION, prompts.DESCRIBE, scene.caption))
    return [Outcome(scene.domain, *one, is_right) for one, is_right in zip(asked, rights, strict=True)]


def generated(loaded: Loaded, scenes: Sequence[Scene], frames: int = 1, batch: int = 16) -> list[Outcome]:
    """One question per scene, asked the way the workflow asks: processor, `generate`, decoded text."""
    outcomes = []
    for part in pixels.chunks(scenes, batch):
        # The seed picks the question: fixed, and spread over all kinds.
        asked = [scene.questions[scene.seed % len(scene.questions)] for scene in part]
        texts = [
            prompts.official(loaded.family, scene.domain, one).text() for scene, one in zip(part, asked, strict=True)
        ]
        shown = [pixels.picture(scene, frames) for scene in part]
        said = answer.new_tokens(loaded, inputs.encode(loaded, texts, shown, "left"), max_new_tokens=8)
        for scene, one, tokens in zip(part, asked, said, strict=True):
            is_right = answer.text_of(loaded, tokens) == one.answer
            outcomes.append(Outcome(scene.domain, one.kind, one.text, one.answer, is_right))
    return outcomes


def accuracy(outcomes: Iterable[Outcome], by: Callable[[Outcome], str]) -> dict[str, float]:
    """Share of right answers per group."""
    groups = defaultdict(list)
    for outcome in outcomes:
        groups[by(outcome)].append(outcome.is_right)
    return {name: sum(hits) / len(hits) for name, hits in sorted(groups.items())}


def blind(outcomes: Iterable[Outcome], by: Callable[[Outcome], str]) -> dict[str, float]:
    """Share that the commonest answer to each question string, known beforehand, would get right per group."""
    answers: dict[str, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))
    for outcome in outcomes:
        answers[by(outcome)][f"{outcome.domain} {outcome.question}"][outcome.answer] += 1
    return {
        name: sum(max(one.values()) for one in asked.values()) / sum(sum(one.values()) for one in asked.values())
        for name, asked in sorted(answers.items())
    }


def domain(outcome: Outcome) -> str:
    """Group by domain."""
    return outcome.domain


def kind(outcome: Outcome) -> str:
    """Group by kind of question."""
    return outcome.kind
