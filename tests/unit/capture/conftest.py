from pathlib import Path

import numpy as np
import pytest
import torch

from vlmscope.models.base import family
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded, slim_imports

TINY = Path(__file__).parents[2] / "golden" / "mmneuron" / "tiny_llava_next"


@pytest.fixture(scope="session")
def tiny():
    """The golden model, without a processor."""
    slim_imports()
    from transformers import LlavaNextForConditionalGeneration

    model = LlavaNextForConditionalGeneration.from_pretrained(TINY, dtype=torch.float32).eval().requires_grad_(False)
    return Loaded(model, None, family("llava_next"), {})


@pytest.fixture(scope="session")
def single():
    """A function that gives one golden sample as a batch of its own."""
    with np.load(TINY / "golden.npz") as file:
        inputs = {name: file[name] for name in file.files if name.startswith("inputs/ad/")}

    def batch(number):
        part = {
            key: torch.from_numpy(inputs[f"inputs/ad/{number}/{key}"])[None] for key in ("pixel_values", "input_ids")
        }
        sizes = torch.from_numpy(inputs[f"inputs/ad/{number}/image_size"])[None]
        mask = torch.ones_like(part["input_ids"])
        return Batch((number,), {**part, "image_sizes": sizes, "attention_mask": mask})

    return batch
