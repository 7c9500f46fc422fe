"""The text view: tokens of texts, colored by how strongly a latent fires at them (multimodal_sae.md 2.11)."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import polars as pl

from vlmscope.multimodal_sae import browse, look_parts
from vlmscope.multimodal_sae.look_parts import Row, Rows, Texts
from vlmscope.multimodal_sae.schemas import SCORED
from vlmscope.store import tables


def page(texts: Texts, names: dict[int, list[Row]], most: int, limit: int) -> Row:
    """What the page holds: tokens of the first texts, and latents: those with a name, then those that fire most often.

    names   of latents, by every explainer
    most    texts
    limit   latents; 0 for all that fire in these texts or have a name
    """
    shown = list(texts.names)[:most]
    kept = texts.where[:, 0] < len(shown)
    found, counts = np.unique(texts.where[kept, 2], return_counts=True)
    order = found[np.argsort(-counts, kind="stable")].tolist()
    latents = sorted(list(dict.fromkeys([*sorted(names), *order]))[: limit or None])
    kept &= np.isin(texts.where[:, 2], latents)
    where, value = texts.where[kept], texts.value[kept]
    starts = np.cumsum([0, *(len(texts.tokens[name]) for name in shown)])
    told = [{"latent": latent, **_caption(names.get(latent, []))} for latent in latents]
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
    found = look_parts.best(rows)
    keys = ("refined", "explanation", "explainer")
    return {key: found[key] if found else "" for key in keys}


def from_files(*, texts: str, tokens: str, explanations: Sequence[str], most: int, limit: int) -> Row:
    """The page of a cache of texts; `explanations` is empty where latents have no names."""
    frames = [tables.read(path, SCORED) for path in explanations]
    named = pl.concat([pl.DataFrame(schema=SCORED), *frames]).filter(pl.col("coder") == browse.TRAINED)
    scored = Rows(named, "latent")
    names: dict[int, list[Any]] = {latent: look_parts.names(scored.of(latent)) for latent in scored.latents}
    with ExitStack() as stack:
        return page(browse.read_texts(stack, texts, tokens), names, most, limit)
