"""Caches on disk: values, columns that grow, files of others."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.cache.files import Entries

SHAPE = {"latents": 9, "k": 2, "base": 2, "dtype": "float32"}


def written(path, pictures, **shape):
    names = [f"p{number}" for number in range(len(pictures))]
    with cache_files.published(path, "model.layers.1", names, {"sae": "x"}, **(SHAPE | shape)) as writer:
        for idx, val in pictures:
            writer.add(np.array(idx), np.array(val, np.float32))
    return path


FIRST = ([[3, 1], [3, 8], [0, 1]], [[0.5, 2.0], [1.5, 1e-6], [0.0, 4.0]])
SECOND = ([[1, 4]], [[1.0, 3.0]])


def test_entries_pictures_and_maps_agree(tmp_path):
    with cache_files.opened(written(tmp_path / "c.h5", [FIRST, SECOND])) as found:
        own = found.entries()
        assert own.where.tolist() == [[0, 0, 1], [0, 0, 3], [0, 1, 3], [0, 2, 1], [1, 0, 1], [1, 0, 4]]
        np.testing.assert_array_equal(own.value, np.float32([2, 0.5, 1.5, 4, 1, 3]))
        assert found.firing.tolist() == [0, 3, 0, 2, 1, 0, 0, 0, 0]
        three = found.pooled(3)
        assert three["image"].tolist() == [0] and three["mean"].tolist() == [1.0] and three["count"].tolist() == [2]
        # The third position lies behind the first view.
        assert found.pooled(1)["max"].tolist() == [2.0, 1.0] and found.pooled(1)["mean"].tolist() == [1.0, 0.5]
        assert found.map(1, 0).tolist() == [2.0, 0.0] and not len(found.pooled(8)["image"])
        assert found.entries(1).where.tolist() == [[1, 0, 1], [1, 0, 4]]
        assert found.about["sae"] == "x" and found.samples == ["p0", "p1"]


def test_the_order_of_a_selection_does_not_matter(tmp_path):
    turned = [([row[::-1] for row in idx], [row[::-1] for row in val]) for idx, val in (FIRST, SECOND)]
    one, two = (written(tmp_path / f"{n}.h5", each) for n, each in enumerate(([FIRST, SECOND], turned)))
    assert one.read_bytes() == two.read_bytes()


def test_columns_grow_where_more_latents_are_active_and_views_may_have_any_size(tmp_path):
    wide = ([[0, 1, 2], [3, 4, 5]], [[1, 1, 1], [2, 2, 2]])
    with cache_files.opened(written(tmp_path / "c.h5", [SECOND, wide], base=0)) as found:
        assert len(found.entries().value) == 8
        assert found.pooled(4)["mean"].tolist() == [3.0, 1.0] and found.map(4, 1).tolist() == [0.0, 2.0]


def test_entries_packed_and_written_come_back(tmp_path):
    with cache_files.opened(written(tmp_path / "c.h5", [FIRST, SECOND])) as found:
        own = found.entries()
    packed = list(cache_files.pack(own, [3, 1]))
    with cache_files.opened(written(tmp_path / "d.h5", packed)) as again:
        np.testing.assert_array_equal(again.entries().where, own.where)
    cache_files.write_released(own, tmp_path / "released", 9, 4, offset=100)
    assert sorted(path.name for path in (tmp_path / "released").iterdir()) == [
        "0_1.safetensors",
        "2_3.safetensors",
        "4_5.safetensors",
        "6_8.safetensors",
    ]
    np.testing.assert_array_equal(
        cache_files.read_released(tmp_path / "released").where, np.add(own.where, [100, 0, 0])
    )
    assert Entries(own.where[::-1], own.value[::-1]).ordered().where.tolist() == own.where.tolist()


def test_files_that_are_none_are_told(tmp_path):
    with pytest.raises(VlmscopeError, match="no split files"):
        cache_files.read_released(tmp_path)
    save_file({"locations": np.zeros((3, 2), np.int64), "activations": np.zeros(3)}, tmp_path / "0_8.safetensors")
    with pytest.raises(VlmscopeError, match=r"no locations \[n, 3\]"):
        cache_files.read_released(tmp_path)
    (tmp_path / "0_8.safetensors").write_bytes(b"none")
    with pytest.raises(VlmscopeError, match="damaged"):
        cache_files.read_released(tmp_path)
    (tmp_path / "filter.json").write_text(json.dumps({"model.layers.1": [5, 2]}))
    assert cache_files.read_filter(tmp_path / "filter.json", "model.layers.1") == [2, 5]
    with pytest.raises(VlmscopeError, match="lists no latents"):
        cache_files.read_filter(tmp_path / "filter.json", "model.layers.2")
