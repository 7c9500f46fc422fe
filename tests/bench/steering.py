"""Many strengths of a vector behind the last block against plain hooks, one strength and one question at a time.

    python tests/bench/steering.py [--questions 24] [--strengths 12] [--block -1] [--repeats 3] [--model llava15]

The sweep reads every batch of questions once, hands keys, values and the state in front of the final norm to every row,
and writes all strengths as rows of common batches. The baseline does what the released code does: a whole generation
per question and strength with a hook on the block. Times are CPU seconds in one thread, the smallest of the repeats; a
column says whether all answers are equal.
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

from vlmscope.capture.batches import picture_of
from vlmscope.capture.shard import prompts
from vlmscope.datasets import vqav2_questions
from vlmscope.models import answer, inputs
from vlmscope.models.load import describe, load
from vlmscope.pushes import Push, pushed
from vlmscope.store import files
from vlmscope.world import draw
from vlmscope.xl_vlms.steer import answers as steer_answers
from vlmscope.xl_vlms.steer.conditions import Condition

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {"llava15": "llava", "idefics2": "idefics2", "molmo": "molmo", "qwen2-vl": "qwen2_vl"}
TOKENS, BATCH = 5, 64


def swept(loaded: object, asked: list, texts: list, picture: object, every: list) -> list:
    """Answers of the sweep, by condition, then question."""
    parts = list(steer_answers.answers(loaded, asked, texts, picture, every, TOKENS, BATCH))
    return steer_answers.table(parts, every, asked)["prediction"].to_list()


def one_by_one(loaded: object, asked: list, texts: list, picture: object, every: list) -> list:
    """The same, one condition and one question at a time."""
    found = []
    for one in every:
        for sample, text in zip(asked, texts, strict=True):
            tensors = inputs.encode(loaded, [text], [picture(sample)], side="left")
            with pushed(loaded, [[Push(one.block, one.direction, one.alpha)]], tensors["attention_mask"]):
                tokens = answer.new_tokens(loaded, tensors, TOKENS)[0]
            found.append(answer.text_of(loaded, tokens))
    return found


def timed(work: object, *arguments: object, repeats: int) -> tuple[float, list]:
    """Smallest CPU seconds, and the result."""
    best, found = float("inf"), []
    for _ in range(repeats):
        start = time.process_time()
        found = work(*arguments)
        best = min(best, time.process_time() - start)
    return best, found


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--strengths", type=int, default=12)
    parser.add_argument("--block", type=int, default=-1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="llava15", choices=FAMILIES)
    told = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vqav2_questions.write([draw.draw("com", 90_000 + one) for one in range(told.questions)], folder, "val")
        asked = list(vqav2_questions.read(folder, "val", name="vqa", ask="Question: "))[: told.questions]
        settings = {"family": FAMILIES[told.model], "checkpoint": told.model, "revision": "", "dtype": "float32"}
        files.write_json(describe(ROOT / "weights" / told.model, settings), folder / "model.json")
        loaded = load(folder / "model.json")
        site = loaded.family.site("resid_post")
        block = told.block % site.layers(loaded.config)
        vector = np.random.default_rng(0).standard_normal(site.width(loaded.config)).astype(np.float32)
        every = [
            Condition("vector", "drawn", block, float(alpha), direction=vector)
            for alpha in np.linspace(0, 4, told.strengths)
        ]
        ask = prompts(loaded, vqav2_questions, "chat")
        work = loaded, asked, [ask(one) for one in asked], picture_of(folder), every
        together, found = timed(swept, *work, repeats=told.repeats)
        alone, expected = timed(one_by_one, *work, repeats=told.repeats)
    print(
        json.dumps(
            {
                "model": told.model,
                "block": block,
                "questions": len(asked),
                "strengths": told.strengths,
                "together_s": round(together, 2),
                "one_by_one_s": round(alone, 2),
                "ratio": round(alone / together, 1),
                "equal": found == expected,
                "different_answers": len(set(found)),
            }
        )
    )


if __name__ == "__main__":
    main()
