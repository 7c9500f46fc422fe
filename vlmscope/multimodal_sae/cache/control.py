"""The control beside a trained autoencoder: the same with the weights it began with, and the trained b_dec."""

from pathlib import Path
from typing import Any

from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.cache import passes
from vlmscope.multimodal_sae.coder import checkpoint, sae


def from_files(loaded: Loaded, *, trained: str, weights: str, seed: int, **read: Any) -> None:
    """Write the control and its cache.

    trained   sae.safetensors of the trained one
    weights   sae.safetensors of the control, in a folder of the same name
    read      what `passes.from_files` reads besides
    """
    control = sae.untrained(checkpoint.read(Path(trained).parent), seed)
    checkpoint.write(control, Path(weights).parent)
    passes.from_files(loaded, weights=weights, **read)
