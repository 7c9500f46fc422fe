import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.store import rows, shards

TAKE = "mlp_gate.emitting.values"
RECIPE = {"settings": {}}


@pytest.fixture
def index(tmp_path):
    """Two shards of two and three samples; the second sample of each has no row."""
    drawn = np.random.default_rng(0)
    for number, (names, sample) in enumerate(((["a", "b"], [0, 0, 0]), (["c", "d", "e"], [0, 2]))):
        arrays = {"values": drawn.standard_normal((len(sample), 2, 4)), "sample": np.array(sample, np.int32)}
        arrays |= {"position": np.arange(len(sample), dtype=np.int32) + 7, "token": np.arange(len(sample)) + 30}
        shards.write(tmp_path / f"{number:05d}.h5", names, {TAKE: arrays}, RECIPE)
    paths = [str(tmp_path / f"{number:05d}.h5") for number in range(2)]
    shards.close_index(tmp_path / "index.json", paths, {})
    return tmp_path / "index.json"


def test_rows_are_counted_over_all_shards(index):
    with rows.opened(index, TAKE) as found:
        assert len(found) == 5
        assert [found.samples[number] for number in found.sample] == ["a", "a", "a", "c", "e"]
        assert found.position.tolist() == [7, 8, 9, 7, 8]
        assert found.token.tolist() == [30, 31, 32, 30, 31]
        stored = [found.values(row) for row in range(5)]
    for number, part in enumerate((stored[:3], stored[3:])):
        with shards.open_shard(index.parent / f"{number:05d}.h5") as file:
            np.testing.assert_array_equal(np.stack(part), file[TAKE]["values"][()])
    assert stored[0].shape == (2, 4) and stored[0].dtype == np.float16


@pytest.mark.parametrize("row", [-1, 5])
def test_a_row_that_is_not_there_is_refused(index, row):
    with rows.opened(index, TAKE) as found, pytest.raises(VlmscopeError, match="has 5 rows"):
        found.values(row)


def test_a_take_that_is_not_there_is_answered_with_the_line_to_add(index):
    with (
        pytest.raises(VlmscopeError, match="site: mlp_hidden, where: emitting, keep: values"),
        rows.opened(index, "mlp_hidden.emitting.values"),
    ):
        pass


def test_a_shard_that_changed_is_refused(index):
    shards.write(index.parent / "00001.h5", ["c"], {TAKE: {"values": np.zeros((1, 2, 4))}}, RECIPE)
    with pytest.raises(VlmscopeError, match="has changed"), rows.opened(index, TAKE):
        pass
