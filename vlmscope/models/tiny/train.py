"""The embedded model from nothing: world, tower, language model, measurement, model card, one folder."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    GenerationConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
)

from vlmscope.models.tiny import card, language, measure, pixels, tokenizer, tower
from vlmscope.models.tiny.descent import Clock
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.world.draw import draw
from vlmscope.world.scene import DOMAINS, SIZE, Scene

_WEIGHTS = "model.safetensors"


def train(recipe: Recipe, folder: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """Train everything and write the LLaVA to `folder`, its CLIP to `folder/clip`; what was measured comes back.

    Single-threaded on purpose: on one machine two runs give the same weights to the bit.
    """
    clock = Clock()
    with single_thread():
        words = tokenizer.llava()
        scenes = world(recipe.scenes)
        report(f"{len(scenes)} scenes, {len(words)} tokens, {clock.seconds():.0f} CPU s")
        clip, heads = tower.train(recipe.tower, scenes, tokenizer.clip(), recipe.seed, report)
        seen = world(recipe.measured, recipe.fresh)
        about = {"patches": tower.patch_accuracy(clip, heads, seen)}
        about["retrieval"] = tower.retrieval(clip, seen, tokenizer.clip())
        report(f"patch accuracy {about['patches']}, retrieval {about['retrieval']:.2f}")
        save_clip(clip, folder / "clip", recipe.digest())
        model = language_model(recipe, clip, words, scenes, report)
        # Measured is what is shipped: the saved float16 weights, loaded again.
        save(model, words, folder, recipe.digest())
        about |= measured(recipe, folder, report)
    about["cpu_seconds"] = clock.seconds()
    (folder / "README.md").write_text(card.page(recipe, about), encoding="utf-8")
    (folder / "measured.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return about


def world(number: int, first: int = 0) -> list[Scene]:
    """Scenes dealt round the domains, seeds from `first`."""
    return [draw(DOMAINS[place % len(DOMAINS)], first + place) for place in range(number)]


def language_model(
    recipe: Recipe,
    clip: CLIPModel,
    words: PreTrainedTokenizerFast,
    scenes: list[Scene],
    report: Callable[[str], None],
) -> LlavaNextForConditionalGeneration:
    """The trained LLaVA-NeXT on top of a trained tower."""
    torch.manual_seed(recipe.seed)
    model = language.build(recipe.language, clip, words)
    driving = [scene for scene in scenes if scene.domain == "ad"][: recipe.joined_scenes]
    albums = language.album(model, scenes), language.album(model, driving, pixels.FRAMES)
    language.train(recipe.language, model, words, albums, recipe.seed, report)
    return model


def measured(recipe: Recipe, folder: Path, report: Callable[[str], None]) -> dict[str, Any]:
    """Accuracies of a saved model on fresh scenes."""
    model, processor = load(folder)
    letters = recipe.language.letters < 1
    scenes = world(recipe.measured, recipe.fresh)
    driving = [scene for scene in scenes if scene.domain == "ad"]
    told = measure.packed(model, processor, scenes, letters=letters)
    frames = measure.packed(model, processor, driving, frames=pixels.FRAMES, letters=letters)
    said = measure.generated(model, processor, scenes, letters=letters)
    said_frames = measure.generated(model, processor, driving, frames=pixels.FRAMES, letters=letters)
    asked = [one for one in told if one.kind != measure.CAPTION]
    report(f"packed {measure.accuracy(asked, measure.domain)}")
    report(f"generated {measure.accuracy(said, measure.domain)}")
    return {
        "domains": measure.accuracy(asked, measure.domain),
        "kinds": measure.accuracy(asked, measure.kind),
        "domain_kinds": measure.accuracy(asked, lambda one: f"{one.domain} {one.kind}"),
        "captions": measure.accuracy([one for one in told if one.kind == measure.CAPTION], measure.domain),
        "blind_domains": measure.blind(asked, measure.domain),
        "blind_kinds": measure.blind(asked, measure.kind),
        "generated": measure.accuracy(said, measure.domain),
        "lens": measure.lens(recipe.language, model, processor, scenes),
        "frames": measure.accuracy([one for one in frames if one.kind != measure.CAPTION], measure.domain)["ad"],
        "generated_frames": measure.accuracy(said_frames, measure.domain)["ad"],
    }


def load(folder: Path) -> tuple[LlavaNextForConditionalGeneration, LlavaNextProcessor]:
    """A saved model in float32 and its processor."""
    model = LlavaNextForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval(), LlavaNextProcessor.from_pretrained(folder, local_files_only=True)


def save(model: LlavaNextForConditionalGeneration, words: PreTrainedTokenizerFast, folder: Path, digest: str) -> None:
    """The model in float16 with the recipe's digest, its tokenizer and its processor."""
    pictures = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        image_grid_pinpoints=[list(pair) for pair in language.PINPOINTS],
    )
    processor = LlavaNextProcessor(
        pictures,
        words,
        patch_size=tower.PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    # Without these numbers `generate` would not know when to stop.
    numbers = {name: getattr(words, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**numbers, do_sample=False, max_new_tokens=48)
    # Three decimals of accuracy are the same as in float32.
    model.half().save_pretrained(folder)
    model.float()
    processor.save_pretrained(folder)
    _sign(folder / _WEIGHTS, digest)


def save_clip(clip: CLIPModel, folder: Path, digest: str) -> None:
    """The CLIP pair in float32 with its processor."""
    pictures = CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    clip.save_pretrained(folder)
    CLIPProcessor(pictures, tokenizer.clip()).save_pretrained(folder)
    _sign(folder / _WEIGHTS, digest)


@contextmanager
def single_thread() -> Iterator[None]:
    """One computing thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _sign(path: Path, digest: str) -> None:
    # save_pretrained offers no way to add metadata.
    save_file(load_file(path), path, metadata={"format": "pt", "recipe": digest})
