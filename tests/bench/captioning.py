"""Captions with captured activations against plain cached generation: same prompts, one process, pairs in turn.

    python tests/bench/captioning.py [--samples 32] [--repeats 5] [--batch 32]

For every embedded model of mm_neurons (both activations at the emitting positions; bound 1.15) and of xl_vlms (the
stream behind every block and the final norm, capture concept_states; bound 1.10): CPU milliseconds per caption of plain
generation, the ratio of the capture, whether the captions are equal, and how far the captured values lie from those of
one more pass over prompt and caption (docs/performance.md).
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from vlmscope import raw
from vlmscope.capture import batches, plan, run, shard, steps
from vlmscope.config import default
from vlmscope.datasets import base
from vlmscope.mm_neurons import needs
from vlmscope.models import answer
from vlmscope.models.load import Loaded, describe, load
from vlmscope.store import files

ROOT = Path(__file__).resolve().parents[2]
MOST = 24


def model(name: str, work: Path) -> Loaded:
    """An embedded model."""
    one = default().models[name]
    settings = {"family": one.family, "checkpoint": one.checkpoint, "revision": "", "dtype": "float32"}
    files.write_json(describe(ROOT / one.checkpoint, settings), work / f"{name}.json")
    return load(work / f"{name}.json")


def prompts(loaded: Loaded, root: Path, size: int) -> list:
    """Batches of prompts over drawn pictures, encoded beforehand: both ways need them."""
    samples = list(base.load("sbu").read(root, "train", name="sbu", query="describe the image."))
    ask = shard.prompts(loaded, base.load("sbu"), "chat")
    return list(batches.prefill(loaded, samples, ask, batches.picture_of(root), size))


def plain(loaded: Loaded, given: list) -> list:
    """Captions alone."""
    return [answer.new_tokens(loaded, batches.left_padded(one.inputs), MOST) for one in given]


def captured(loaded: Loaded, given: list, takes: list) -> list:
    """Captions and activations, as a capture makes them."""
    reader = steps.Steps(loaded, takes)
    return reader.capture(batches.answered(loaded, given, MOST, reader.reading))


def seconds(work: object) -> tuple[float, object]:
    """CPU time of one call in one thread, and what it gave."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def compared(loaded: Loaded, given: list, takes: list, repeats: int) -> tuple[float, float, bool, list]:
    """Smallest CPU seconds of either way, whether both wrote as many tokens, and what the capture kept."""
    pairs = [
        (seconds(lambda: plain(loaded, given)), seconds(lambda: captured(loaded, given, takes)))
        for _ in range(repeats + 1)
    ][1:]
    bare, full = (min(pair[place][0] for pair in pairs) for place in (0, 1))
    (_, texts), (_, kept) = pairs[-1]
    return bare, full, sum(len(text) for part in texts for text in part) == len(kept[0].arrays["values"]), kept


def main() -> None:
    """Print one line per model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    told = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':16}{'plain ms':>10}{'ratio':>8}  {'captions equal':16}{'difference':>12}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        raw.draw_benchmark("sbu", work / "sbu", {"train": "train"}, {"train": told.samples})
        states = [take.model_dump() for take in default().captures["concept_states"].take]
        activations = needs.takes(needs.TAKES)
        cases = [(name, activations) for name in default().run.mm_neurons]
        for name, wanted in cases + [(name, states) for name in default().run.xl_vlms]:
            loaded = model(name, work)
            takes = plan.resolve(wanted, loaded.family, loaded.config, "generate")
            given = prompts(loaded, work / "sbu", told.batch)
            bare, full, texts, kept = compared(loaded, given, takes, told.repeats)
            second = run.capture(loaded, takes, batches.answered(loaded, given, MOST))
            both = zip(kept, second, strict=True)
            apart = max(abs(one.arrays["values"] - two.arrays["values"]).max() for one, two in both)
            equal = kept[0].arrays["token"].tolist() == second[0].arrays["token"].tolist() and texts
            print(
                f"{name:16}{1000 * bare / told.samples:10.1f}{full / bare:8.3f}  {equal!s:16}{apart:12.2g}", flush=True
            )


if __name__ == "__main__":
    main()
