"""Stage one: a CLIP pair whose vision tower also learns, patch by patch, what the exact masks say."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from vlmscope.models.tiny import pixels
from vlmscope.models.tiny.descent import Clock, Descent, batches
from vlmscope.models.tiny.recipe import Tower
from vlmscope.world.canvas import COLORS
from vlmscope.world.document import TITLES
from vlmscope.world.labels import NONE, OBJECTS, POSITIONS, letters, patches
from vlmscope.world.scene import DOMAINS, SIZE, Scene

PATCH = 8
# Classes of the patch labels, number 0 being "nothing": object, color, position, title word, tens, ones.
CLASSES = (1 + len(OBJECTS), 1 + len(COLORS), 1 + len(POSITIONS), 1 + len(TITLES), 11, 11)


class Lesson(NamedTuple):
    """Everything the tower learns from.

    pictures   uint8 [scene, 64, 64, 3]
    labels     int64 [label, scene, patch]   0 for nothing
    ids        int64 [scene, token]          the caption
    attended   int64 [scene, token]
    """

    pictures: np.ndarray
    labels: torch.Tensor
    ids: torch.Tensor
    attended: torch.Tensor


def build(recipe: Tower, tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    """An untrained CLIP for 64 px pictures in patches of 8 px."""
    vision = {
        "hidden_size": recipe.width,
        "intermediate_size": recipe.hidden,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.heads,
        "image_size": SIZE,
        "patch_size": PATCH,
        "projection_dim": recipe.projection,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.text_width,
        # Captions are short and regular: a small text side will do.
        "intermediate_size": 2 * recipe.text_width,
        "num_hidden_layers": recipe.text_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": recipe.text_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": recipe.projection,
    }
    model = CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=recipe.projection))
    # bfloat16 autocast on a CPU is fast with plain attention and slow with the fused one.
    model.set_attn_implementation("eager")
    return model


def train(
    recipe: Tower,
    scenes: list[Scene],
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    report: Callable[[str], None],
) -> tuple[CLIPModel, nn.Linear]:
    """The trained pair and the linear heads that read patch labels off the vision tower."""
    torch.manual_seed(seed)
    rng, clock = np.random.default_rng(seed), Clock()
    model, heads = build(recipe, tokenizer), nn.Linear(recipe.width, sum(CLASSES))
    # Labels of all scenes at once: they are read again and again.
    lesson = prepare(scenes, tokenizer)
    named = [*model.named_parameters(), *heads.named_parameters(prefix="heads")]
    descent = Descent(named, recipe.pace)
    weights = np.array([recipe.weights[DOMAINS.index(scene.domain)] for scene in scenes])
    picked = batches(weights, recipe.pace.batch, rng)
    for step in range(1, recipe.pace.steps + 1):
        # Every second step is enough for the text side, and saves a tenth of the time.
        loss = _loss(recipe, model, heads, lesson, next(picked), contrast=step % 2 == 1)
        descent.step(loss)
        if step % 100 == 0 or step == recipe.pace.steps:
            report(f"tower {step}/{recipe.pace.steps}: loss {loss.item():.3f}, {clock.seconds():.0f} CPU s")
    return model.eval(), heads.eval()


def prepare(scenes: list[Scene], tokenizer: PreTrainedTokenizerFast) -> Lesson:
    """Pictures, patch labels and captions of the scenes."""
    captions = tokenizer([scene.caption for scene in scenes], padding=True, padding_side="right", return_tensors="pt")
    labels = np.stack([_labels(scene) for scene in scenes], axis=1)
    pictures = np.stack([scene.image for scene in scenes])
    return Lesson(pictures, torch.from_numpy(labels), captions["input_ids"], captions["attention_mask"])


@torch.no_grad()
def patch_accuracy(model: CLIPModel, heads: nn.Linear, scenes: list[Scene]) -> dict[str, float]:
    """Share of object patches whose object the linear head names, per domain."""
    named: dict[str, list[np.ndarray]] = {domain: [] for domain in DOMAINS}
    for scene in scenes:
        states = model.vision_model(pixels.normalized([scene.image]), output_hidden_states=True).hidden_states[-2]
        guess = heads(states[0, 1:])[:, : CLASSES[0]].argmax(-1).numpy()
        truth = patches(scene, PATCH).objects + 1
        named[scene.domain].append((guess == truth)[truth > 0])
    return {domain: float(np.concatenate(hits).mean()) for domain, hits in named.items() if hits}


@torch.no_grad()
def retrieval(model: CLIPModel, scenes: list[Scene], tokenizer: PreTrainedTokenizerFast, among: int = 32) -> float:
    """Share of pictures that are closest to their own caption among `among` captions."""
    hits = []
    for part in pixels.chunks(scenes, among):
        lesson = prepare(list(part), tokenizer)
        image, text = _embeddings(model, model.vision_model(pixels.normalized(lesson.pictures)).pooler_output, lesson)
        hits.append(((image @ text.T).argmax(1) == torch.arange(len(part))).float())
    return float(torch.cat(hits).mean())


def _labels(scene: Scene) -> np.ndarray:
    seen, written = patches(scene, PATCH), letters(scene, PATCH)
    return np.stack([seen.objects, seen.colors, seen.positions, *written]) - NONE


def _loss(
    recipe: Tower, model: CLIPModel, heads: nn.Linear, lesson: Lesson, picked: np.ndarray, contrast: bool
) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        seen = model.vision_model(pixels.normalized(lesson.pictures[picked]), output_hidden_states=True)
    # The layer that LLaVA reads, without the class token.
    states = seen.hidden_states[-2][:, 1:].float()
    loss = _dense(recipe, heads(states), lesson.labels[:, picked])
    if not contrast:
        return loss
    part = lesson._replace(ids=lesson.ids[picked], attended=lesson.attended[picked])
    # Every other caption of the batch is a wrong one.
    image, text = _embeddings(model, seen.pooler_output.float(), part)
    scores = image @ text.T * model.logit_scale.exp().clamp(max=100)
    own = torch.arange(len(picked))
    both = functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)
    return loss + recipe.contrast * both / 2


def _dense(recipe: Tower, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the patch labels; most patches show nothing, which counts less."""
    loss = scores.new_zeros(())
    for number, (part, label) in enumerate(zip(scores.split(CLASSES, -1), labels, strict=True)):
        weight = torch.ones(CLASSES[number])
        weight[0] = recipe.background
        term = functional.cross_entropy(part.flatten(0, 1), label.flatten(), weight=weight)
        loss = loss + term * (1.0 if number == 0 else recipe.minor)
    return loss


def _embeddings(model: CLIPModel, pooled: torch.Tensor, lesson: Lesson) -> tuple[torch.Tensor, torch.Tensor]:
    told = model.text_model(lesson.ids, attention_mask=lesson.attended).pooler_output
    image, text = model.visual_projection(pooled), model.text_projection(told)
    return functional.normalize(image, dim=-1), functional.normalize(text, dim=-1)
