"""Whether the lens tells objects that are there from objects the model only says are there, from files to records (9c).

The score of a class is its largest probability at any visual position, read by the lens; the model is asked after
every class besides. The control is the same class's score in another picture: what a class scores anywhere.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vlmscope import lens
from vlmscope.llava_interp.asking import prompts, tokens
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.prompts import Word
from vlmscope.llava_interp.lens import tuned
from vlmscope.llava_interp.lens.detector_tables import DETECTED
from vlmscope.models.load import Loaded
from vlmscope.samples import Sample, read
from vlmscope.session import progress


@dataclass(frozen=True)
class Seen:
    """One picture.

    there    classes of its objects; absent: as many others, drawn
    scores   float32 [L + 1, class], in the order of all classes
    """

    sample: Sample
    there: list[str]
    absent: list[str]
    scores: np.ndarray


def from_files(own: Bench, samples: str) -> Found:
    """Records `DETECTED`, one per picture and class that is asked for.

    settings   asking, question, detector
    """
    rows = [one for one in read(samples) if classes(one)]
    names = sorted({name for one in rows for name in classes(one)})
    part = rows[: own.told["detector"]["images"]]
    words = [prompts.word(own.loaded.processor.tokenizer, name.lower()) for name in names]
    seen = [_seen(own, one, names, words) for one in progress(part, len(part), "pictures")]
    records = [
        row
        for place, one in enumerate(progress(seen, len(seen), "questions"))
        for row in _asked(own, one, seen[(place + 1) % len(seen)], names)
    ]
    return pl.DataFrame(records, schema=DETECTED), {"pictures": len(part), "classes": len(names)}


def classes(sample: Sample) -> list[str]:
    """Classes of all objects of a picture, crowds and small ones too."""
    return sorted({one["class"] for one in json.loads(sample.answer)["objects"]})


def _seen(own: Bench, sample: Sample, names: Sequence[str], words: Sequence[Word]) -> Seen:
    text = own.ask(own.told["question"])
    asked = prompts.prepare(own.loaded, [text], [own.picture(sample)], 1)[0]
    there = classes(sample)
    draws = tokens.seeded(own.told["detector"]["seed"], sample.sample, "absent")
    rest = [name for name in names if name not in there]
    found = scores(own.loaded, tuned.states(own.loaded, asked), words)
    return Seen(sample, there, draws.sample(rest, min(len(there), len(rest))), found)


@torch.inference_mode()
def scores(loaded: Loaded, found: Tensor, words: Sequence[Word]) -> np.ndarray:
    """Largest probability of every class at any position, float32 [L + 1, class]; states [L + 1, V, d]."""
    layers = []
    for layer in found:
        shares = lens.logits(loaded, layer).float().softmax(-1).amax(0)
        layers.append([float(shares[list(word.right)].amax()) if word.right else 0.0 for word in words])
    return np.array(layers, dtype=np.float32)


def _asked(own: Bench, one: Seen, other: Seen, names: Sequence[str]) -> Iterator[Record]:
    """What the model says of every class that is there, and of the others."""
    wanted = [*one.there, *one.absent]
    word = prompts.word(own.loaded.processor.tokenizer, own.told["asking"]["affirmed"])
    texts = [own.ask(own.told["asking"]["poll"].replace("{class}", name)) for name in wanted]
    asked = prompts.prepare(own.loaded, texts, [own.picture(one.sample)] * len(texts), own.batch)
    for name, logits in zip(
        wanted, prompts.next_logits(own.loaded, [(each, ()) for each in asked], None, own.batch), strict=True
    ):
        said, place = prompts.told(own.loaded, logits, word), names.index(name)
        yield {
            "sample": one.sample.sample,
            "class": name,
            "present": name in one.there,
            "text": said["text"],
            "prob": said["right_prob"],
            "scores": one.scores[:, place].tolist(),
            "elsewhere": other.scores[:, place].tolist(),
        }
