"""What is true of pictures: objects with their masks, and the explainer that knows them.

Words come from instances: their class, the named color nearest to most of their pixels, and the third of the picture
in which their middle lies. Places as a whole (park, beach) have no masks, so they are not among them.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import masks
from vlmscope.multimodal_sae.explain import iou, prompts
from vlmscope.multimodal_sae.explain.shown import Shown
from vlmscope.samples import Sample
from vlmscope.world.canvas import COLORS
from vlmscope.world.words import SIDES

KINDS = ("object", "color", "place")
# Classes of the paper that the kinds stand for; places are none of them.
CONCEPTS = {"object": "object", "color": "color", "place": prompts.OTHER}


@dataclass(frozen=True)
class Instance:
    """One object.

    words   its class, color and place, in the order of `KINDS`
    mask    bool [height, width]
    """

    words: tuple[str, str, str]
    mask: np.ndarray


class Truth:
    """Instances of the pictures of a cache.

    samples   in the order of the cache
    picture   number in the cache -> picture
    """

    def __init__(self, samples: Sequence[Sample], picture: Callable[[int], Image.Image]) -> None:
        self.samples, self.picture = samples, picture
        self.of = cache(self._of)
        self.sized = cache(self._sized)

    @property
    def words(self) -> dict[str, str]:
        """Every word that is true of any instance -> its kind, in the order of kinds and letters."""
        pairs = {
            (place, word)
            for image in range(len(self.samples))
            for one in self.of(image)
            for place, word in enumerate(one.words)
        }
        return {word: KINDS[place] for place, word in sorted(pairs)}

    def region(self, image: int, words: frozenset[str], size: int) -> np.ndarray | None:
        """Pixels of the instances of which all these words are true, bool [size, size]; None where there is none."""
        found = [mask for said, mask in self.sized(image, size) if words <= said]
        return np.logical_or.reduce(found) if words and found else None

    def _of(self, image: int) -> tuple[Instance, ...]:
        """Instances of a picture, those of a crowd left out."""
        sample = self.samples[image]
        told = json.loads(sample.answer)
        if not isinstance(told, dict) or "objects" not in told:
            raise VlmscopeError(
                f"{sample.sample} has no masks of its objects.",
                where="multimodal_sae.explain",
                instead="multimodal_sae.cache.data of the kind coco_objects, or another explainer and segmenter",
            )
        pixels = np.asarray(self.picture(image).convert("RGB"))
        found = []
        for one in told["objects"]:
            mask = masks.mask(one["segmentation"], sample.width, sample.height)
            if mask.any() and not one["crowd"]:
                found.append(Instance((one["class"], color(pixels[mask]), place(mask)), mask))
        return tuple(found)

    def _sized(self, image: int, size: int) -> list[tuple[frozenset[str], np.ndarray]]:
        return [(frozenset(one.words), resized(one.mask, size)) for one in self.of(image)]


def color(pixels: np.ndarray) -> str:
    """The named color that is nearest to most pixels, uint8 [pixel, 3]."""
    names, values = list(COLORS), np.array(list(COLORS.values()), np.int64)
    nearest = ((pixels[:, None].astype(np.int64) - values) ** 2).sum(2).argmin(1)
    return names[int(np.bincount(nearest, minlength=len(names)).argmax())]


def place(mask: np.ndarray) -> str:
    """The third of the picture in which the middle of a mask lies."""
    columns = np.flatnonzero(mask.any(axis=0))
    return SIDES[min(2, int(3 * (columns[0] + columns[-1] + 1) / 2 / mask.shape[1]))]


def resized(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask squashed to a square, bool [size, size]."""
    picture = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.resize((size, size), Image.Resampling.NEAREST)) > 0


def known(text: str, words: dict[str, str]) -> frozenset[str]:
    """Those of some words that a text names, with an s behind or without."""
    said = re.findall(r"[a-z]+", text.lower())
    return frozenset(one for word in said for one in (word, word.removesuffix("s")) if one in words)


class Oracle:
    """The explainer that knows the masks: the word, or pair of color and object, that agrees best with the regions.

    least   mean IoU below which it refuses
    """

    name = "oracle"

    def __init__(self, truth: Truth, least: float = 0.05) -> None:
        self.truth, self.least, self.words = truth, least, truth.words

    def explain(self, shown: Shown) -> str:
        """The phrase, or the released refusal."""
        scores = {phrase: self._score(shown, phrase) for phrase in self.phrases(shown)}
        best = max(scores, key=lambda phrase: scores[phrase], default="")
        return best if best and scores[best] >= self.least else prompts.REFUSAL

    def phrases(self, shown: Shown) -> list[str]:
        """Words of the instances that are seen, and pairs of color and object; simple ones first."""
        seen = {one.words for image in shown.images for one in self.truth.of(image)}
        pairs = sorted({f"{color} {name}" for name, color, _ in seen})
        return [word for word in self.words if any(word in one for one in seen)] + pairs

    def _score(self, shown: Shown, phrase: str) -> float:
        words = frozenset(phrase.split())
        targets = [self.truth.region(image, words, shown.size) for image in shown.images]
        return iou.average(iou.scored(shown.regions(dilated=False), targets))


def concept(text: str, words: dict[str, str]) -> str:
    """The class of the paper of what a text names: that of its object, else of its color; `other` for neither."""
    kinds = {words[word] for word in known(text, words)}
    return next((CONCEPTS[kind] for kind in KINDS if kind in kinds), prompts.OTHER)
