"""The file of maps: what is written comes back, what is not whole is refused."""

import h5py
import numpy as np
import pytest
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.image import grids
from vlmscope.mm_neurons.image.grids import Seen, Units
from vlmscope.store import hdf5


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8))


@pytest.fixture
def path(tmp_path):
    carry = np.array([[0.5, 0, 0, 0.25], [0, 0.5, 0.5, 0]], np.float32)
    items = [
        Seen("sbu-train-0", picture(0), (2, 3), None),
        Units("act_fn", "contribution", "sbu-train-0", "dog", np.arange(12.0).reshape(2, 6)),
        Units("act_fn", "contribution", "sbu-train-0", "50%/a.b", np.full((1, 6), 1e5)),
        Seen("sbu-train-7", picture(7), (2, 2), carry),
        Units("down_proj_input", "contribution", "sbu-train-7", "cat", np.array([[2.0, -4.0]])),
    ]
    grids.write(tmp_path / "maps.h5", iter(items), {"units": 3})
    return tmp_path / "maps.h5"


def test_activations_come_back_as_grids_and_pictures_as_they_were(path):
    with grids.opened(path) as file:
        found = grids.read(file, "act_fn", "contribution", "sbu-train-0", "dog")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.arange(12).reshape(2, 2, 3))
        assert grids.picture(file, "sbu-train-7").tobytes() == picture(7).tobytes()
        assert hdf5.recipe(file) == {"units": 3}


def test_activations_of_queries_are_carried_back_to_patches(path):
    with grids.opened(path) as file:
        found = grids.read(file, "down_proj_input", "contribution", "sbu-train-7", "cat")
        assert grids.tokens(file, "down_proj_input", "contribution", "sbu-train-7", "cat").tolist() == [[2, -4]]
        assert grids.is_carried(file, "sbu-train-7") and not grids.is_carried(file, "sbu-train-0")
    assert found.tolist() == [[[1, -2], [-2, 0.5]]]


def test_nouns_may_hold_any_letter_and_values_any_size(path):
    with grids.opened(path) as file:
        assert grids.nouns(file, "act_fn", "contribution", "sbu-train-0") == ["50%/a.b", "dog"]
        assert grids.nouns(file, "act_fn", "contribution", "sbu-train-7") == []
        found = grids.read(file, "act_fn", "contribution", "sbu-train-0", "50%/a.b")
    assert found.tolist() == np.full((1, 2, 3), 1e5).tolist()


def test_what_is_not_there_is_named(path):
    with grids.opened(path) as file:
        with pytest.raises(VlmscopeError, match=r"no maps of 'cow' in sbu-train-0"):
            grids.read(file, "act_fn", "contribution", "sbu-train-0", "cow")
        with pytest.raises(VlmscopeError, match="sbu-train-3 has no noun with maps"):
            grids.picture(file, "sbu-train-3")


def test_a_file_that_is_missing_damaged_or_not_complete_is_refused(path, tmp_path):
    with pytest.raises(VlmscopeError, match="not there"):
        grids.opened(tmp_path / "other.h5")
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:200])
    with pytest.raises(VlmscopeError, match="damaged"):
        grids.opened(tmp_path / "cut.h5")
    with h5py.File(path, "a") as file:
        del file.attrs["complete"]
    with pytest.raises(VlmscopeError, match="not complete"):
        grids.opened(path)


def test_an_interrupted_writer_leaves_nothing_behind(tmp_path):
    def items():
        yield Seen("s", picture(0), (2, 3), None)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        grids.write(tmp_path / "maps.h5", items(), {})
    assert not list(tmp_path.iterdir())
