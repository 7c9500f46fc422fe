"""A whole sweep of conditions against one condition and one sample at a time: same model, same questions, one process.

    python tests/bench/sweep.py [--samples 16] [--repeats 3] [--model weights/llava]

Masks: those of the effect measurement with neurons drawn at random, so that no capture is needed. The sweep embeds each
batch once per different mask before the decoder and lays conditions along the batch axis; the baseline prepares, embeds
and answers every sample under every mask by itself, as the released code does. Times are CPU seconds in one thread, the
smallest of the repeats; a column says whether all answers are equal.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from vlmscope import raw, sweep
from vlmscope.capture.batches import picture_of
from vlmscope.config import default, plain
from vlmscope.datasets import base
from vlmscope.edits import Change, zeroed
from vlmscope.mmneuron import generate, masks, modules, perturb
from vlmscope.models import answer, inputs
from vlmscope.models.load import describe, load
from vlmscope.store import files

ROOT = Path(__file__).resolve().parents[2]
SHARE = 0.05


def model(folder: Path, family: str, work: Path) -> object:
    """The model of a folder, as a manifest describes it."""
    settings = {"family": family, "checkpoint": str(folder), "revision": "", "dtype": "float32"}
    files.write_json(describe(folder, settings), work / "model.json")
    return load(work / "model.json")


def changes(loaded: object, seeds: int) -> dict[str, dict]:
    """Condition -> units: none, every condition, and every condition with random neurons."""
    family, drawn = loaded.family.name, np.random.default_rng(0)
    sites, widths = modules.sites(family), perturb.widths(loaded)
    own = {}
    for module, name in sites.items():
        site = loaded.family.site(name)
        layers = range(site.layers(loaded.config))
        count = max(1, round(SHARE * widths[name]))
        own[module] = {layer: sorted(drawn.choice(widths[name], count, replace=False).tolist()) for layer in layers}
    found = {"none": {}}
    for row in plain(default())["mmneuron"]["conditions"][family][1:]:
        units = {sites[module]: own[module] for module in row["modules"]}
        found[row["name"]] = units
        found |= {f"{row['name']}:{seed}": masks.random_like(units, widths, seed) for seed in range(seeds)}
    return found


def swept(loaded: object, samples: list, root: Path, conditions: dict, decoding: object) -> dict:
    """Answers of the sweep: (condition, sample) -> tokens."""
    picture, names = picture_of(root), list(conditions)
    found, every = {}, [Change(units) for units in conditions.values()]
    for chosen, tensors in generate.encoded(loaded, samples, prompt, picture, decoding, 32):
        for one in sweep.passes(loaded, tensors, every, 32, sweep.Writing(decoding.max_new_tokens)):
            for (number, row), tokens in zip(one.pairs, one.written, strict=True):
                found[names[number], chosen[row].sample] = tokens
    return found


def one_by_one(loaded: object, samples: list, root: Path, conditions: dict, decoding: object) -> dict:
    """The same, one condition and one sample at a time."""
    picture, found = picture_of(root), {}
    for name, units in conditions.items():
        with zeroed(loaded, units):
            for sample in samples:
                text = loaded.family.template.replace("{prompt}", prompt(sample))
                tensors = inputs.encode(loaded, [text], [picture(sample)], side="left")
                found[name, sample.sample] = answer.new_tokens(loaded, tensors, decoding.max_new_tokens)[0]
    return found


def prompt(sample: object) -> str:
    """The benchmark's full prompt."""
    return base.load("docvqa").prompt(sample, "full")


def seconds(work: object) -> tuple[float, dict]:
    """CPU time of one call, and what it found."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", type=Path, default=ROOT / "weights" / "llava")
    told = parser.parse_args()
    torch.set_num_threads(1)
    family = {"LlavaNextForConditionalGeneration": "llava_next", "InstructBlipForConditionalGeneration": "instructblip"}
    architecture = json.loads((told.model / "config.json").read_text())["architectures"][0]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        loaded = model(told.model, family[architecture], work)
        raw.draw_benchmark("docvqa", work / "doc", {"val": "val"}, {"val": told.samples})
        samples = list(base.load("docvqa").read(work / "doc", "val", name="doc"))[: told.samples]
        decoding, conditions = generate.Decoding("greedy", 8), changes(loaded, told.seeds)
        given = (loaded, samples, work / "doc", conditions, decoding)
        one_by_one(*given[:1], samples[:1], *given[2:])
        pairs = [(seconds(lambda: one_by_one(*given)), seconds(lambda: swept(*given))) for _ in range(told.repeats)]
    single, batched = min(one[0] for one, _ in pairs), min(two[0] for _, two in pairs)
    equal = all(one[1] == two[1] for one, two in pairs)
    answers = len(samples) * len(conditions)
    print(f"{told.model.name}: {len(conditions)} conditions x {len(samples)} samples")
    print(f"one at a time {1000 * single / answers:.1f} ms, sweep {1000 * batched / answers:.1f} ms per answer")
    print(f"ratio {single / batched:.2f}, answers equal: {equal}")


if __name__ == "__main__":
    main()
