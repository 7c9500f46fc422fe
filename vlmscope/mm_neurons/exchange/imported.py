"""Results of the released code as tables and lists: captions, nouns, and the neurons of one activation.

The tree does not hold everything: tokens of captions are spelled anew, where a caption stood in a capture is unknown,
and of the scores there are ten. The others are computed from the saved activations; where the ten are not those, the
noun was scored with the token of another (mm_neurons.md 8 B9), and its neurons are left out.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from PIL import Image

from vlmscope import samples as table
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.exchange import names
from vlmscope.mm_neurons.rank import lists, ranking, scores
from vlmscope.mm_neurons.rank.lists import Entry, Neurons
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUNS
from vlmscope.mm_neurons.text import nouns
from vlmscope.mm_neurons.text.captions import reference
from vlmscope.models import written
from vlmscope.models.base import family
from vlmscope.raw import read_manifest
from vlmscope.store import files, torch_files
from vlmscope.store.spelling import Spelling, spelling
from vlmscope.store.weights import Weights

log = logging.getLogger(__name__)

METHOD = "contribution"
# Why a noun of the tree has no neurons here.
MISTAKEN = "scored with another token"
# Half precision rounds the projection and the product, and a GPU adds in another order.
CLOSE, CLOSE_TO_ZERO = 4e-3, 1e-3
# Captions and lists of nouns are short; a hostile file may not be.
LONGEST = 1 << 20


class Told(NamedTuple):
    """What is read, and how its scores are computed again.

    folder       what the released code was told by --save_to
    activation   what it took as activation: act_fn, down_proj_input
    precision    in which its products are rounded
    """

    folder: str
    activation: str
    precision: str


@dataclass(frozen=True)
class Noun:
    """A noun of the tree.

    top          first neurons [k, 2] and scores float32 [k] as data.json has them
    neurons      int64 [n, 2]   layer and unit, best first
    activation   float16 [layer, unit]   where the noun was written
    """

    noun: str
    caption: str
    top: tuple[np.ndarray, np.ndarray]
    neurons: np.ndarray
    activation: np.ndarray


def pictures(
    folder: Path, samples: Sequence[table.Sample], root: Path, shape: tuple[int, int]
) -> Iterator[tuple[table.Sample, list[Noun]]]:
    """Samples that the tree has, with their nouns.

    shape   layers and units of the model
    """
    there = [(number, one) for number, one in enumerate(samples, 1) if (folder / names.image(number)).is_dir()]
    if not there:
        raise VlmscopeError(
            "The tree has no picture of this split.",
            where=str(folder / names.HOME),
            instead="the folder that the released code was told by --save_to, and the split it was run on",
        )
    for number, one in there:
        home = folder / names.image(number)
        _check_picture(home / "original_image.png", one, root)
        yield one, _nouns(home, shape)


def _check_picture(path: Path, sample: table.Sample, root: Path) -> None:
    """The tree's picture must be that of the sample, to the pixel."""
    try:
        with Image.open(path) as found:
            same = found.size == (sample.width, sample.height)
            same = same and np.array_equal(np.asarray(found.convert("RGB")), np.asarray(table.picture(sample, root)))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise _unfit(path, f"it is not there or no picture ({error})") from error
    if not same:
        raise _unfit(path, f"it is not the picture of {sample.sample}; the data set must be the one that was read")


def _nouns(home: Path, shape: tuple[int, int]) -> list[Noun]:
    words = _json(home / "nouns.json")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or len(set(words)) < len(words):
        raise _unfit(home / "nouns.json", "it is no list of different words")
    values = torch_files.read(home / "last_activation")
    wanted = (len(words), *shape)
    if not isinstance(values, np.ndarray) or values.shape != wanted or values.dtype != np.float16:
        raise _unfit(home / "last_activation", f"it is no tensor {list(wanted)} in half precision")
    found = [_noun(home, word, one, shape) for word, one in zip(words, values, strict=True)]
    if len({one.caption for one in found}) > 1:
        raise _unfit(home, "its nouns are of different captions")
    return found


def _noun(home: Path, word: str, activation: np.ndarray, shape: tuple[int, int]) -> Noun:
    folder = home / names.noun(word)
    # The released code does not quote.
    if not folder.is_dir() and not set(word) & set("/\\\0"):
        folder = home / f"noun_{word}"
    about = _json(folder / "data.json")
    try:
        caption, rows = about["caption"], about["top_neurons"]
        top = _pairs([row["neuron"] for row in rows]), np.array([row["score"] for row in rows], np.float32)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise _unfit(folder / "data.json", "it has no caption, or neurons without numbers and scores") from error
    listed = _pairs(torch_files.read(folder / "mm_neurons"))
    places = listed @ [shape[1], 1] if len(listed) else np.zeros(0, int)
    inside = len(listed) and (listed >= 0).all() and (listed < shape).all()
    if not inside or len(np.unique(places)) < len(places) or not np.array_equal(listed[: len(top[0])], top[0]):
        raise _unfit(
            folder / "mm_neurons", f"it is no list of different neurons of {shape[0]} x {shape[1]}, as data.json"
        )
    if not isinstance(caption, str) or top[1].shape != (len(rows),):
        raise _unfit(folder / "data.json", "its caption is no text, or its scores are no numbers")
    return Noun(word, caption, top, listed, activation)


def _pairs(value: Any) -> np.ndarray:
    """Lists of layer and unit as int64 [n, 2]; anything else as none."""
    pairs = isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(one) is int and 0 <= one < 1 << 31 for one in pair)
        for pair in value
    )
    return np.array(value if pairs else [], np.int64).reshape(-1, 2)


def _json(path: Path) -> Any:
    if path.is_file() and path.stat().st_size > LONGEST:
        raise _unfit(path, "it has more than a megabyte")
    return files.read_json(path)


def _unfit(path: Path, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The file does not fit: {why}.",
        where=str(path),
        instead="the tree that the released code made with this model (docs/formats.md)",
    )


class Reader:
    """Turns nouns of the tree into rows and lists.

    model   manifest
    """

    def __init__(self, model: str, told: Told) -> None:
        about = files.read_json(model)
        self.weights, self.kind = Weights(about["folder"], about["dtype"]), family(about["family"])
        self.spelled: Spelling = spelling(model)
        self.told = told
        self.shape = _shape(about)
        self.captions: list[dict[str, Any]] = []
        self.nouns: list[dict[str, Any]] = []

    def entries(self, found: Iterator[tuple[table.Sample, list[Noun]]]) -> Iterator[Entry]:
        """Lists of all nouns; rows of both tables are added on the way."""
        projected: dict[int, torch.Tensor] = {}
        for sample, own in found:
            caption = self._caption(sample, own)
            told = nouns.found([(one.noun, self.spelled.spellings(one.noun)) for one in own], caption["tokens"])
            new = sorted({one.tokens[0] for one in told} - projected.keys())
            arithmetic = {"precision": self.told.precision, "fold_norm": False}
            projected |= ranking.projections(self.weights, self.kind, self.shape[0], new, **arithmetic) if new else {}
            truth = nouns.truth_of(sample)
            for one, spelled in zip(own, told, strict=True):
                listed = self._listed(one, projected[spelled.tokens[0]])
                self.nouns.append(self._row(sample, spelled, truth, listed is not None, caption["tokens"]))
                if listed:
                    yield Entry(self.told.activation, METHOD, sample.sample, one.noun, listed)
            if not own:
                self.nouns.append({"sample": sample.sample, "status": nouns.NONE})

    def _caption(self, sample: table.Sample, own: Sequence[Noun]) -> dict[str, Any]:
        # Of a picture without nouns the tree has no caption.
        text = own[0].caption if own else ""
        # As it stands behind a prompt.
        tokens = self.spelled.spellings(text)[0] if text else []
        row = {"sample": sample.sample, "caption": text, "tokens": tokens, "reference": reference(sample), "row": None}
        self.captions.append(row)
        return row

    def _listed(self, noun: Noun, projected: torch.Tensor) -> Neurons | None:
        """The noun's neurons with scores; None where its ten scores are not those of its token."""
        activation = torch.from_numpy(noun.activation)
        score = scores.contribution(activation, projected, self.told.precision).numpy()
        top, given = noun.top
        if not np.allclose(score[top[:, 0], top[:, 1]], given, rtol=CLOSE, atol=CLOSE_TO_ZERO):
            return None
        layer, unit = noun.neurons.T
        return Neurons(layer, unit, score[layer, unit], noun.activation[layer, unit] < 0)

    def _row(
        self, sample: table.Sample, one: nouns.Found, truth: Sequence[str] | None, right: bool, written: Sequence[int]
    ) -> dict[str, Any]:
        there = one.position is not None
        return {
            "sample": sample.sample,
            **one._asdict(),
            "token": one.tokens[0],
            "n_subtokens": len(one.tokens),
            "starts_word": nouns.starts_word(one.noun, one.position, written, self.spelled) if there else None,
            "status": (nouns.KEPT if there else nouns.SPELLED) if right else MISTAKEN,
            "official_token": one.tokens[0] if right else None,
            "in_picture": nouns.in_picture(one.noun, truth),
        }


def _shape(about: Mapping[str, Any]) -> tuple[int, int]:
    """Layers and units per layer of the model of a manifest."""
    shape = written.shaped(about)
    return shape.layers("mlp_hidden"), shape.width("mlp_hidden")


def read(
    target: str, *, model: str, raw: str, samples: str, settings: Mapping[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the lists of a tree, and give its captions and nouns.

    settings   fields of `Told`
    """
    told = Told(**settings)
    reader = Reader(model, told)
    found = pictures(Path(told.folder), table.read(samples), Path(read_manifest(raw)["root"]), reader.shape)
    recipe = {"settings": dict(settings), "model": files.read_json(model)["fingerprint"], "imported": True}
    lists.write(target, reader.entries(found), recipe, [(told.activation, METHOD)])
    named = pl.DataFrame(reader.nouns, schema=NOUNS)
    wrong = named.filter(status=MISTAKEN).height
    log.info("%d captions, %d nouns, %d of them scored with another token", len(reader.captions), len(named), wrong)
    return pl.DataFrame(reader.captions, schema=CAPTIONS), named
