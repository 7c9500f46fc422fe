"""How often the embedded model is right, beside what a blind guesser would reach."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from PIL import Image
from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor

from vlmscope.models.tiny import language, packing, pixels, prompts
from vlmscope.models.tiny.packing import IGNORED
from vlmscope.models.tiny.recipe import Language
from vlmscope.world.scene import Scene

CAPTION = "caption"


class Outcome(NamedTuple):
    """One answered question; `kind` is that of the question, or `caption`."""

    domain: str
    kind: str
    question: str
    answer: str
    is_right: bool


@torch.no_grad()
def packed(
    model: LlavaNextForConditionalGeneration,
    processor: LlavaNextProcessor,
    scenes: list[Scene],
    *,
    frames: int = 1,
    letters: bool = False,
) -> list[Outcome]:
    """All questions and captions of the scenes in few forward passes.

    An answer is right when every token of it, the end included, is the likeliest one: greedy exact match.
    """
    encode, outcomes = language.encoder(processor.tokenizer), []
    for part in pixels.chunks(scenes, 8):
        album = language.album(model, list(part), frames)
        told = [language.all_questions(scene, letters) for scene in part]
        rows = [packing.row(one, len(album.order), encode) for one in told]
        batch = packing.pack(rows, processor.tokenizer.pad_token_id)
        last = language.states(model, batch, album.features.float(), album.order)
        wrong = (model.lm_head(last[:, :-1]).argmax(-1) != batch.labels[:, 1:]) & (batch.labels[:, 1:] != IGNORED)
        for number, scene in enumerate(part):
            # Segment numbers start after head and stem.
            missed = set(batch.segments[number, 1:][wrong[number]].tolist())
            outcomes += _outcomes(scene, [place + 2 not in missed for place in range(len(told[number]))])
    return outcomes


@torch.no_grad()
def lens(
    recipe: Language, model: LlavaNextForConditionalGeneration, processor: LlavaNextProcessor, scenes: list[Scene]
) -> list[float]:
    """Share of object patches whose word is the logit lens's first, at the embedding and after each layer."""
    encode, words = language.encoder(processor.tokenizer), processor.tokenizer
    hits: list[list[bool]] = [[] for _ in range(model.config.text_config.num_hidden_layers + 1)]
    for part in pixels.chunks(scenes, 8):
        album = language.album(model, list(part))
        rows = [packing.row([(prompts.bare(scene.questions[0]), "")], len(album.order), encode) for scene in part]
        batch = packing.pack(rows, words.pad_token_id)
        truth = language.lens_words(recipe, album, words)
        depths = language.depths(model, batch, album.features.float(), album.order)
        for hit, states in zip(hits, depths, strict=True):
            here = states[batch.ids == model.config.image_token_id].view(*truth.shape, -1)[truth != IGNORED]
            hit += (model.lm_head(here).argmax(-1) == truth[truth != IGNORED]).tolist()
    return [sum(hit) / len(hit) for hit in hits]


def _outcomes(scene: Scene, rights: list[bool]) -> list[Outcome]:
    asked = [(one.kind, one.text, one.answer) for one in scene.questions]
    asked.append((CAPTION, prompts.DESCRIBE, scene.caption))
    return [Outcome(scene.domain, *one, is_right) for one, is_right in zip(asked, rights, strict=True)]


@torch.no_grad()
def generated(
    model: LlavaNextForConditionalGeneration,
    processor: LlavaNextProcessor,
    scenes: list[Scene],
    *,
    frames: int = 1,
    letters: bool = False,
    batch: int = 16,
) -> list[Outcome]:
    """One question per scene, asked the way the workflow asks: processor, `generate`, decoded text."""
    outcomes = []
    for part in pixels.chunks(scenes, batch):
        # The seed picks the question: fixed, and spread over all kinds.
        asked = [scene.questions[scene.seed % len(scene.questions)] for scene in part]
        texts = [prompts.official(scene.domain, one).text() for scene, one in zip(part, asked, strict=True)]
        shown = [Image.fromarray(pixels.joined(scene) if frames > 1 else scene.image) for scene in part]
        inputs = processor(images=shown, text=texts, padding=True, padding_side="left", return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=8, do_sample=False)[:, inputs["input_ids"].shape[1] :]
        said = processor.batch_decode(ids, skip_special_tokens=True)
        for scene, one, words in zip(part, asked, said, strict=True):
            # No stripping, no lower case: an answer is right as it comes out.
            is_right = words == language.answer(one, letters)
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
