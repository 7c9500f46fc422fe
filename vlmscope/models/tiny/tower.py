"""Stage one: the vision tower learns, patch by patch, what the exact masks say; CLIP's learns captions as well."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vlmscope.models.tiny import pixels
from vlmscope.models.tiny.bodies.base import Tensors
from vlmscope.models.tiny.descent import Clock, Descent, batches
from vlmscope.models.tiny.pupil import Album, Pupil
from vlmscope.models.tiny.recipe import Tower
from vlmscope.world.canvas import COLORS
from vlmscope.world.document import TITLES
from vlmscope.world.labels import NONE, OBJECTS, POSITIONS, letters, patches
from vlmscope.world.scene import DOMAINS, Scene

# Classes of the patch labels, number 0 being "nothing": object, color, position, title word, tens, ones.
CLASSES = (1 + len(OBJECTS), 1 + len(COLORS), 1 + len(POSITIONS), 1 + len(TITLES), 11, 11)
# A large patch is covered less by what it shows.
_SHARES = {8: 0.25, 16: 0.12}


class Captions(NamedTuple):
    """What CLIP's text side reads; ids and attention int64 [scene, token]."""

    ids: Tensor
    attended: Tensor


def train(recipe: Tower, pupil: Pupil, album: Album, seed: int, report: Callable[[str], None]) -> nn.Linear:
    """Train the tower in place; the linear heads that read patch labels off it come back."""
    rng, clock, is_clip = np.random.default_rng(seed), Clock(), pupil.family.name == "clip"
    # bfloat16 autocast on a CPU is fast with plain attention and slow with the fused one.
    pupil.model.set_attn_implementation("eager")
    with torch.no_grad():
        width = pupil.body.look(pupil.model, album.shown[0]).shape[-1]
    heads = nn.Linear(width, sum(CLASSES))
    labels = torch.from_numpy(np.stack([_labels(scene, pupil.body.patch) for scene in album.scenes], axis=1))
    captions = _captions(pupil.tokenizer, album.scenes) if is_clip else None
    paths = ("",) if is_clip else (pupil.body.eyes, *pupil.body.taught)
    named = [one for path in paths for one in pupil.model.get_submodule(path).named_parameters(prefix=path)]
    descent = Descent([*named, *heads.named_parameters(prefix="heads")], recipe.pace)
    weights = np.array([recipe.weights[DOMAINS.index(scene.domain)] for scene in album.scenes])
    picked = batches(weights, recipe.pace.batch, rng)
    for step in range(1, recipe.pace.steps + 1):
        here = next(picked)
        shown = pixels.together([album.shown[place] for place in here])
        states = _look(pupil, shown)
        loss = _dense(recipe, heads, states, labels[:, here].repeat(1, len(states) // len(here), 1))
        if captions and step % 2:
            # Every second step is enough for the text side, and saves a tenth of the time.
            loss = loss + recipe.contrast * _contrast(pupil.model, shown, Captions(*(part[here] for part in captions)))
        descent.step(loss)
        if step % 100 == 0 or step == recipe.pace.steps:
            report(f"tower {step}/{recipe.pace.steps}: loss {loss.item():.3f}, {clock.seconds():.0f} CPU s")
    pupil.model.set_attn_implementation("sdpa")
    return heads.eval()


@torch.no_grad()
def patch_accuracy(pupil: Pupil, heads: nn.Linear, scenes: Sequence[Scene]) -> dict[str, float]:
    """Share of object patches whose object the linear head names, per domain."""
    named: dict[str, list[np.ndarray]] = {domain: [] for domain in DOMAINS}
    for scene, shown in zip(scenes, pixels.shown(pupil.processor, scenes), strict=True):
        states = pupil.body.look(pupil.model, shown)
        guess = heads(states[-1])[:, : CLASSES[0]].argmax(-1).numpy()
        truth = _labels(scene, pupil.body.patch)[0]
        named[scene.domain].append((guess == truth)[truth > 0])
    return {domain: float(np.concatenate(hits).mean()) for domain, hits in named.items() if hits}


@torch.no_grad()
def retrieval(pupil: Pupil, scenes: Sequence[Scene], among: int = 32) -> float:
    """Share of pictures that are closest to their own caption among `among` captions (CLIP)."""
    hits = []
    for part in pixels.chunks(scenes, among):
        shown = pixels.together(pixels.shown(pupil.processor, part))
        image, text = _embeddings(pupil.model, shown, _captions(pupil.tokenizer, part))
        hits.append(((image @ text.T).argmax(1) == torch.arange(len(part))).float())
    return float(torch.cat(hits).mean())


def _captions(tokenizer: Any, scenes: Sequence[Scene]) -> Captions:
    told = tokenizer([scene.caption for scene in scenes], padding=True, padding_side="right", return_tensors="pt")
    return Captions(told["input_ids"], told["attention_mask"])


def _labels(scene: Scene, patch: int) -> np.ndarray:
    seen, written = patches(scene, patch, _SHARES[patch]), letters(scene, patch)
    return np.stack([seen.objects, seen.colors, seen.positions, *written]) - NONE


def _look(pupil: Pupil, shown: Tensors) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        states = pupil.body.look(pupil.model, shown)
    return states.float()


def _dense(recipe: Tower, heads: nn.Linear, states: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the patch labels; most patches show nothing, which counts less."""
    loss = states.new_zeros(())
    for number, (part, label) in enumerate(zip(heads(states).split(CLASSES, -1), labels, strict=True)):
        weight = torch.ones(CLASSES[number])
        weight[0] = recipe.background
        term = functional.cross_entropy(part.flatten(0, 1), label.flatten(), weight=weight)
        loss = loss + term * (1.0 if number == 0 else recipe.minor)
    return loss


def _contrast(model: Any, shown: Tensors, captions: Captions) -> Tensor:
    """Both ways between pictures and captions; every other caption of the batch is a wrong one."""
    with torch.autocast("cpu", torch.bfloat16):
        image, text = _embeddings(model, shown, captions)
    scores = image.float() @ text.float().T * model.logit_scale.exp().clamp(max=100)
    own = torch.arange(len(scores))
    return (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2


def _embeddings(model: Any, shown: Tensors, captions: Captions) -> tuple[Tensor, Tensor]:
    pooled = model.vision_model(shown["pixel_values"]).pooler_output
    told = model.text_model(captions.ids, attention_mask=captions.attended).pooler_output
    image, text = model.visual_projection(pooled), model.text_projection(told)
    return functional.normalize(image, dim=-1), functional.normalize(text, dim=-1)
