"""How weights are stored and where they lie: precision, quantisation, attention; the host, one GPU or several.

What changes numbers stands in the manifest, so that a change runs again what reads the model. The device does not: it
belongs to the machine.
"""

import importlib.util
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlmscope.errors import VlmscopeError
from vlmscope.models.base import Family

log = logging.getLogger(__name__)

# Manifest entries that decide numbers, with what stands for an entry that is not there.
PRECISION = {"dtype": "float32", "quantize": "none", "attention": "auto"}
# Of one weight; scales that quantisation keeps beside the weights are not counted.
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "8bit": 1.0, "4bit": 0.5}
# Inputs that pick positions; they stay on the host, from where a layer of any device can be indexed.
PICKING = frozenset({"logits_to_keep"})
# Share of a GPU's free memory that weights may take; the rest is for activations and the cache.
ROOM = 0.9


def precision(settings: dict[str, Any]) -> dict[str, str]:
    """The part of a model's settings that decides numbers, for its manifest."""
    return {key: settings.get(key, usual) for key, usual in PRECISION.items()}


def arguments(folder: Path, about: dict[str, Any], device: str) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained` for a checkpoint folder.

    about    the manifest
    device   cpu; cuda, one GPU, or several where one cannot hold the weights; auto, all GPUs of the job
    """
    import torch

    dtype = getattr(torch, about["dtype"])
    found: dict[str, Any] = {"dtype": dtype}
    if about["attention"] != "auto":
        found["attn_implementation"] = about["attention"]
    if about["quantize"] != "none":
        found["quantization_config"] = _quantization(about["quantize"], dtype, device)
    if device != "cpu":
        free = [torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())]
        found |= places(weight_bytes(folder, about), free, every=device == "auto")
    return found


def weight_bytes(folder: Path, about: dict[str, Any]) -> int:
    """Memory that the weights will take, from the shapes in the headers of the files."""
    numbers = 0
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as handle:
            tensors = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
        tensors.pop("__metadata__", None)
        numbers += sum(math.prod(one["shape"]) for one in tensors.values())
    return int(numbers * BYTES[about["dtype"] if about["quantize"] == "none" else about["quantize"]])


def places(need: int, free: Sequence[int], every: bool) -> dict[str, Any]:
    """Where the weights go: the first GPU, or layer by layer over several; never partly on the host.

    need    bytes of the weights
    free    free bytes of each GPU
    every   use all GPUs, also where one would do
    """
    room = {number: int(ROOM * one) for number, one in enumerate(free)}
    if need > sum(room.values()):
        raise VlmscopeError(
            f"The weights take {need / 1e9:.1f} GB; the GPUs of this job have room for {sum(room.values()) / 1e9:.1f}.",
            where="models.* in the configuration, resource gpu of the rule",
            instead="more GPUs (--set-resources RULE:gpu=2), a 16-bit dtype, or quantize: 8bit",
        )
    if len(room) == 1 or (need <= room[0] and not every):
        return {"device_map": {"": 0}}
    return {"device_map": "auto", "max_memory": room}


def uncut(model: Any, kind: Family) -> set[str]:
    """Names of the classes whose modules lie on one device: a block of the decoder, and the vision tower as a whole.

    The library cuts the towers of some families inside a block or between its embeddings, which then do not meet.
    """
    block = kind.sites["resid_post"].path.replace("{l}", "0")
    steps = kind.sites["vision_resid"].path.split(".")
    above = (".".join(steps[:length]) for length in range(1, len(steps)))
    tower = next(path for path in above if not f"{block}.".startswith(f"{path}."))
    return {type(model.get_submodule(path)).__name__ for path in (block, tower)}


def cuttable(model_class: Any, kind: Family, folder: Path) -> Any:
    """The model class for weights over several devices, cut between blocks only."""
    import torch

    config = model_class.config_class.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model = model_class(config)
    told = {
        # Names of weights are translated for classes of the library's own modules alone.
        "__module__": model_class.__module__,
        "_no_split_modules": sorted(model._no_split_modules | uncut(model, kind)),
        "_skip_keys_device_placement": sorted(model._skip_keys_device_placement | PICKING),
    }
    return type(model_class.__name__, (model_class,), told)


def check_on_gpus(model: Any) -> None:
    """Refuse a model of which a part was put on the host or a disk; log where the layers lie."""
    lying = set(map(str, getattr(model, "hf_device_map", {}).values()))
    if away := lying & {"cpu", "disk"}:
        raise VlmscopeError(
            f"The GPUs of this job cannot hold the model; a part of it would lie on: {', '.join(sorted(away))}.",
            where="resource gpu of the rule",
            instead="more GPUs (--set-resources RULE:gpu=2), or quantize: 8bit",
        )
    log.info("%s on %s", type(model).__name__, ", ".join(sorted(lying)) or model.device)


def _quantization(kind: str, dtype: Any, device: str) -> Any:
    """Settings of bitsandbytes; every linear layer but the unembedding is packed."""
    if device == "cpu":
        raise VlmscopeError(
            f"Weights of {kind} need a GPU, and this job runs on the CPU.",
            where="models.*.quantize",
            instead="quantize: none (dtype: bfloat16 halves the memory), or a machine with a GPU",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise VlmscopeError(
            f"Weights of {kind} need the package bitsandbytes, which is not installed.",
            where="models.*.quantize",
            instead="pip install bitsandbytes in the environment of envs/gpu.yaml, or quantize: none",
        )
    from transformers import BitsAndBytesConfig

    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
