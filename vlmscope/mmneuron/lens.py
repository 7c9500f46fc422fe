"""The logit lens over a domain's samples: top tokens of few of them, entropy curves of many (mmneuron.md 2.6)."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from vlmscope import lens
from vlmscope.capture import batches, shard
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron.schemas import CELLS, CURVES
from vlmscope.models import inputs
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress


@dataclass(frozen=True)
class Lensed:
    """What the lens gave for one domain.

    cells    `schemas.CELLS`: every channel, layer, position and rank of the samples that are shown
    curves   `schemas.CURVES`: sums over the positions of a kind, every sample
    about    the samples shown, their prompts and input tokens, and what the model is
    """

    cells: pl.DataFrame
    curves: pl.DataFrame
    about: dict[str, Any]


class Words:
    """Texts of tokens, each looked up once."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.known: dict[int, str] = {}

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """Texts of an array of ids, same shape."""
        return self._spread(tokens, self._text, object)

    def whole(self, tokens: np.ndarray) -> np.ndarray:
        """Which of them are whole words, bool, same shape."""
        return self._spread(tokens, lambda token: lens.is_word(self._text(token)), bool)

    def _spread(self, tokens: np.ndarray, of: Callable[[int], Any], kind: type) -> np.ndarray:
        different, places = np.unique(tokens, return_inverse=True)
        self.known |= lens.texts(self.tokenizer, [token for token in different.tolist() if token not in self.known])
        return np.array([of(token) for token in different.tolist()], dtype=kind)[places].reshape(tokens.shape)

    def _text(self, token: int) -> str:
        return self.known[token]


def look(
    loaded: Loaded, samples: Sequence[Sample], stream: Iterable[Batch], *, shown: int, k: int
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, dict[str, list[Any]]]]:
    """Cells, curves and, of the samples shown, input tokens with their kinds, batch by batch.

    shown   so many samples from the front have their cells kept
    k       tokens per position
    """
    words = Words(loaded.processor.tokenizer)
    for batch in stream:
        real = batch.inputs["attention_mask"].bool()
        found = lens.through(loaded, batch, real, k)
        row, position = (index.cpu().numpy() for index in real.nonzero(as_tuple=True))
        names = np.array([samples[place].sample for place in batch.rows], dtype=object)
        kinds = _kinds(loaded, batch, real)
        curves = pl.concat(_curves(names, row, kinds, channel, one, words) for channel, one in found.items())
        few = np.array([place < shown for place in batch.rows])[row]
        ends = {"sample": names[row[few]], "position": position[few], "token_type": kinds[few]}
        cells = pl.concat(_cells(ends, few, channel, one, words) for channel, one in found.items())
        yield (
            cells,
            curves,
            _inputs(names, row[few], kinds[few], batch.inputs["input_ids"][real].cpu().numpy()[few], words),
        )


def _kinds(loaded: Loaded, batch: Batch, real: Tensor) -> np.ndarray:
    """image, text or last of every real position; last is the one that predicts the answer's first token."""
    tokens = batch.inputs["input_ids"][real].cpu().numpy()
    kinds = np.where(tokens == loaded.family.image_token(loaded.config), "image", "text").astype(object)
    kinds[real.sum(1).cumsum(0).cpu().numpy() - 1] = "last"
    return kinds


def _curves(
    names: np.ndarray, row: np.ndarray, kinds: np.ndarray, channel: str, found: lens.Reading, words: Words
) -> pl.DataFrame:
    """Sums per sample, layer and kind of position of one channel."""
    layers = len(found.entropy)
    entropy = found.entropy.double().numpy()
    frame = pl.DataFrame(
        {
            "sample": np.tile(names[row], layers),
            "layer": np.repeat(np.arange(layers, dtype=np.int32), len(row)),
            "token_type": np.tile(kinds, layers),
            "entropy": entropy.ravel(),
            "word": words.whole(found.tokens[..., 0].numpy()).ravel(),
        },
        schema_overrides={"sample": pl.String, "token_type": pl.String},
    )
    summed = frame.group_by("sample", "layer", "token_type", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("n"),
        pl.col("entropy").sum(),
        pl.col("entropy").pow(2).sum().alias("squares"),
        pl.col("word").sum().cast(pl.Int64).alias("words"),
    )
    return summed.with_columns(pl.lit(channel).alias("channel")).select(list(CURVES))


def _cells(
    ends: Mapping[str, np.ndarray], few: np.ndarray, channel: str, found: lens.Reading, words: Words
) -> pl.DataFrame:
    """One row per layer, position and rank; ends   sample, position and kind of every row."""
    tokens, share = found.tokens[:, few].numpy(), found.probability[:, few].numpy()
    layers, rows, k = tokens.shape
    every = {key: np.tile(np.repeat(value, k), layers) for key, value in ends.items()}
    columns = {
        "sample": every["sample"],
        "channel": np.full(tokens.size, channel, dtype=object),
        "layer": np.repeat(np.arange(layers, dtype=np.int32), rows * k),
        "position": every["position"].astype(np.int32),
        "token_type": every["token_type"],
        "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), layers * rows),
        "id": tokens.astype(np.int32).ravel(),
        "token": words(tokens).ravel(),
        "prob": share.ravel(),
        "entropy": np.repeat(found.entropy[:, few].numpy().ravel(), k),
    }
    return pl.DataFrame(columns, schema=CELLS)


def _inputs(
    names: np.ndarray, row: np.ndarray, kinds: np.ndarray, tokens: np.ndarray, words: Words
) -> dict[str, list[Any]]:
    """Sample -> text and kind of each of its positions."""
    texts = words(tokens)
    return {
        names[place]: [texts[row == place].tolist(), kinds[row == place].tolist()] for place in np.unique(row).tolist()
    }


def table(cells: pl.DataFrame) -> pl.DataFrame:
    """The published columns of the lens, block output alone; probabilities and entropies with six decimals."""
    shown = cells.filter(pl.col("channel") == "block")
    numbers = [pl.col(name).cast(pl.Float64).round(6) for name in ("prob", "entropy")]
    return shown.with_columns(numbers).select(
        "layer", "position", "token_type", "rank", "token", "prob", "entropy", "sample"
    )


def from_files(
    loaded: Loaded, *, raw: str, samples: str, shift: Sequence[str], settings: Mapping[str, Any], batch: int
) -> Lensed:
    """The lens over the first samples of a domain.

    shift      file with vectors to add to the attention's output, if any
    settings   kind, prompt, samples, shown, k
    """
    benchmark, picture = base.load(settings["kind"]), batches.picture_of(read_manifest(raw)["root"])
    asked = read(samples)[: settings["samples"]]
    if not asked:
        raise VlmscopeError(
            "There is no sample to look at.", where=samples, instead="a dataset with rows in this split"
        )
    prompt = shard.prompts(loaded, benchmark, settings["prompt"])
    stream = batches.prefill(loaded, asked, prompt, picture, batch)
    with _shifted(loaded, shift):
        looks = look(loaded, asked, stream, shown=settings["shown"], k=settings["k"])
        parts = list(progress(looks, inputs.rounds(loaded, asked, batch), "batches"))
    cells, curves = (_in_order(pl.concat(part[place] for part in parts), asked) for place in (0, 1))
    read_off = {name: one for *_, found in parts for name, one in found.items()}
    shown = [
        {"sample": one.sample, "question": one.question, "prompt": prompt(one), "tokens": tokens, "types": types}
        for one in asked[: settings["shown"]]
        for tokens, types in [read_off[one.sample]]
    ]
    ends = {"prompt": settings["prompt"], "shift": list(shift), "n": len(asked), "samples": shown}
    return Lensed(cells, curves, _model(loaded) | ends)


def _model(loaded: Loaded) -> dict[str, Any]:
    return {
        "model": {key: loaded.about.get(key) for key in ("checkpoint", "revision", "fingerprint", "dtype")},
        "family": loaded.family.name,
        "layers": loaded.family.site("resid_post").layers(loaded.config),
    }


def _in_order(frame: pl.DataFrame, samples: Sequence[Sample]) -> pl.DataFrame:
    """Rows in the order of the samples; within a sample as they came."""
    order = {sample.sample: place for place, sample in enumerate(samples)}
    return frame.sort(pl.col("sample").replace_strict(order, return_dtype=pl.Int32), maintain_order=True)


def _shifted(loaded: Loaded, files: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """Vectors of a safetensors file, tensors named by layer numbers, added to the attention's output."""
    if not files:
        return contextlib.nullcontext()
    from safetensors.torch import load_file

    vectors, width = load_file(files[0]), loaded.family.site("attn_out").width(loaded.config)
    wrong = [name for name, vector in vectors.items() if not name.isdecimal() or tuple(vector.shape) != (width,)]
    if wrong or not vectors:
        raise VlmscopeError(
            f"These tensors are no vectors of {width} numbers for a layer: {', '.join(sorted(wrong)) or 'none there'}.",
            where=files[0],
            instead=f"tensors named by layer numbers, shape [{width}]",
        )
    return lens.shifted(loaded, {int(name): vector for name, vector in vectors.items()})
