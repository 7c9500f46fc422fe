"""Capture against the bare forward pass: the same batches, one process, pairs in turn; smallest time of each.

    python tests/bench/capture.py [--repeats 7]

Prints the ratio for the counts of all modules and for one residual layer, with a correctness column: the logits of
the captured pass are bit-equal to those of the bare one.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from vlmscope.capture import plan, run
from vlmscope.models.base import family
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded, slim_imports

PLANS = {
    "counts, all modules": [
        {"site": site, "where": "all", "keep": "counts"} for site in ("mlp_gate", "vision_gate", "projector_gate")
    ],
    "residual, one layer": [{"site": "resid_post[1]", "where": "all", "keep": "values"}],
}
# hidden, MLP, layers of decoder and tower: the embedded size, and one nearer to real proportions.
SIZES = {"embedded": (96, 256, 3, 96, 256, 4), "wider": (512, 1376, 4, 256, 1024, 4)}


def model(size: tuple[int, ...]) -> Loaded:
    """A randomly initialised LLaVA-NeXT of 136 image positions."""
    slim_imports()
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

    width, units, layers, eye, eye_units, eye_layers = size
    text = LlamaConfig(
        vocab_size=900,
        hidden_size=width,
        intermediate_size=units,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=512,
    )
    vision = CLIPVisionConfig(
        hidden_size=eye,
        intermediate_size=eye_units,
        num_hidden_layers=eye_layers,
        num_attention_heads=4,
        image_size=64,
        patch_size=8,
    )
    config = LlavaNextConfig(
        text_config=text, vision_config=vision, image_token_index=5, image_grid_pinpoints=[[64, 64]]
    )
    torch.manual_seed(0)
    return Loaded(LlavaNextForConditionalGeneration(config).eval(), None, family("llava_next"), {})


def batch(size: int, ragged: bool) -> Batch:
    """Pictures of two tiles, prompts of 60 tokens (ragged: 40 to 60)."""
    torch.manual_seed(1)
    ids = torch.randint(10, 900, (size, 196))
    ids[:, 1:137] = 5
    mask = torch.ones_like(ids)
    if ragged:
        for row in range(size):
            mask[row, 196 - 20 * row // size :] = 0
    pixels = torch.randn(size, 2, 3, 64, 64)
    sizes = torch.full((size, 2), 64)
    inputs = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels, "image_sizes": sizes}
    return Batch(tuple(range(size)), inputs)


def seconds(work: object) -> float:
    """CPU time of one call, in one thread: what runs beside it counts less than in wall time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ratio(loaded: Loaded, takes: list, one: Batch, repeats: int) -> tuple[float, float, bool]:
    """Milliseconds of the bare pass, ratio of the captured one, and whether its logits are bit-equal."""
    seen = []
    forward = run.forward

    def told(output: object) -> torch.Tensor:
        return output.logits if loaded.family.head else output.logits_per_image

    def bare() -> None:
        with torch.inference_mode():
            seen.append(told(forward(loaded, one)))

    def captured() -> None:
        run.capture(loaded, takes, [one])

    pairs = [(seconds(bare), seconds(captured)) for _ in range(repeats + 1)][1:]
    run.forward = lambda *arguments: seen.append(told(forward(*arguments)))
    captured()
    run.forward = forward
    fastest = min(first for first, _ in pairs)
    return 1000 * fastest, min(second for _, second in pairs) / fastest, torch.equal(seen[-1], seen[-2])


def main() -> None:
    """Print one line per size, batch and plan."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print(f"{'model':10}{'batch':>6}{'padded':>8}  {'take':22}{'bare ms':>9}{'ratio':>8}  logits bit-equal")
    for name, size in SIZES.items():
        loaded = model(size)
        for rows, ragged in ((1, False), (8, False), (8, True), (32, True)):
            for label, takes in PLANS.items():
                resolved = plan.resolve(takes, loaded.family, loaded.config)
                bare, share, equal = ratio(loaded, resolved, batch(rows, ragged), repeats)
                print(f"{name:10}{rows:6}{ragged!s:>8}  {label:22}{bare:9.1f}{share:8.3f}  {equal}", flush=True)


if __name__ == "__main__":
    main()
