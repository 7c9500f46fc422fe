"""Pictures by their first view alone, for families that cut a picture into tiles behind it.

A decoder's token sees nothing behind it, so states of the first view are those of the whole picture
(multimodal_sae.md 11.11). Tiles cost most of a pass: four of five views, and three quarters of the tokens.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vlmscope.models import parts
from vlmscope.models.load import Loaded

# What the modules of these families ask for the number of views of a picture.
COUNT = "image_size_to_num_patches"


def known(loaded: Loaded) -> bool:
    """Whether the model cuts tiles, and can be told not to."""
    return hasattr(_module(loaded), COUNT)


@contextlib.contextmanager
def alone(loaded: Loaded) -> Iterator[None]:
    """Inside, the model takes every picture to have one view."""
    module = _module(loaded)
    usual = getattr(module, COUNT)
    setattr(module, COUNT, lambda *args, **kwargs: 1)
    try:
        yield
    finally:
        setattr(module, COUNT, usual)


def cut(loaded: Loaded, tensors: dict[str, Any]) -> dict[str, Any]:
    """Inputs of prompts that end with a picture: the first view, and tokens up to its end.

    One view is followed by the mark of a line's end, which no state of the view sees.
    """
    ids: Tensor = tensors["input_ids"]
    first = int((ids[0] == loaded.family.image_token(loaded.config)).int().argmax())
    end = first + parts.patches(loaded.config) + 1
    kept = {name: one[:, :end] for name, one in tensors.items() if torch.is_tensor(one) and one.shape == ids.shape}
    return {**tensors, **kept, "pixel_values": tensors["pixel_values"][:, :1]}


def _module(loaded: Loaded) -> Any:
    """The module of transformers with the model's class."""
    return sys.modules[type(loaded.model).__module__]
