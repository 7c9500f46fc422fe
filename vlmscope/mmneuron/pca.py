"""Map of the pictures: two principal components of their embeddings (mmneuron.md 2.10, the paper's figure 2)."""

from typing import Any

import numpy as np
import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron.schemas import EMBEDDINGS
from vlmscope.store import files, tables

PCA = {"domain": pl.String, "sample": pl.String, "pc1": pl.Float64, "pc2": pl.Float64}
COMPONENTS = 2


def components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates float64 [sample, 2] and the shares of variance [2] of vectors [sample, width].

    A component's sign is free: the loading of largest magnitude is made positive.
    """
    if len(vectors) <= COMPONENTS:
        raise VlmscopeError(
            f"{len(vectors)} pictures span no plane.",
            where="mmneuron.pca.samples, and the rows of the datasets",
            instead=f"more than {COMPONENTS} different pictures",
        )
    # Costs almost two seconds, so only where it is used.
    from sklearn.decomposition import PCA as Decomposition

    fitted = Decomposition(COMPONENTS, svd_solver="full").fit(np.asarray(vectors, dtype=np.float64))
    loadings = fitted.components_
    signs = np.sign(loadings[np.arange(COMPONENTS), np.abs(loadings).argmax(axis=1)])
    return fitted.transform(vectors) * signs, fitted.explained_variance_ratio_


def table(embeddings: pl.DataFrame) -> tuple[pl.DataFrame, list[float]]:
    """Coordinates of all pictures, six decimals, and the shares of variance.

    embeddings   `schemas.EMBEDDINGS`
    """
    places, shares = components(np.array(embeddings["vector"].to_list(), dtype=np.float64))
    columns = {"pc1": places[:, 0].round(6), "pc2": places[:, 1].round(6)}
    found = embeddings.select("domain", "sample").with_columns(**{key: pl.Series(one) for key, one in columns.items()})
    return found, shares.tolist()


def from_files(embeddings: str, about: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Coordinates and their metadata from the embeddings of a model and what is known of them."""
    frame = tables.read(embeddings, EMBEDDINGS)
    found, shares = table(frame)
    counts = dict(found.group_by("domain", maintain_order=True).len().iter_rows())
    meta = files.read_json(about) | {"explained_variance": [round(one, 6) for one in shares], "pictures": counts}
    return found, meta | {"method": "sklearn PCA(2, svd_solver='full'), largest loading of a component positive"}
