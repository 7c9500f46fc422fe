"""Weights that a fine-tune changes: all of the decoder's blocks, or thin matrices beside its linear layers (LoRA)."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded
from vlmscope.store import files

# Texts of a checkpoint's folder, and those of them that tell of other weights.
TEXTS, OTHERS = (".json", ".txt", ".model", ".jinja"), ("measured.json", "hub.json")
# Part of the names of weights that LoRA brings, and what it calls the layer that it wraps.
ADDED, WRAPPED = "lora_", ".base_layer"


def prepare(loaded: Loaded, settings: Mapping[str, Any]) -> list[nn.Parameter]:
    """Make ready what is to be trained, in float32; everything else stays as it is.

    settings   method; rank, alpha, targets for lora
    """
    found = _thin(loaded, settings) if settings["method"] == "lora" else _blocks(loaded)
    for one in found:
        one.data = one.data.float()
        one.requires_grad_(True)
    return found


def _inside(loaded: Loaded) -> str:
    """Path of the decoder's blocks, with a dot at its end."""
    return loaded.family.sites["resid_post"].path.partition("{l}")[0]


def _blocks(loaded: Loaded) -> list[nn.Parameter]:
    return [one for name, one in loaded.model.named_parameters() if name.startswith(_inside(loaded))]


def _thin(loaded: Loaded, settings: Mapping[str, Any]) -> list[nn.Parameter]:
    import peft

    chosen = peft.LoraConfig(
        r=settings["rank"], lora_alpha=settings["alpha"], target_modules=targets(loaded, settings["targets"])
    )
    # In place: the model stays the one that was loaded, its linear layers are wrapped.
    peft.inject_adapter_in_model(chosen, loaded.model)
    return [one for name, one in loaded.model.named_parameters() if ADDED in name]


def targets(loaded: Loaded, endings: list[str]) -> list[str]:
    """Paths of the linear layers in the decoder's blocks whose names end so; of all for no ending."""
    linear = [
        name
        for name, module in loaded.model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(_inside(loaded))
    ]
    for ending in endings:
        if not any(name.endswith(f".{ending}") for name in linear):
            known = sorted({name.rpartition(".")[2] for name in linear})
            raise VlmscopeError(
                f"No linear layer of the decoder is called '{ending}'.",
                where="finetunes.*.targets",
                instead="of these: " + ", ".join(known),
            )
    return [name for name in linear if not endings or name.endswith(tuple(f".{one}" for one in endings))]


def save(loaded: Loaded, folder: Path) -> None:
    """Write the model as it stands, thin matrices added to the weights, in the layout and precision of its base.

    Configuration, tokenizer and processor are the base's own files.
    """
    source = Path(loaded.about["folder"])
    with _merged(loaded.model):
        held = _stored(loaded.model, _precision(source, loaded.model.dtype))
    shutil.rmtree(folder, ignore_errors=True)
    loaded.model.save_pretrained(folder, state_dict=held)
    for path in source.rglob("*"):
        if path.suffix in TEXTS and not path.name.endswith((*OTHERS, ".index.json")):
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


@contextlib.contextmanager
def _merged(model: Any) -> Iterator[None]:
    """Thin matrices added to the weights inside the block; behind it the weights are those of before, to the bit."""
    layers = [one for one in model.modules() if hasattr(one, "merge") and hasattr(one, "base_layer")]
    before = [one.base_layer.weight.detach().clone() for one in layers]
    for one in layers:
        one.merge()
    try:
        yield
    finally:
        for one, value in zip(layers, before, strict=True):
            one.unmerge()
            one.base_layer.weight.data.copy_(value)


def _stored(model: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """Copies of the weights under the names that the model has without thin matrices."""
    return {
        name.replace(WRAPPED, ""): value.detach().to("cpu", dtype if value.is_floating_point() else None, copy=True)
        for name, value in model.state_dict().items()
        if ADDED not in name
    }


def _precision(folder: Path, usual: torch.dtype) -> torch.dtype:
    """Precision in which a checkpoint's weights are stored."""
    told = files.read_json(folder / "config.json")
    name = told.get("dtype") or told.get("torch_dtype")
    return getattr(torch, name) if name else usual
