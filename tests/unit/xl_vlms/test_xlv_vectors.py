"""Files of vectors: what is written comes back, what does not belong together is refused."""

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.store import hdf5
from vlmscope.xl_vlms.sets import vectors

NAMES = [f"coco-train-{number}" for number in range(5)]
TEXTS = [f"a dog {number}" for number in range(5)]
IMAGES = [f"train2014/{number}.jpg" for number in range(5)]


def written(path, **change):
    values = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    parts = {
        "samples": NAMES,
        "texts": TEXTS,
        "images": IMAGES,
        "row": np.array([0, 2, 4]),
        "vectors": {"final_norm": values, "language_model.model.layers.1": values + 1},
        "recipe": {"rule": "word"},
        "layers": 2,
    }
    vectors.write(path, **parts | change)
    return values


def test_a_set_comes_back_by_any_spelling(tmp_path):
    values = written(tmp_path / "dog.h5")
    assert vectors.modules(tmp_path / "dog.h5") == ["block.1", "final_norm"]
    found = vectors.read(tmp_path / "dog.h5", "model.norm")
    assert np.array_equal(found.values, values) and found.values.dtype == np.float32
    assert found.samples == [NAMES[row] for row in (0, 2, 4)] and found.rows.tolist() == [0, 2, 4]
    assert found.images == [IMAGES[row] for row in (0, 2, 4)] and found.texts == [TEXTS[row] for row in (0, 2, 4)]
    assert found.total == 5
    assert np.array_equal(vectors.read(tmp_path / "dog.h5", "block.-1").values, values + 1)


def test_rows_where_nothing_was_found_are_kept_in_the_file_and_left_out_on_reading(tmp_path):
    values = written(tmp_path / "dog.h5", found=[True, False, True])
    found = vectors.read(tmp_path / "dog.h5", "final_norm")
    assert np.array_equal(found.values, values[[0, 2]]) and found.rows.tolist() == [0, 4]
    with vectors.opened(tmp_path / "dog.h5") as file:
        assert file["vectors/final_norm"].shape == (3, 4)


def test_half_precision_where_it_fits(tmp_path):
    written(tmp_path / "dog.h5", vectors={"final_norm": np.full((3, 2), 1e5), "block.0": np.ones((3, 2))})
    with vectors.opened(tmp_path / "dog.h5") as file:
        assert file["vectors/final_norm"].dtype == np.float32 and file["vectors/block.0"].dtype == np.float16


def test_a_set_of_nothing_can_be_read(tmp_path):
    written(tmp_path / "dog.h5", row=np.zeros(0), vectors={"final_norm": np.zeros((0, 4))})
    found = vectors.read(tmp_path / "dog.h5", "final_norm")
    assert found.values.shape == (0, 4) and found.total == 5 and found.samples == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"texts": TEXTS[:2]}, "2 texts"),
        ({"row": np.array([2, 0, 4])}, "does not rise"),
        ({"row": np.array([0, 2, 5])}, "does not rise"),
        ({"row": np.array([0, 2])}, "2 rows"),
        ({"found": [True]}, "3 rows"),
        ({"vectors": {"final_norm": np.full((3, 2), np.nan)}}, "not all numbers"),
        ({"vectors": {"final_norm": np.ones((3, 2)), "model.norm": np.ones((3, 2))}}, "twice"),
        ({"vectors": {"mlp": np.ones((3, 2))}}, "names no place"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, change, problem):
    with pytest.raises(VlmscopeError, match=problem):
        written(tmp_path / "dog.h5", **change)
    assert not (tmp_path / "dog.h5").exists()


def test_a_module_that_is_not_there_and_another_file_are_named(tmp_path):
    written(tmp_path / "dog.h5")
    with pytest.raises(VlmscopeError, match=r"no vectors of 'block\.0'"):
        vectors.read(tmp_path / "dog.h5", "block.0")
    with hdf5.published(tmp_path / "other.h5", "vlmscope.other/1", {}):
        pass
    with pytest.raises(VlmscopeError, match="not complete"):
        vectors.read(tmp_path / "other.h5", "final_norm")
