"""Latents by their decoder rows: tokens that they promote and suppress, and the latents nearest to them (2.11).

Notation: F latents, d width, V tokens, W_dec [F, d] decoder rows, u_t the row of the unembedding of token t times the
gain of the final norm. A latent adds its value times W_dec[j] to the state; read at once, that moves the logit of t by
u_t . W_dec[j], up to the length by which the norm divides. Blocks in between change it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from vlmscope import lens
from vlmscope.models import written
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.schemas import DIRECTIONS

PROMOTED, SUPPRESSED, NEAREST = "promoted", "suppressed", "nearest"
# Products that are held at once: 64 MB in float32.
MOST_VALUES = 1 << 24


def ends(rows: Tensor, unembedding: Tensor, k: int) -> Iterator[tuple[str, int, Tensor, Tensor]]:
    """The k tokens that every latent promotes and suppresses most, strongest first, in blocks of latents.

    rows          W_dec, float32 [F, d]
    unembedding   u_t, float32 [V, d]
    returns       kind, first latent of the block, values [block, k], ids [block, k]
    """
    step, k = max(1, MOST_VALUES // len(unembedding)), min(k, len(unembedding))
    for start in range(0, len(rows), step):
        product = rows[start : start + step] @ unembedding.T
        for kind, highest in ((PROMOTED, True), (SUPPRESSED, False)):
            yield kind, start, *product.topk(k, largest=highest)


def nearest(rows: Tensor, k: int) -> Iterator[tuple[str, int, Tensor, Tensor]]:
    """The k latents of the largest cosine with every latent, itself left out; in blocks as `ends`."""
    unit = functional.normalize(rows, dim=1)
    step, k = max(1, MOST_VALUES // len(unit)), min(k, len(unit) - 1)
    for start in range(0, len(unit), step):
        cosine = unit[start : start + step] @ unit.T
        own = torch.arange(len(cosine))
        cosine[own, own + start] = -torch.inf
        yield NEAREST, start, *cosine.topk(k)


def table(parts: Iterator[tuple[str, int, Tensor, Tensor]], tokenizer: Any) -> pl.DataFrame:
    """Table `DIRECTIONS` of blocks; tokens are spelled as they follow another one."""
    frames = [_frame(*one) for one in parts]
    found = pl.concat(frames) if frames else pl.DataFrame(schema=DIRECTIONS)
    words = found.filter(pl.col("kind") != NEAREST)["other"].unique().to_list()
    spelled = pl.DataFrame(
        list(lens.texts(tokenizer, words).items()), {"other": pl.Int64, "token": pl.String}, orient="row"
    )
    joined = found.drop("token").join(spelled, on="other", how="left")
    named = joined.with_columns(token=pl.when(pl.col("kind") != NEAREST).then(pl.col("token")))
    return named.select(list(DIRECTIONS)).sort("latent", "kind", "rank")


def _frame(kind: str, start: int, values: Tensor, other: Tensor) -> pl.DataFrame:
    count, k = other.shape
    found = {
        "latent": torch.arange(start, start + count).repeat_interleave(k).numpy(),
        "rank": torch.arange(1, k + 1).repeat(count).numpy(),
        "other": other.flatten().numpy(),
        "value": values.flatten().double().numpy(),
    }
    return pl.DataFrame(found).with_columns(kind=pl.lit(kind), token=pl.lit(None, pl.String)).select(list(DIRECTIONS))


@torch.inference_mode()
def from_files(model: str, *, weights: str, tokens: int, neighbours: int) -> pl.DataFrame:
    """The table of an autoencoder; the model itself is not loaded.

    model     its manifest
    weights   sae.safetensors in the autoencoder's folder
    """
    kind, _, tokenizer, own = written.opened(model, whose="latents", where="run.multimodal_sae")
    rows = checkpoint.read(Path(weights).parent).W_dec.detach()
    # Rows of the head beyond the tokenizer's belong to no token.
    unembedding = written.unembedding(own, kind, fold_norm=True)[: len(tokenizer)]

    def blocks() -> Iterator[tuple[str, int, Tensor, Tensor]]:
        yield from ends(rows, unembedding, tokens)
        yield from nearest(rows, neighbours)

    return table(blocks(), tokenizer)
