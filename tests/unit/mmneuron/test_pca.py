import numpy as np
import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import pca
from vlmscope.mmneuron.schemas import EMBEDDINGS
from vlmscope.store import files, tables


def cloud(n=60, width=12, seed=0):
    generator = np.random.default_rng(seed)
    axes = np.linalg.qr(generator.standard_normal((width, 2)))[0]
    return generator.standard_normal((n, 2)) * (9, 3) @ axes.T + 0.05 * generator.standard_normal((n, width)) + 4


def test_distances_in_the_plane_are_those_of_the_cloud():
    vectors = cloud()
    places, shares = pca.components(vectors)
    own = np.linalg.norm(places[:, None] - places[None], axis=-1)
    real = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    np.testing.assert_allclose(own, real, atol=1.0)
    assert shares[0] > shares[1] > 0.05 and shares.sum() > 0.99
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-9)


def test_the_largest_loading_is_positive_whatever_the_sign_of_the_data():
    vectors = cloud()
    for given in (vectors, -vectors):
        places, _ = pca.components(given)
        centered = given - given.mean(axis=0)
        loadings = np.linalg.lstsq(places, centered, rcond=None)[0]
        assert (loadings[np.arange(2), np.abs(loadings).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(pca.components(vectors)[0], -pca.components(-vectors)[0], atol=1e-9)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_pictures_span_no_plane(n):
    with pytest.raises(VlmscopeError, match="span no plane"):
        pca.components(np.ones((n, 4)))


def test_the_table_keeps_order_and_says_what_was_read(tmp_path):
    vectors = cloud(6).astype(np.float32)
    names = {"domain": ["ad"] * 2 + ["med"] * 4, "sample": [f"s{number}" for number in range(6)]}
    tables.write(
        pl.DataFrame({**names, "vector": vectors.tolist()}, schema=EMBEDDINGS), tmp_path / "e.parquet", EMBEDDINGS
    )
    files.write_json({"embedding": "class token"}, tmp_path / "e.json")
    table, meta = pca.from_files(str(tmp_path / "e.parquet"), str(tmp_path / "e.json"))
    assert dict(table.schema) == pca.PCA and table["sample"].to_list() == names["sample"]
    assert meta["pictures"] == {"ad": 2, "med": 4} and meta["embedding"] == "class token"
    assert sum(meta["explained_variance"]) == pytest.approx(1, abs=0.01)
