"""Embedded models as checkpoint folders: started, saved and opened through the same doors as published ones."""

import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import nn

from vlmscope.models import load
from vlmscope.models.base import family
from vlmscope.models.tiny import tokenizer
from vlmscope.models.tiny.bodies.base import Body, body
from vlmscope.models.tiny.pupil import Pupil
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.store import files, tensors

WEIGHTS = "model.safetensors"
TOWER = "tower.safetensors"


def untrained(recipe: Recipe) -> Pupil:
    """A model with random weights, its processor read back from a folder as for a real checkpoint."""
    load.slim_imports()
    frame = body(recipe.body)
    kind = family(frame.family)
    words = tokenizer.build(frame.special, kind)
    config = frame.config(recipe, words)
    torch.manual_seed(recipe.seed)
    model = load.model_class(kind)(config)
    for name, value in model.named_parameters():
        for ending, deviation in frame.stirred:
            if name.endswith(ending):
                nn.init.normal_(value, std=deviation)
    with tempfile.TemporaryDirectory() as folder:
        _write_words(frame, words, Path(folder))
        config.save_pretrained(folder)
        return Pupil(frame, kind, model, kind.processor(Path(folder), model.config))


def save(pupil: Pupil, folder: Path, digest: str) -> None:
    """The model in float16 with the recipe's digest, its tokenizer and its processor."""
    words = pupil.tokenizer
    numbers = {name: getattr(words, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    if pupil.family.head:
        # Without these numbers `generate` would not know when to stop.
        pupil.model.generation_config = transformers.GenerationConfig(**numbers, do_sample=False, max_new_tokens=48)
    # Three decimals of accuracy are the same as in float32.
    pupil.model.half().save_pretrained(folder)
    pupil.model.float()
    _write_words(pupil.body, words, folder)
    # save_pretrained offers no way to add metadata.
    tensors.write(load_file(folder / WEIGHTS), folder / WEIGHTS, {"recipe": digest})


def save_tower(pupil: Pupil, folder: Path) -> None:
    """CLIP's vision tower in float32, for the models that are trained on top of it."""
    tensors.write(pupil.model.vision_model.state_dict(), folder / TOWER, {})


def put_tower(pupil: Pupil, path: Path) -> None:
    """A trained tower into an untrained LLaVA; both call the parameters the same."""
    pupil.model.get_submodule(pupil.body.eyes).load_state_dict(load_file(path))


def start_from(pupil: Pupil, recipe: Recipe, folder: Path) -> list[str]:
    """Take over the decoder and connector of another trained model where names and shapes agree; names of the rest.

    recipe, folder   of the other model; rows of embedding and head go by their tokens
    """
    loaded, _ = opened(recipe, folder)
    other, own = _fused(loaded.model.state_dict()), pupil.model.state_dict()
    theirs = loaded.processor.tokenizer.get_vocab()
    shared = [(number, theirs[token]) for token, number in pupil.tokenizer.get_vocab().items() if token in theirs]
    ours, others = (torch.tensor(numbers) for numbers in zip(*shared, strict=True))
    left = []
    for name, value in own.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            value[ours] = other[name][others]
        elif name in other and other[name].shape == value.shape:
            value.copy_(other[name])
        else:
            left.append(name)
    return left


def _fused(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights, and Llama's projections side by side as Phi-3 holds them."""
    for name in [name for name in weights if name.endswith("mlp.gate_proj.weight")]:
        block = name.removesuffix("mlp.gate_proj.weight")
        for part, fused, names in (("self_attn", "qkv", "qkv"), ("mlp", "gate_up", ("gate", "up"))):
            pieces = [weights[f"{block}{part}.{one}_proj.weight"] for one in names]
            weights[f"{block}{part}.{fused}_proj.weight"] = torch.cat(pieces)
    return weights


def opened(recipe: Recipe, folder: Path) -> tuple[load.Loaded, Pupil]:
    """A saved model in float32, as the workflow loads it and as the trainer sees it."""
    frame = body(recipe.body)
    settings = {"family": frame.family, "checkpoint": str(folder), "revision": "", "dtype": "float32"}
    with tempfile.TemporaryDirectory() as scratch:
        manifest = Path(scratch) / "model.json"
        files.write_json(load.describe(folder, settings), manifest)
        loaded = load.load(manifest)
    return loaded, Pupil(frame, loaded.family, loaded.model, loaded.processor)


def _write_words(frame: Body, words: Any, folder: Path) -> None:
    """Tokenizer and image processor."""
    words.save_pretrained(folder)
    if frame.alone:
        # Q-Formers read the question through a tokenizer of their own.
        words.save_pretrained(folder / "qformer_tokenizer")
    pictures = frame.pictures()
    if pictures is not None:
        pictures.save_pretrained(folder)
