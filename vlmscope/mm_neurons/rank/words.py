"""Neurons as words: the tokens that the output weights of each neuron raise and lower most (mm_neurons.md 2.4).

Only one layer's weights and a block of projections are there at a time: the whole projection of a 13 B model would take
70 GB in float32.
"""

import logging
from collections.abc import Iterator

import polars as pl
import torch
from torch import Tensor

from vlmscope.mm_neurons.rank import scores
from vlmscope.mm_neurons.schemas import NEURON_TOKENS
from vlmscope.models import written
from vlmscope.models.base import Family
from vlmscope.session import progress
from vlmscope.store.weights import Weights

log = logging.getLogger(__name__)

# Projections that are held at once: 16 MB in float32.
MOST_VALUES = 1 << 22
ENDS = {"top": 1.0, "bottom": -1.0}


def decoded(down: Tensor, rows: Tensor, k: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The k tokens of every unit of a layer from either end of the vocabulary, outermost first.

    down      output weights [d, I]
    rows      rows of the unembedding, float32 [V, d]
    returns   top or bottom, ids int32 [I, k], logits float32 [I, k] rounded to half precision

    Tokens are ordered by the unrounded logit, then by id [differs: mm_neurons.md 8 B18].
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {end: [] for end in ENDS}
    for part in down.T.float().split(max(1, MOST_VALUES // len(rows))):
        logits = part @ rows.T
        for end, sign in ENDS.items():
            values, ids = scores.best(sign * logits, k)
            found[end].append((ids.int(), (sign * values).half().float()))
    for end, parts in found.items():
        yield end, *(torch.cat(each) for each in zip(*parts, strict=True))


def table(
    weights: Weights, kind: Family, layers: int, vocabulary: int, texts: list[str], *, k: int, fold_norm: bool
) -> pl.DataFrame:
    """Tokens of all neurons, `schemas.NEURON_TOKENS`: by layer, end, unit, rank.

    vocabulary   rows of the unembedding beyond it belong to no word
    texts        text of every token
    """
    rows = written.unembedding(weights, kind, fold_norm)[:vocabulary]
    columns, parts = kind.site("mlp_hidden").columns, []
    names = pl.Series("token", texts, dtype=pl.String)
    for layer in progress(range(layers), layers, "layers"):
        down = weights.read(columns.replace("{l}", str(layer)))
        for end, ids, logits in decoded(down, rows, k):
            units, width = ids.shape
            part = pl.DataFrame(
                {
                    "unit": torch.arange(units, dtype=torch.int32).repeat_interleave(width).numpy(),
                    "rank": torch.arange(width, dtype=torch.int32).repeat(units).numpy(),
                    "token_id": ids.flatten().numpy(),
                    "logit": logits.flatten().numpy(),
                }
            )
            places = {"layer": pl.lit(layer, pl.Int32), "end": pl.lit(end), "token": names.gather(part["token_id"])}
            parts.append(part.with_columns(**places).select(list(NEURON_TOKENS)))
    return pl.concat(parts)


def from_files(model: str, *, decode_k: int, fold_norm: bool) -> pl.DataFrame:
    """The table of a model's checkpoint; the model itself is not loaded.

    model   its manifest
    """
    kind, config, tokenizer, weights = written.opened(model, whose="neurons", where="run.mm_neurons")
    layers, vocabulary = kind.site("mlp_hidden").layers(config), tokenizer.vocab_size
    log.info("%d layers, %d tokens; norm folded: %s", layers, vocabulary, fold_norm)
    names = written.texts(tokenizer, vocabulary)
    return table(weights, kind, layers, vocabulary, names, k=decode_k, fold_norm=fold_norm)
