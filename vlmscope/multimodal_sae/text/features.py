"""Active latents of conversations, as names are made from them: chunks of equal length, every position (2.4).

Beside what a cache has stand the tokens as they read, and the tokens that each latent promotes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vlmscope import lens, meta, samples
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.models import placement, written
from vlmscope.models.load import load
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.coder import checkpoint, directions
from vlmscope.multimodal_sae.text import cache
from vlmscope.store import files

STRINGS = h5py.string_dtype()


def from_files(
    model: str,
    device: str,
    *,
    weights: str,
    tables: Sequence[str],
    kinds: Sequence[str],
    settings: dict[str, Any],
    batch: int,
    code: str,
    target: str,
) -> None:
    """Write the cache of the words of some datasets.

    model      its manifest
    weights    sae.safetensors in the autoencoder's folder
    kinds      formats of the datasets
    settings   site, and multimodal_sae.explain_texts: samples, length, promoted, dtype
    """
    loaded, own, folder = load(model, device), settings, Path(weights).parent
    coder = checkpoint.read(folder).to(loaded.device).requires_grad_(False)
    tokenizer, said = loaded.processor.tokenizer, list(words(kinds, tables, own["samples"]))
    named = cache.rows(tokenizer, (), said, own["length"])
    if not named:
        raise VlmscopeError(
            f"{len(said)} texts do not fill a chunk of {own['length']} tokens.",
            where="multimodal_sae.explain_texts",
            instead="a smaller `length`, or more `samples`",
        )
    about = {"model": loaded.about["fingerprint"], "precision": placement.precision(loaded.about)}
    about |= {"sae": files.digest(weights), "site": own["site"], "scope": "text", "versions": meta.versions()}
    about |= {"data": [files.digest(table) for table in tables], "code": code}
    shape = {"latents": coder.config.latents, "k": coder.config.k, "base": own["length"], "dtype": own["dtype"]}
    best = promoted(model, coder.W_dec.detach().cpu().float(), own["promoted"])
    texts = lens.texts(tokenizer, {*best.flatten().tolist(), *(one for ids in named.values() for one in ids)})
    with cache_files.published(target, folder.name, list(named), about, **shape) as writer:
        cache.write(loaded, coder, own["site"], named, writer, batch)
        for name, rows in (("tokens", list(named.values())), ("promoted", best.tolist())):
            writer.group[name] = np.array([[texts[one] for one in row] for row in rows], dtype=STRINGS)


def words(kinds: Sequence[str], tables: Sequence[str], most: int) -> Iterator[str]:
    """What the first samples of some datasets say."""
    for kind, table in zip(kinds, tables, strict=True):
        benchmark = base.load(kind)
        if not hasattr(benchmark, "words"):
            raise VlmscopeError(
                f"{benchmark.LABEL} has no conversations.",
                where="multimodal_sae.explain_texts.data",
                instead="a dataset of the kind llava_next_data or llava_json",
            )
        yield from (benchmark.words(one) for one in samples.read(table)[:most])


def promoted(model: str, rows: Any, most: int) -> np.ndarray:
    """Tokens that every latent promotes most, int64 [latent, most], strongest first (see `directions`)."""
    kind, _, tokenizer, own = written.opened(model, whose="latents", where="run.multimodal_sae")
    unembedding = written.unembedding(own, kind, fold_norm=True)[: len(tokenizer)]
    blocks = directions.ends(rows, unembedding, most)
    return np.concatenate([ids.numpy() for kind, _, _, ids in blocks if kind == directions.PROMOTED])
