"""Every family: batch 8 against batch 1, and capture against the bare forward pass, in one process, smallest times.

    python tests/bench/families.py [--repeats 15] [--width 16]

Columns: milliseconds of the bare pass per sample, capture over bare pass at batch 8. The models are those of the
contract tests, every width times `--width`, randomly initialised. Correctness: the logits of the captured pass are
bit-equal to the bare ones; logits behind a prompt in the batch differ from those of the prompt alone by the share of
the largest that is stated.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import capture as pairs
import numpy as np
import tiny_families
import torch
from PIL import Image

from vlmscope.capture import plan, run
from vlmscope.models import base, inputs
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded, slim_imports

# Settings that are widths, whatever the configuration calls the rest.
WIDTHS = (
    *("hidden_size", "intermediate_size", "embed_dim", "out_hidden_size", "encoder_hidden_size"),
    *("head_dim", "resampler_head_dim", "query_pre_attn_scalar"),
)
GATES = ("mlp_gate", "vision_gate", "projector_gate", "resampler_gate", "qformer_gate", "query_gate")
ROWS = 8
QUESTION = 48


def widen(config: Any, times: int, seen: set[int]) -> None:
    """Multiply every width of a configuration and of those inside it; a part that stands in two places just once."""
    if id(config) in seen:
        return
    seen.add(id(config))
    for name in WIDTHS:
        # Some configurations have a second name for the same value, which then is an alias.
        if name in vars(config) and isinstance(vars(config)[name], int):
            setattr(config, name, vars(config)[name] * times)
    rope = getattr(config, "rope_parameters", None) or {}
    if "mrope_section" in rope:
        rope["mrope_section"] = [part * times for part in rope["mrope_section"]]
    for part in [one for one in vars(config).values() if hasattr(one, "model_type")]:
        widen(part, times, seen)


def model(name: str, times: int) -> Loaded:
    """The contract model of a family, wider."""
    builder = tiny_families.BUILDERS[name]

    def make(words: Any) -> tuple[Any, Any]:
        config, pictures = builder.make(words)
        widen(config, times, set())
        return config, pictures

    wide = tiny_families.Builder(make, builder.special, builder.named, builder.pictures)
    made, processor = tiny_families.build(base.family(name), wide)
    return Loaded(made, processor, base.family(name), {})


def batch(loaded: Loaded, rows: list[int]) -> Batch:
    """Pictures of the contract tests' first shape, questions of 27 to 48 words."""
    size = tiny_families.BUILDERS[loaded.family.name].pictures[0]
    texts, pictures = [], []
    for row in rows:
        random = np.random.default_rng(row)
        words = random.integers(0, tiny_families.WORDS, QUESTION - 3 * row)
        text = "<image>\n" + " ".join(f"w{word}" for word in words)
        texts.append(loaded.family.template.replace("{prompt}", text))
        pictures.append(Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)))
    return Batch(tuple(rows), inputs.encode(loaded, texts, pictures, side="right"))


def ends(loaded: Loaded, one: Batch) -> torch.Tensor:
    """What a model says of every row: logits behind the prompt, or how well picture and text agree."""
    with torch.inference_mode():
        output = loaded.model(**one.inputs)
    if not loaded.family.head:
        return output.logits_per_image.diagonal()[:, None]
    last = one.inputs["attention_mask"].sum(1) - 1
    return output.logits[torch.arange(len(last)), last]


def row(name: str, times: int, repeats: int) -> str:
    """One line of the table."""
    loaded = model(name, times)
    many, singles = batch(loaded, list(range(ROWS))), [batch(loaded, [number]) for number in range(ROWS)]
    takes = [{"site": site, "where": "all", "keep": "counts"} for site in GATES if site in loaded.family.sites]
    counts = plan.resolve(takes, loaded.family, loaded.config)
    residual = plan.resolve([{"site": "resid_post[1]", "where": "all", "keep": "values"}], loaded.family, loaded.config)
    alone = sum(fastest(lambda one=one: run.forward(loaded, one), repeats) for one in singles)
    bare, counted, same = pairs.ratio(loaded, counts, many, repeats)
    _, read, also = pairs.ratio(loaded, residual, many, repeats)
    whole, parts = ends(loaded, many), torch.cat([ends(loaded, one) for one in singles])
    apart = ((whole - parts).abs().max() / parts.abs().max()).item()
    length = many.inputs["input_ids"].shape[1]
    return (
        f"| {name} | {length} | {alone / ROWS:.1f} | {bare / ROWS:.1f} | {alone / bare:.2f} "
        f"| {counted:.2f} | {read:.2f} | {'yes' if same and also else 'NO'} | {apart:.0e} |"
    )


def fastest(work: Callable[[], Any], repeats: int) -> float:
    """Milliseconds of the fastest of several calls, the first left out."""
    with torch.inference_mode():
        return 1000 * min([pairs.seconds(work) for _ in range(repeats + 1)][1:])


def main() -> None:
    """Print the table, one family to a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--width", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    slim_imports()
    columns = "family", "tokens", "batch 1", "batch 8", "gain", "counts", "residual", "bit-equal", "batch - single"
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for name in base.names():
        print(row(name, options.width, options.repeats), flush=True)


if __name__ == "__main__":
    main()
