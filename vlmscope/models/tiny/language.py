"""Stage two: connector and language model on top of the finished tower, which is frozen."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.nn import functional

from vlmscope.models.tiny import pixels, prompts
from vlmscope.models.tiny.descent import Clock, Descent, batches
from vlmscope.models.tiny.packing import IGNORED
from vlmscope.models.tiny.prompts import Prompt
from vlmscope.models.tiny.pupil import Album, Asked, Pupil
from vlmscope.models.tiny.recipe import Language
from vlmscope.world.labels import NONE, OBJECTS, patches
from vlmscope.world.scene import DOMAINS, Scene


def train(
    recipe: Language, pupil: Pupil, albums: tuple[Album, Album], seed: int, report: Callable[[str], None]
) -> list[float]:
    """Train connector and language model in place; the losses of the answers, step by step.

    albums   single pictures, joined driving pictures (none where the recipe asks for none)
    """
    rng, clock, losses = np.random.default_rng(seed), Clock(), []
    pupil.model.train().get_submodule(pupil.body.eyes).requires_grad_(False)
    descent = Descent(pupil.model.named_parameters(), recipe.pace)
    words = lens_words(recipe, pupil, albums[0].scenes) if recipe.lens else None
    for step, (album, picked) in enumerate(_schedule(recipe, albums, rng), 1):
        rows = [row for place in picked for row in _rows(recipe, pupil, album, place, rng)]
        lens = words is not None and album.frames == 1 and step > recipe.lens_from * recipe.pace.steps
        if lens:
            # With a free projector the loss would be met at the embedding, and nothing would rise with depth.
            pupil.model.model.multi_modal_projector.requires_grad_(False)
        loss, told = _loss(recipe, pupil, album, rows, words[picked] if lens else None)
        descent.step(loss)
        losses.append(told)
        if step % 50 == 0 or step == recipe.pace.steps:
            mean = np.mean(losses[-50:])
            report(f"language {step}/{recipe.pace.steps}: loss {mean:.3f}, {clock.seconds():.0f} CPU s")
    pupil.model.eval()
    return losses


def albums(recipe: Language, pupil: Pupil, scenes: list[Scene], joined: int) -> tuple[Album, Album]:
    """All scenes as single pictures, and `joined` driving ones as five frames if the recipe shows them."""
    driving = [scene for scene in scenes if scene.domain == "ad"][: joined if recipe.joined else 0]
    return pupil.album(scenes), pupil.album(driving, pixels.FRAMES)


def lens_words(recipe: Language, pupil: Pupil, scenes: list[Scene]) -> torch.Tensor:
    """The object's word at every image token that shows one, int64 [scene, image token], -100 elsewhere."""
    words = [pupil.encode(f" {name}")[0] for name in OBJECTS]
    words.append(IGNORED)  # what NONE, -1, picks
    found = np.stack([patches(scene, pupil.body.patch, recipe.lens_share).objects for scene in scenes])
    # The end of a line shows nothing either.
    ended = np.pad(found, ((0, 0), (0, 1)), constant_values=NONE)
    return torch.tensor(words)[torch.from_numpy(ended)][:, list(pupil.body.order)]


def _schedule(
    recipe: Language, albums: tuple[Album, Album], rng: np.random.Generator
) -> Iterator[tuple[Album, np.ndarray]]:
    single, joined = albums
    weights = np.array([recipe.weights[DOMAINS.index(scene.domain)] for scene in single.scenes])
    picks = batches(weights, recipe.pace.batch, rng), batches(np.ones(len(joined.scenes)), recipe.joined_batch, rng)
    for _ in range(recipe.pace.steps):
        # A batch holds pictures of one size only: rows of 136 and of 392 image tokens would waste padding.
        which = int(rng.random() < recipe.joined)
        yield albums[which], next(picks[which])


def _rows(recipe: Language, pupil: Pupil, album: Album, place: int, rng: np.random.Generator) -> list[Asked]:
    """Some questions of a scene, all under one style of prompt."""
    scene, style = album.scenes[place], rng.random()
    is_official = style >= recipe.bare + recipe.plain
    template = prompts.BARE if style < recipe.bare else pupil.family.template
    # Medical prompts carry their options and are three times as long as others.
    most = recipe.medical_questions if scene.domain == "med" and is_official else recipe.questions
    told: list[tuple[Prompt, str]] = []
    for number in rng.permutation(len(scene.questions))[:most]:
        one = scene.questions[number]
        asked = prompts.official(pupil.family, scene.domain, one) if is_official else prompts.plain(template, one)
        told.append((asked, one.answer))
    if rng.random() < recipe.captions:
        told.append((prompts.caption(template), scene.caption))
    return pupil.asked(album, place, told)


def _loss(
    recipe: Language, pupil: Pupil, album: Album, rows: list[Asked], lens: torch.Tensor | None
) -> tuple[torch.Tensor, float]:
    packed, inputs = pupil.pack(album, rows)
    last = pupil.states(inputs)
    # Logits only where an answer is predicted: one token in ten.
    labels = packed.labels[:, 1:]
    asked = labels != IGNORED
    loss = functional.cross_entropy(pupil.head(last[:, :-1][asked]), labels[asked])
    told = loss.item()
    if lens is not None:
        here = last[packed.ids == pupil.family.image_token(pupil.model.config)].view(*lens.shape, -1)[lens != IGNORED]
        loss = loss + recipe.lens * functional.cross_entropy(pupil.head(here), lens[lens != IGNORED])
    return loss, told
