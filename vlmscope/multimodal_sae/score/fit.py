"""How well names fit their latents: IoU, CLIP score and consistency, beside controls (multimodal_sae.md 2.10).

Names were made from the reference half of the pictures; what counts here is the other half. Controls: the same masks
on random pictures, the name of another latent, and (in other rows) an autoencoder that was not trained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache as remembered
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.metrics.clip_score import clip_score
from vlmscope.metrics.clip_towers import Towers
from vlmscope.multimodal_sae.explain import iou
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain.shown import HELD_OUT, REFERENCE, Chooser, Shown
from vlmscope.multimodal_sae.schemas import LABELS, MEASURES, REGIONAL
from vlmscope.multimodal_sae.score import judged
from vlmscope.multimodal_sae.score.judged import Judge
from vlmscope.multimodal_sae.score.segment import Segmenter
from vlmscope.samples import Sample
from vlmscope.session import progress

# Of 100, as torchmetrics has it.
WEIGHT = 100.0
# Masks that are held at a time: those of a few latents; at 336 pixels they take half a gigabyte.
HELD = 4096


@dataclass(frozen=True)
class Scored:
    """A row of `SCORED`, and means over pictures of every run with random pictures.

    runs   iou, clip -> float64 [run]
    """

    row: dict[str, Any]
    runs: dict[str, np.ndarray]


class Pictures:
    """CLIP's view of the pictures of a cache and of descriptions; each is read once.

    roots    folder of every sample's pictures
    prefix   before every description
    """

    def __init__(self, towers: Towers, samples: Sequence[Sample], roots: Sequence[str], prefix: str = "") -> None:
        self.towers, self.samples, self.roots, self.prefix = towers, samples, roots, prefix
        self.image, self.text = remembered(self._image), remembered(self._text)

    def scores(self, images: Sequence[int], text: str) -> np.ndarray:
        """CLIP score of every picture, float64 [picture]."""
        return clip_score(np.stack([self.image(one) for one in images]), self.text(text)[None], WEIGHT)[:, 0]

    def _image(self, number: int) -> np.ndarray:
        return self.towers.images([self.samples[number].images[0]], Path(self.roots[number]))[0]

    def _text(self, text: str) -> np.ndarray:
        return self.towers.texts([self.prefix + text])[0]


class Scorer:
    """Scores names of latents of one autoencoder.

    settings   random_iou, random_clip, scorers, seed
    """

    def __init__(
        self, chooser: Chooser, segmenter: Segmenter, judge: Judge, clip: Pictures, settings: Mapping[str, Any]
    ) -> None:
        self.chooser, self.segmenter, self.judge, self.clip, self.settings = chooser, segmenter, judge, clip, settings
        self.held_out = np.flatnonzero(chooser.half == 1)
        self.judged = judged.Judged(chooser, judge, settings["scorers"], settings["seed"])
        tokens = int(chooser.cache.ends[-1])
        self.density: Callable[[int], float] = lambda latent: float(chooser.cache.firing[latent]) / tokens
        self.find = lru_cache(HELD)(self._find)

    def of(self, label: Mapping[str, Any], other: str) -> Scored:
        """Scores of one name, `other` being that of another latent; nothing is measured of a refusal."""
        row = {name: label[name] for name in LABELS if name != "pictures"}
        row |= {"density": self.density(label["latent"])}
        text = label["refined"]
        if explain_prompts.refused(text):
            return Scored(row | dict.fromkeys((*MEASURES, "consistency")), {})
        shown, runs = self.chooser.shown(label["latent"], HELD_OUT), self.random(label["latent"], text)
        # Without patches there are no regions.
        found = self.regional(shown, text, other, runs) if self.chooser.has_regions else dict.fromkeys(REGIONAL)
        found |= {
            "clip": float(self.clip.scores(shown.images, text).mean()),
            "clip_random": float(runs["clip"].mean()),
            "clip_shuffled": float(self.clip.scores(shown.images, other).mean()) if other else None,
        }
        found |= self.judged.of(shown, text, other)
        return Scored(row | found | {"consistency": self.judge.judge(text, shown)}, runs)

    def regional(self, shown: Shown, text: str, other: str, runs: Mapping[str, np.ndarray]) -> dict[str, float | None]:
        """What compares a latent's regions with what its name and another one say: the columns `REGIONAL`."""
        dilated, exact = shown.regions(True), shown.regions(False)
        return {
            "iou": self.agreement(shown, text),
            "iou_undilated": self.agreement(shown, text, dilated=False),
            "iou_reference": self.agreement(self.chooser.shown(shown.latent, REFERENCE), text),
            "iou_random": float(np.nanmean(runs["iou"])),
            "iou_shuffled": self.agreement(shown, other) if other else None,
            "ceiling": iou.ceiling(dilated, exact),
            "activated_pct": 100 * iou.share(dilated),
        }

    def agreement(self, shown: Shown, text: str, dilated: bool = True) -> float:
        """Mean IoU of a latent's regions with what a text names."""
        targets = [self.find(image, text) for image in shown.images]
        return iou.average(iou.scored(shown.regions(dilated), targets))

    def random(self, latent: int, text: str) -> dict[str, np.ndarray]:
        """Scores on random pictures of the half: with replacement for masks, without for CLIP, as released."""
        generator = np.random.default_rng([self.settings["seed"], latent])
        most = self.chooser.most
        drawn = generator.choice(self.held_out, (self.settings["random_iou"], most))
        runs, clips = {}, []
        if self.chooser.has_regions:
            masks = [self.agreement(self.chooser.of(latent, row.tolist()), text) for row in drawn]
            # Masks that are empty on all pictures of a run agree with nothing.
            runs["iou"] = np.nan_to_num(np.array(masks))
        for _ in range(self.settings["random_clip"]):
            images = generator.choice(self.held_out, min(most, len(self.held_out)), replace=False)
            clips.append(float(self.clip.scores(images.tolist(), text).mean()))
        return {**runs, "clip": np.array(clips)}

    def _find(self, image: int, text: str) -> np.ndarray | None:
        return self.segmenter.find(image, self.chooser.picture(image), text)


def of_labels(scorer: Scorer, labels: pl.DataFrame) -> Iterator[Scored]:
    """Scores of the names that one explainer gave one autoencoder, in their order."""
    rows = labels.to_dicts()
    others = shuffled([row["refined"] for row in rows], scorer.settings["seed"])
    for row, other in progress(list(zip(rows, others, strict=True)), len(rows), "names"):
        yield scorer.of(row, other)


def shuffled(texts: Sequence[str], seed: int) -> list[str]:
    """For every description another one at random, of those that are not refused and differ; empty where none does."""
    generator = np.random.default_rng(seed)
    good = [text for text in texts if not explain_prompts.refused(text)]
    found = []
    for text in texts:
        others = [one for one in good if one != text]
        found.append(others[int(generator.integers(len(others)))] if others else "")
    return found
