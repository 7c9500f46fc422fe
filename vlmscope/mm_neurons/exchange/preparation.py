"""What the released code prepares of a model, as its files: projections, output vectors, unembedding, neurons as words.

Large: every layer's projection on the whole vocabulary, 35 GB for a 13 B model; nothing here reads it.
The released folder also has the pickled tokenizer, which is no data and is not written.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.look.examples import words
from vlmscope.mm_neurons.rank import scores
from vlmscope.mm_neurons.schemas import NEURON_TOKENS
from vlmscope.models import written
from vlmscope.models.base import Family, family
from vlmscope.session import progress
from vlmscope.store import files, tables, torch_files
from vlmscope.store.spelling import spelling
from vlmscope.store.weights import Weights

FORMAT = "vlmscope.released/1"
# The released code's names.
FLAGS = {"llava_llama2": "llava_13b", "instructblip": "instructblip_7b", "mplug_owl2": "mplug_owl2_7b"}


def flag(family: str) -> str:
    """What the released code calls a model of this family."""
    if family not in FLAGS:
        raise VlmscopeError(
            f"The released code has no model of the family '{family}'.",
            where="run.mm_neurons",
            instead="a model of one of: " + ", ".join(FLAGS),
        )
    return FLAGS[family]


def contents(weights: Weights, kind: Family, vocabulary: int, tokens: pl.DataFrame) -> Iterator[tuple[str, Any]]:
    """Names and values, a layer at a time.

    vocabulary   rows of the unembedding beyond it belong to no word
    tokens       `schemas.NEURON_TOKENS`
    """
    name, told = flag(kind.name), words(tokens).group_by("layer", maintain_order=True).agg("tokens")
    rows = written.unembedding(weights, kind)
    yield f"{name}_unembedding", _numbers(rows.to(weights.dtype).T)
    for layer in progress(range(len(told)), len(told), "layers"):
        down = weights.read(kind.site("mlp_hidden").columns.replace("{l}", str(layer)))
        yield f"{name}_mlp_out/layer_{layer}", _numbers(down.T)
        yield f"{name}_layer_projection/layer_{layer}", scores.projection(down, rows[:vocabulary]).T.half().numpy()
    yield f"{name}_neuron_tokens", told["tokens"].to_list()


def _numbers(values: Tensor) -> np.ndarray:
    """As they are stored; what numpy does not know, in single precision."""
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def write(folder: Path, *, model: str, tokens: str) -> dict[str, Any]:
    """Write the files below a folder; the manifest names each with its digest.

    model    manifest
    tokens   neuron_tokens.parquet
    """
    about = files.read_json(model)
    weights, kind = Weights(about["folder"], about["dtype"]), family(about["family"])
    vocabulary = spelling(model).tokenizer.get_vocab_size(with_added_tokens=False)
    made = {}
    for name, value in contents(weights, kind, vocabulary, tables.read(tokens, NEURON_TOKENS)):
        torch_files.write(value, folder / name)
        made[name] = files.digest(folder / name)
    return {"format": FORMAT, "files": made}
