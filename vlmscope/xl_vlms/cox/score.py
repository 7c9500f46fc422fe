"""Words of concepts against pictures and captions: one row per picture or concept (xl_vlms.md 6.4).

CS is CLIPScore. BS is BERTScore F1, the best over a picture's captions, as it is and not rescaled.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import clip_score, similarity
from vlmscope.metrics import concepts as measures
from vlmscope.metrics.clip_towers import Towers
from vlmscope.metrics.encoders import Contextual
from vlmscope.raw import read_manifest
from vlmscope.samples import read as read_samples
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries.files import Key, Side, Stored
from vlmscope.xl_vlms.dictionaries.make import reader
from vlmscope.xl_vlms.dictionaries.schemas import CAPTION, RANDOM, SCORED
from vlmscope.xl_vlms.words import vocabulary

log = logging.getLogger(__name__)

Row = dict[str, Any]
STAND_IN = "stand_in_clip_token_f1"


class Scorer:
    """Scores of texts for pictures; each text and picture is read once.

    towers    of CLIP
    root      folder of the pictures
    captions  sample -> what people wrote of it
    settings  prefix, weight, bertscore, bertscore_layer
    """

    def __init__(
        self, towers: Towers, root: Path, captions: Mapping[str, Sequence[str]], settings: Mapping[str, Any]
    ) -> None:
        self.towers, self.root, self.captions, self.settings = towers, root, captions, settings
        self.by = {"CS": towers.name, "BS": Path(settings["bertscore"]).name or STAND_IN}
        self.known: dict[str, dict[str, Any]] = {"images": {}, "texts": {}, "tokens": {}}

    def clip(self, images: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """CLIPScore, float64 [picture, text]."""
        left = self._known("images", images, lambda new: self.towers.images(new, self.root))
        right = self._known("texts", texts, self.towers.texts)
        return clip_score.clip_score(np.stack(left), np.stack(right), self.settings["weight"])

    def bert(self, samples: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """BERTScore F1 with the best caption of every sample, float64 [sample, text]."""
        said = self._known("tokens", texts, self._encoded)
        meant = [self._known("tokens", self.captions[one], self._encoded) for one in samples]
        rows = [[max(similarity.bert_f1(one, other) for other in own) for one in said] for own in meant]
        return np.array(rows, dtype=np.float64).reshape(len(samples), len(texts))

    def both(self, side: Side, places: Sequence[int], texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Both scores of samples of a side: metric -> float64 [sample, text]."""
        samples, images = ([part[place] for place in places] for part in (side.samples, side.images))
        return {"CS": self.clip(images, texts), "BS": self.bert(samples, texts)}

    @cached_property
    def _encoder(self) -> similarity.Encoder:
        folder, layer = self.settings["bertscore"], self.settings["bertscore_layer"]
        where = "xl_vlms.dictionaries.scores.bertscore"
        return Contextual(folder, layer, where=where) if folder else self.towers.tokens

    def _encoded(self, texts: Sequence[str]) -> list[similarity.Encoded]:
        stand_in = not self.settings["bertscore"]
        return self._encoder.encode([self.towers.ids(text) for text in texts] if stand_in else texts)

    def _known(self, kind: str, names: Sequence[str], make: Callable[[list[str]], Sequence[Any]]) -> list[Any]:
        """What is known of each name, after what is new was made."""
        known = self.known[kind]
        if new := [one for one in dict.fromkeys(names) if one not in known]:
            known |= dict(zip(new, make(new), strict=True))
        return [known[one] for one in names]


# ---- rows --------------------------------------------------------------------------------------------------------


def of_samples(one: Stored, side: Side, scorer: Scorer, top: Sequence[int]) -> Iterator[Row]:
    """Held-out pictures by the words of their most active concepts."""
    texts = phrases(one.words, scorer)
    places = clip_score.strongest(one.held_out, max(clip_score.LOOKED_AT, *top))
    for metric, scores in scorer.both(side, range(len(side.samples)), texts).items():
        own = np.take_along_axis(scores, places, axis=1)
        for size in top:
            values = clip_score.top_mean(own, size)
            yield from rows("test", side.samples, metric, size, values, scorer)


def of_concepts(one: Stored, side: Side, scorer: Scorer, random: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """The pictures of every concept by its words (MAS), and by those of random directions: method, row."""
    texts = phrases(one.words, scorer)
    for concept, places in enumerate(one.images):
        for method, own in ((one.key.method, [texts[concept]]), (RANDOM, random)):
            for metric, scores in scorer.both(side, places, own).items():
                for row in rows("concept", [str(concept)], metric, 0, [scores.mean()], scorer):
                    yield method, row


def of_controls(side: Side, scorer: Scorer, random: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Held-out pictures by the words of a random direction each, and by their first caption: method, row.

    A caption is compared with the picture's other captions where it has several.
    """
    places = np.arange(len(side.samples)) % len(random)
    for metric, scores in scorer.both(side, range(len(side.samples)), random).items():
        values = scores[np.arange(len(scores)), places]
        for row in rows("test", side.samples, metric, 1, values, scorer):
            yield RANDOM, row
    for sample, image in zip(side.samples, side.images, strict=True):
        first, *others = scorer.captions[sample]
        found = {"CS": scorer.clip([image], [first])}
        if others:
            texts = [scorer._known("tokens", part, scorer._encoded) for part in ([first], others)]
            found["BS"] = max(similarity.bert_f1(texts[0][0], other) for other in texts[1])
        for metric, value in found.items():
            for row in rows("test", [sample], metric, 1, [float(np.squeeze(value))], scorer):
                yield CAPTION, row


def rows(
    split: str, items: Sequence[str], metric: str, top: int, values: Iterable[float], scorer: Scorer
) -> Iterator[Row]:
    """Rows of `SCORED` without the columns of a dictionary."""
    for item, value in zip(items, values, strict=True):
        told = {"split": split, "item": item, "metric": metric, "top_k": top}
        yield {**told, "value": float(value), "by": scorer.by[metric]}


def phrases(words: Sequence[Sequence[str]], scorer: Scorer) -> list[str]:
    """Words of every concept as one text."""
    return [clip_score.phrase(one, scorer.settings["prefix"]) for one in words]


# ---- files -------------------------------------------------------------------------------------------------------


def of_set(
    path: str, model: str, scorer: Scorer, known: vocabulary.Vocabulary, settings: Mapping[str, Any]
) -> Iterator[Row]:
    """Rows of `SCORED` of all dictionaries of one set; controls have the key of the first."""
    keys, sides = dictionary_files.keys(path), dictionary_files.sides(path)
    token, main = dictionary_files.recipe(path)["set"], dictionary_files.main_module(path)
    first = next(key for key in keys if key.module == main)
    width = dictionary_files.read(path, first).dictionary.concepts.shape[1]
    generator = np.random.default_rng(settings["seed"])
    drawn = measures.random_directions(settings["directions"], settings["draws"], width, generator)
    random = phrases(reader(known, settings["words"], main)(drawn), scorer)

    def told(key: Key, row: Row, method: str = "") -> Row:
        about = {"model": model, "token": token, **key._asdict()}
        return {**about, **({"method": method} if method else {}), **row}

    for method, row in of_controls(sides["test"], scorer, random):
        yield told(first, row, method)
    for key in keys:
        one = dictionary_files.read(path, key)
        if key.module == main:
            for row in of_samples(one, sides["test"], scorer, settings["scores"]["top"]):
                yield told(key, row)
        for method, row in of_concepts(one, sides["train"], scorer, random):
            if method != RANDOM or key.method == settings["main"]:
                yield told(key, row, method)


def captions(paths: Iterable[str]) -> dict[str, list[str]]:
    """Sample -> captions, of sample tables."""
    found = {}
    for path in paths:
        for sample in read_samples(path):
            answer = json.loads(sample.answer)
            if not isinstance(answer, dict) or not answer.get("captions"):
                raise VlmscopeError(
                    f"{sample.sample} has no captions.",
                    where=path,
                    instead="xl_vlms.dictionaries.sets of a dataset with captions (kind: karpathy)",
                )
            found[sample.sample] = answer["captions"]
    return found


def from_files(
    paths: Sequence[str],
    *,
    model: str,
    words: str,
    clip: str,
    raw: str,
    samples: Sequence[str],
    settings: Mapping[str, Any],
    batch: int,
    device: str,
) -> pl.DataFrame:
    """Table `SCORED` of all sets.

    paths    files of dictionaries
    words    the model's vocabulary
    clip     manifest of the CLIP model
    raw      manifest of the pictures
    samples  sample tables with the captions
    """
    towers = Towers(clip, batch=batch, device=device)
    scorer = Scorer(towers, Path(read_manifest(raw)["root"]), captions(samples), settings["scores"])
    known = vocabulary.read(words)
    found = [row for path in paths for row in of_set(path, model, scorer, known, settings)]
    log.info("%d scores of %d pictures", len(found), len(scorer.known["images"]))
    return pl.DataFrame(found, schema=SCORED)
