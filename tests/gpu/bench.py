"""Capture against the bare forward pass at published size, on a GPU: LLaVA-NeXT 7B, random weights, bfloat16.

    python tests/gpu/bench.py [--batches 1 8 32] [--repeats 5]
    python tests/gpu/bench.py --device cpu --size tiny        to try the script where there is no GPU

Pairs of passes in turn in one process, the smallest time of each. A captured pass ends with its values on the host; its
logits are compared bit by bit with those of the bare one. Prints a table in Markdown under a line on the machine.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

import machine
import numpy as np
import test_published_shapes
import tiny_families
import torch
from PIL import Image

from vlmscope.capture import plan, run
from vlmscope.models import base, inputs, load
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded
from vlmscope.store import shards

FAMILY = "llava_next"
HEAD = (
    *("take", "batch", "tokens", "bare, ms", "ratio", "tokens/s"),
    *("bare, GB", "capture, GB", "written, MB", "same logits"),
)
# A picture that the published model cuts into a base view and four tiles.
PICTURE = {"published": (640, 480), "tiny": (28, 28)}
WORDS = range(30, 51)


def published(words: Any) -> tuple[Any, Any]:
    """Configuration and image processor of the published model; the image token is that of the tokenizer here."""
    from transformers import LlavaNextConfig, LlavaNextImageProcessorPil

    shape = dict(test_published_shapes.PUBLISHED[FAMILY].config)
    shape["image_token_index"] = tiny_families.image_id(words)
    side = shape["vision_config"]["image_size"]
    sizes = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    config = LlavaNextConfig(**shape)
    return config, LlavaNextImageProcessorPil(**sizes, image_grid_pinpoints=config.image_grid_pinpoints)


def model(size: str, dtype: torch.dtype) -> Loaded:
    """Random weights, made on the device itself."""
    load.slim_imports()
    kind = base.family(FAMILY)
    words = tiny_families.tokenizer(("<image>",), {})
    config, pictures = (published if size == "published" else tiny_families.llava_next)(words)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    with torch.device(machine.DEVICE):
        made = load.model_class(kind)(config).eval().requires_grad_(False)
    torch.set_default_dtype(usual)
    with tempfile.TemporaryDirectory() as folder:
        words.save_pretrained(folder)
        pictures.save_pretrained(folder)
        return Loaded(made, kind.processor(Path(folder), config), kind, {})


def batch(loaded: Loaded, rows: int, size: tuple[int, int]) -> Batch:
    """Noise of one size under prompts of 30 to 50 words."""
    draw = np.random.default_rng(0)
    lengths = [WORDS[row * len(WORDS) // rows] for row in range(rows)]
    prompts = [" ".join(["<image>", *(f"w{word}" for word in draw.integers(0, 80, one))]) for one in lengths]
    pictures = [Image.fromarray(draw.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)) for _ in range(rows)]
    return Batch(tuple(range(rows)), inputs.encode(loaded, prompts, pictures, "right"))


def plans(loaded: Loaded) -> dict[str, list[dict[str, str]]]:
    """Label -> takes."""
    layer = 3 * loaded.config.text_config.num_hidden_layers // 4
    counted = ("mlp_gate", "vision_gate", "projector_gate")
    return {
        "counts, all modules": [{"site": site, "where": "all", "keep": "counts"} for site in counted],
        f"resid_post[{layer}], all positions": [{"site": f"resid_post[{layer}]", "where": "all", "keep": "values"}],
    }


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds and peak memory in GB (nan on a CPU) of one call, with its result."""
    on_gpu = machine.DEVICE == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() / 1e9 if on_gpu else float("nan"), result


@torch.inference_mode()
def bare(loaded: Loaded, one: Batch) -> torch.Tensor:
    """Logits of the pass that is the floor."""
    return run.forward(loaded, one).logits


def captured_logits(loaded: Loaded, takes: list[plan.Take], one: Batch) -> torch.Tensor:
    """Logits of a captured pass."""
    seen = []
    handle = loaded.model.register_forward_hook(lambda module, args, output: seen.append(output.logits))
    with handle:
        run.capture(loaded, takes, [one])
    return seen[0]


def written(kept: list[run.Kept], rows: int) -> float:
    """Size of the shard in MB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "00000.h5"
        shards.write(path, [str(row) for row in range(rows)], {one.take.name: one.arrays for one in kept}, {})
        return path.stat().st_size / 1e6


def row(loaded: Loaded, label: str, one: Batch, repeats: int) -> list[str]:
    """One line of the table."""
    takes = plan.resolve(plans(loaded)[label], loaded.family, loaded.config)
    # The first pair warms up: kernels are chosen, memory is taken.
    pairs = [
        (timed(lambda: bare(loaded, one))[:2], timed(lambda: run.capture(loaded, takes, [one]))[:2])
        for _ in range(repeats + 1)
    ][1:]
    (floor, low), (taken, high) = (tuple(map(min, zip(*side, strict=True))) for side in zip(*pairs, strict=True))
    same = torch.equal(bare(loaded, one), captured_logits(loaded, takes, one))
    tokens = int(one.inputs["attention_mask"].sum())
    size = written(run.capture(loaded, takes, [one]), len(one.rows))
    numbers = (f"{1000 * floor:.1f}", f"{taken / floor:.3f}", f"{tokens / taken:.0f}", f"{low:.1f}", f"{high:.1f}")
    return [label, str(len(one.rows)), str(tokens), *numbers, f"{size:.1f}", "yes" if same else "NO"]


def rows(loaded: Loaded, batches: list[int], size: tuple[int, int], repeats: int) -> Iterator[list[str]]:
    """All lines; larger batches of a plan are left out once memory is short."""
    for label in plans(loaded):
        for count in batches:
            try:
                yield row(loaded, label, batch(loaded, count, size), repeats)
            except torch.OutOfMemoryError:
                yield [label, str(count), "out of memory", *[""] * (len(HEAD) - 3)]
                torch.cuda.empty_cache()
                break


def main() -> None:
    """Print the table line by line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--size", choices=["published", "tiny"], default="published")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    machine.DEVICE = chosen.device
    if machine.lacking():
        print(f"Not run: {machine.lacking()} --size tiny.")
        return
    if chosen.device == "cpu":
        torch.set_num_threads(1)
    loaded = model(chosen.size, getattr(torch, chosen.dtype))
    count = sum(one.numel() for one in loaded.model.parameters())
    print(f"{machine.line()}; {FAMILY}, {count / 1e9:.3f} billion parameters, {chosen.dtype}\n")
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for line in rows(loaded, chosen.batches, PICTURE[chosen.size], chosen.repeats):
        print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
