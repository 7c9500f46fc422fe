"""Blocked attention behind a shared prefix against passes over the whole prompt: same interventions, one process.

    python tests/bench/knockout.py [--images 4] [--layers 16] [--width 128]

Randomly initialised LLaVA with 576 visual tokens and the released groups in the published windows. The baseline runs
one pass over the whole prompt per intervention; pictures are embedded beforehand for both. Times are CPU seconds in one
thread; the last columns say whether all tokens agree, and how far probabilities lie apart at most.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.llava_interp.knockout import passes, windows
from vlmscope.models.base import family
from vlmscope.models.load import Loaded, slim_imports

GRID, QUESTION = 24, 20


def model(layers: int, width: int) -> Loaded:
    """A decoder of this size with random weights; the tower plays no role."""
    slim_imports()
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    text = LlamaConfig(
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        vocab_size=1000,
        initializer_range=0.1,
    )
    tower = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=336, patch_size=14
    )
    torch.manual_seed(0)
    config = LlavaConfig(vision_config=tower, text_config=text, image_token_id=999, image_token_index=999)
    found = LlavaForConditionalGeneration(config).eval().requires_grad_(False)
    return Loaded(found, SimpleNamespace(), family("llava"), {})


def prompt(width: int, seed: int) -> Asked:
    """Embeddings of a picture between words."""
    generator = torch.Generator().manual_seed(seed)
    visual = GRID * GRID
    ids = torch.cat([torch.arange(5), torch.full((visual,), 999), torch.arange(QUESTION)])
    return Asked(ids, torch.randn(len(ids), width, generator=generator), 5, visual, {})


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rows", type=int, default=36)
    told = parser.parse_args()
    torch.set_num_threads(1)
    loaded = model(told.layers, told.width)
    wanted = [windows.Intervention(*group, one) for group in windows.RELEASED for one in windows.windows(told.layers)]
    slow = fast = apart = 0.0
    same = True
    for seed in range(told.images):
        asked = prompt(told.width, seed)
        patches = np.random.default_rng(seed).choice(GRID * GRID, 20, replace=False).tolist()
        sources, targets = passes.keys(patches, asked, GRID, 0, seed), passes.queries(asked, GRID)
        start = time.process_time()
        ours = dict(passes.outcomes(loaded, asked, wanted, sources, targets, told.rows))
        middle = time.process_time()
        whole = {one: passes.outcome(loaded, asked, one, sources, targets) for one in wanted}
        fast, slow = fast + middle - start, slow + time.process_time() - middle
        for one in wanted:
            same &= int(ours[one].argmax()) == int(whole[one].argmax())
            apart = max(apart, float((ours[one].softmax(-1) - whole[one].softmax(-1)).abs().max()))
    print(
        f"{told.images} pictures, {len(wanted)} interventions each: whole prompts {slow:.2f} s, "
        f"shared prefix {fast:.2f} s, ratio {slow / fast:.1f}, "
        f"tokens equal: {'yes' if same else 'NO'}, probabilities within {apart:.1e}"
    )


if __name__ == "__main__":
    main()
