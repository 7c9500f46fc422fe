"""Ablation with conditions along the batch axis against one condition after the other: same answers, one process.

    python tests/bench/ablation.py [--images 8] [--model llava15] [--batch 32]

Embedded model and drawn pictures, all conditions of description and poll. The baseline looks at the picture, embeds the
prompt and decodes for every condition by itself, as the released code does. Times are CPU seconds in one thread; the
last column says how many of the answers are the same.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from vlmscope import raw
from vlmscope.datasets import base
from vlmscope.llava_interp.asking import mean, prompts, selection, tokens
from vlmscope.models.load import describe, load
from vlmscope.samples import picture
from vlmscope.store import files

FAMILIES = {"llava15": "llava", "llava-phi": "llava_phi"}
ASKING = {"prompt": "<image>\n{question}", "prompts": {}}
SIZES = (2, 4, 8, 16, 32)


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--model", choices=FAMILIES, default="llava15")
    parser.add_argument("--batch", type=int, default=32)
    told = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        settings = {"family": FAMILIES[told.model], "checkpoint": told.model, "revision": "", "dtype": "float32"}
        files.write_json(describe(root / "weights" / told.model, settings), f"{folder}/model.json")
        loaded, drawn = load(f"{folder}/model.json"), Path(folder) / "drawn"
        raw.draw_benchmark("coco_objects", drawn, {"train": "train"}, {"train": 2 * told.images})
        rows = base.load("coco_objects").read(drawn, "train", name="objects")
        targets, _ = selection.targets(rows, selection.Filter(3, 0, 4096), prompts.view(loaded), "aligned")
        pictures = [picture(one.sample, drawn) for one in targets[: told.images]]
    value = mean.visual_tokens(loaded, pictures).flatten(0, 1).mean(0)
    slow = fast = 0.0
    same = count = 0
    for one, view in zip(targets, pictures, strict=False):
        options = {"image": one.image_id, "seed": 0, "random": SIZES, "importance": None, "gradient": ()}
        sets = [one.tokens for one in tokens.conditions(one.patches, 8, norms={}, **options)]
        for question, most in (("describe the image.", 24), (f"is there a {one.name}?", 3)):
            text = prompts.text(loaded, ASKING, question)
            start = time.process_time()
            asked = prompts.prepare(loaded, [text], [view], 1)[0]
            ours = prompts.write(loaded, [(asked, part) for part in sets], value, most, told.batch)
            middle = time.process_time()
            single = [
                prompts.write(loaded, [(prompts.prepare(loaded, [text], [view], 1)[0], part)], value, most, 1)[0]
                for part in sets
            ]
            fast, slow = fast + middle - start, slow + time.process_time() - middle
            same, count = same + sum(a == b for a, b in zip(ours, single, strict=True)), count + len(sets)
    print(
        f"{len(pictures)} pictures, {count} answers: one by one {slow:.2f} s, along the batch {fast:.2f} s, "
        f"ratio {slow / fast:.1f}, answers equal: {same} of {count}"
    )


if __name__ == "__main__":
    main()
