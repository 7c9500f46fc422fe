"""The text view: tokens of texts, colored by how strongly a latent fires at them (multimodal_sae.md 2.11)."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.look import browse, parts
from vlmscope.multimodal_sae.look.parts import Row, Rows, Texts
from vlmscope.multimodal_sae.schemas import SCORED, TEXT_SCORED
from vlmscope.store import tables

Names = Mapping[int, list[Row]]


def page(texts: Texts, names: Names, said: Names, most: int, limit: int) -> Row:
    """What the page holds: tokens of the first texts, and latents: those with a name, then those that fire most often.

    names   of latents by pictures, from every explainer; said: by texts
    most    texts
    limit   latents; 0 for all that fire in these texts or have a name
    """
    shown = list(texts.names)[:most]
    kept = texts.where[:, 0] < len(shown)
    found, counts = np.unique(texts.where[kept, 2], return_counts=True)
    order = found[np.argsort(-counts, kind="stable")].tolist()
    latents = sorted(list(dict.fromkeys([*sorted({*names, *said}), *order]))[: limit or None])
    kept &= np.isin(texts.where[:, 2], latents)
    where, value = texts.where[kept], texts.value[kept]
    starts = np.cumsum([0, *(len(texts.tokens[name]) for name in shown)])
    told = [{"latent": one, **_caption(names.get(one, [])), "said": said.get(one, [])} for one in latents]
    return {
        "texts": [{"name": name, "tokens": texts.tokens[name]} for name in shown],
        "latents": told,
        # Entries by latent: those of the n-th begin at ptr[n].
        "ptr": np.searchsorted(where[:, 2], [*latents, np.iinfo(np.int64).max]).astype(np.uint32),
        "place": (starts[where[:, 0]] + where[:, 1]).astype(np.uint32),
        "value": value.astype(np.float32),
    }


def _caption(rows: Sequence[Row]) -> Row:
    """The best name and its description; nothing for a latent without one."""
    found = parts.best(rows)
    keys = ("refined", "explanation", "explainer")
    return {key: found[key] if found else "" for key in keys}


def from_files(
    *, texts: str, tokens: str, explanations: Sequence[str], text_names: Sequence[str], most: int, limit: int
) -> Row:
    """The page of a cache of texts; `explanations` and `text_names` are empty where latents have no names."""
    names, said = Rows(_trained(explanations, SCORED), "latent"), Rows(_trained(text_names, TEXT_SCORED), "latent")
    by_pictures = {latent: parts.names(names.of(latent)) for latent in names.latents}
    by_texts = {latent: parts.text_names(said.of(latent)) for latent in said.latents}
    with ExitStack() as stack:
        return page(browse.read_texts(stack, texts, tokens), by_pictures, by_texts, most, limit)


def _trained(paths: Sequence[str], schema: Mapping[str, Any]) -> pl.DataFrame:
    frames = [tables.read(path, schema) for path in paths]
    return pl.concat([pl.DataFrame(schema=dict(schema)), *frames]).filter(pl.col("coder") == browse.TRAINED)
