"""Active latents of texts without a picture, and the tokens that they were found at (multimodal_sae.md 2.4).

Texts of your own are read one by one, as the tokenizer begins them; those of a dataset are joined by the end token and
cut into chunks of equal length.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from vlmscope import lens, meta, samples
from vlmscope.errors import VlmscopeError
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.cache import passes
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.schemas import TOKENS
from vlmscope.multimodal_sae.steer import features as steer_features
from vlmscope.multimodal_sae.train import states
from vlmscope.store import files


def rows(tokenizer: Any, own: Sequence[str], found: Sequence[str], length: int) -> dict[str, list[int]]:
    """Name -> tokens: text-0 and so on of your own, then chunk-0 and so on.

    own, found   your texts, those of a dataset
    """
    kept = {f"text-{number}": tokenizer(text)["input_ids"] for number, text in enumerate(own)}
    if empty := [name for name, ids in kept.items() if not ids]:
        number = int(empty[0].removeprefix("text-"))
        raise VlmscopeError(f"'{own[number]}' has no token.", where=f"multimodal_sae.texts.own[{number}]")
    told = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in found)
    cut = passes.chunks(told, tokenizer.eos_token_id, length) if found else ()
    return kept | {f"chunk-{number}": ids for number, ids in enumerate(cut)}


def longest(answer: str) -> str:
    """The longest text of an official answer: the caption, where lists of words stand beside it."""
    return max(steer_features.said(answer).split(" | "), key=len)


def spelled(tokenizer: Any, named: dict[str, list[int]]) -> pl.DataFrame:
    """Table `TOKENS` of texts."""
    texts = lens.texts(tokenizer, {token for ids in named.values() for token in ids})
    every = [(name, place, token, texts[token]) for name, ids in named.items() for place, token in enumerate(ids)]
    return pl.DataFrame(every, schema=TOKENS, orient="row")


@torch.inference_mode()
def write(
    loaded: Loaded, coder: Any, site: str, named: dict[str, list[int]], writer: cache_files.Writer, batch: int
) -> None:
    """Add texts to a cache in their order; neighbours of equal length go together."""
    take, waiting = states.take_of(loaded, site), list(named.values())
    while waiting:
        count = next((k for k, ids in enumerate(waiting) if len(ids) != len(waiting[0])), len(waiting))
        passes.texts(loaded, coder, take, waiting[:count], writer, batch=batch)
        waiting = waiting[count:]


def from_files(
    loaded: Loaded, *, weights: str, table: str, settings: dict[str, Any], batch: int, code: str, target: str
) -> pl.DataFrame:
    """Write the cache of texts; what comes back says which tokens they are made of, `TOKENS`.

    weights    sae.safetensors in the autoencoder's folder
    table      samples whose texts are read
    settings   site, own, samples, length
    """
    told, folder = settings, Path(weights).parent
    coder = checkpoint.read(folder).to(loaded.device).requires_grad_(False)
    tokenizer = loaded.processor.tokenizer
    found = [longest(one.answer) for one in samples.read(table)[: told["samples"]]]
    named = rows(tokenizer, told["own"], found, told["length"])
    if not named:
        raise VlmscopeError(
            f"{len(found)} texts do not fill a chunk of {told['length']} tokens.",
            where="multimodal_sae.texts",
            instead="a smaller `length`, more `samples`, or texts of your own",
        )
    about = {
        "model": loaded.about["fingerprint"],
        "sae": files.digest(weights),
        "site": told["site"],
        "scope": "text",
        "data": [files.digest(table)],
        "versions": meta.versions(),
        "code": code,
    }
    shape = {"latents": coder.config.latents, "k": coder.config.k, "base": 0, "dtype": "float32"}
    with cache_files.published(target, folder.name, list(named), about, **shape) as writer:
        write(loaded, coder, told["site"], named, writer, batch)
    return spelled(tokenizer, named)
