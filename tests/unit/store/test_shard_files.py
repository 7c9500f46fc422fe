import itertools
import json
import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.store import files, shards

RECIPE = {"settings": {"shards": 1}, "model": "m"}


def values(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def written(path, **arrays):
    shards.write(path, ["s0", "é1"], {"resid_post.all.values": arrays}, RECIPE)
    return shards.open_shard(path)


def test_a_shard_says_what_it_is(tmp_path):
    with written(tmp_path / "a.h5", values=values(2, 3, 4)) as file:
        assert dict(file.attrs) == {
            "format": shards.FORMAT,
            "complete": 1,
            "recipe": json.dumps(RECIPE, sort_keys=True),
        }
        assert [name.decode() for name in file["samples"][()]] == ["s0", "é1"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_values_are_kept_in_half_precision_where_they_fit(tmp_path):
    given = values(50, 2, 8, scale=100)
    with written(tmp_path / "a.h5", values=given) as file:
        kept = file["resid_post.all.values/values"]
        assert kept.dtype == np.float16
        np.testing.assert_allclose(kept[()], given, rtol=2**-10, atol=1e-4)


@pytest.mark.parametrize("large", [65520.0, -1e6, np.inf, -np.inf, np.nan])
def test_values_beyond_half_precision_are_kept_in_single(tmp_path, large):
    given = values(5, 2, 8)
    given[3, 1, 7] = large
    with written(tmp_path / "a.h5", values=given) as file:
        kept = file["resid_post.all.values/values"]
        assert kept.dtype == np.float32
        np.testing.assert_array_equal(kept[()], given)


def test_a_take_that_needs_single_precision_is_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        written(tmp_path / "a.h5", values=np.full((1, 1, 4), 1e5, np.float32)).close()
    assert "resid_post.all.values" in caplog.text and "float32" in caplog.text


def test_the_largest_half_is_still_a_half(tmp_path):
    with written(tmp_path / "a.h5", values=np.full((1, 1, 4), 65504.0, np.float32)) as file:
        assert file["resid_post.all.values/values"].dtype == np.float16
        assert np.isfinite(file["resid_post.all.values/values"][()]).all()


def test_other_arrays_keep_their_kind(tmp_path):
    arrays = {"fired": np.array([[2**40]]), "total": np.array([[1e300]]), "seen": 7, "units": np.int32([[[1, 2]]])}
    with written(tmp_path / "a.h5", **arrays) as file:
        group = file["resid_post.all.values"]
        assert group["fired"][0, 0] == 2**40 and group["fired"].dtype == np.int64
        assert group["total"][0, 0] == 1e300 and group["total"].dtype == np.float64
        assert group.attrs["seen"] == 7
        assert group["units"].dtype == np.int32


@pytest.mark.parametrize(("rows", "width", "chunk"), [(10, 16, 10), (5000, 1024, 1024), (3, 2**21, 1)])
def test_a_chunk_holds_one_layer_and_at_most_two_megabytes(tmp_path, rows, width, chunk):
    given = np.zeros((rows, 2, width), dtype=np.float32)
    with written(tmp_path / "a.h5", values=given) as file:
        kept = file["resid_post.all.values/values"]
        assert kept.chunks == (chunk, 1, width)
        assert (kept.compression, kept.shuffle, kept.fletcher32) == (None, False, False)


def test_a_shard_without_samples_is_whole(tmp_path):
    shards.write(tmp_path / "a.h5", [], {"resid_post.all.values": {"values": values(0, 3, 4)}}, RECIPE)
    with shards.open_shard(tmp_path / "a.h5") as file:
        assert file["resid_post.all.values/values"].shape == (0, 3, 4)
        assert len(file["samples"]) == 0


def test_an_interrupted_shard_is_not_there(tmp_path):
    with pytest.raises(TypeError):
        shards.write(tmp_path / "a.h5", ["s"], {"x.all.values": {"bad": object()}}, RECIPE)
    assert not list(tmp_path.iterdir())


def test_a_shard_that_was_never_completed_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["format"] = shards.FORMAT
    with pytest.raises(VlmscopeError, match="not complete"):
        shards.open_shard(tmp_path / "a.h5")


@pytest.mark.parametrize("mark", ["vlmscope.shard/0", None, 3])
def test_another_format_is_refused(tmp_path, mark):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["complete"] = 1
        if mark is not None:
            file.attrs["format"] = mark
    with pytest.raises(VlmscopeError, match="not complete") as caught:
        shards.open_shard(tmp_path / "a.h5")
    assert caught.value.where == str(tmp_path / "a.h5")


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(VlmscopeError, match="not there"):
        shards.open_shard(tmp_path / "a.h5")


# ---- answers -----------------------------------------------------------------------------------------------------


def answered(folder, parts):
    """A closed capture whose samples wrote these tokens and ended with these."""
    for number, part in enumerate(parts):
        tokens = [token for said, _ in part for token in said]
        owners = [place for place, (said, _) in enumerate(part) for _ in said]
        arrays = {
            "tokens": np.array(tokens, np.int32),
            "sample": np.array(owners, np.int32),
            "ended": np.array([end for _, end in part], np.int32),
        }
        names = [f"s{number}{place}" for place in range(len(part))]
        shards.write(folder / f"{number:05d}.h5", names, {shards.ANSWERS: arrays}, RECIPE)
    shards.close_index(folder / "index.json", sorted(map(str, folder.glob("*.h5"))), {"dataset": "sbu"})
    return folder / "index.json"


def test_answers_come_with_their_ends_in_the_order_of_the_samples(tmp_path):
    index = answered(tmp_path, [[([5, 6], 2), ([], 2), ([7], -1)], [], [([], -1), ([8, 9, 9], 3)]])
    expected = {"s00": ([5, 6], 2), "s01": ([], 2), "s02": ([7], -1), "s20": ([], -1), "s21": ([8, 9, 9], 3)}
    assert shards.read_answers(index) == expected
    assert list(shards.read_answers(index)) == list(expected)


def test_a_capture_without_answers_says_how_to_get_them(tmp_path):
    shards.write(tmp_path / "00000.h5", ["s"], {}, RECIPE)
    shards.close_index(tmp_path / "index.json", [str(tmp_path / "00000.h5")], {})
    with pytest.raises(VlmscopeError, match="Nothing was written") as caught:
        shards.read_answers(tmp_path / "index.json")
    assert "run: generate" in caught.value.instead


# ---- index and counts --------------------------------------------------------------------------------------------

FIRED = np.random.default_rng(1).integers(0, 50, (12, 2, 5))
TOTAL = np.random.default_rng(2).standard_normal((12, 2, 5))


def capture(folder, parts, recipe=RECIPE, take="mlp_gate.all.counts"):
    """A closed capture of 12 samples, split as given; each sample has its own counts and 10 positions."""
    folder.mkdir()
    bounds = np.cumsum([0, *parts])
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        arrays = {
            "fired": FIRED[start:stop].sum(0),
            "total": TOTAL[start:stop].sum(0),
            "seen": 10 * int(stop - start),
        }
        shards.write(folder / f"{number:05d}.h5", [f"s{k}" for k in range(start, stop)], {take: arrays}, recipe)
    shards.close_index(folder / "index.json", sorted(map(str, folder.glob("*.h5"))), {"dataset": "ad"})
    return folder / "index.json"


@pytest.mark.parametrize("parts", [[12], [5, 7], [4, 0, 4, 4], [1] * 12])
def test_counts_are_sums_over_shards_however_many_there_are(tmp_path, parts):
    index = capture(tmp_path / "a", parts)
    found = shards.read_counts({"ad": str(index)}, "mlp_gate.all.counts")
    np.testing.assert_array_equal(found.fired[0], FIRED.sum(0))
    np.testing.assert_allclose(found.total[0], TOTAL.sum(0), atol=1e-12)
    assert found.seen.tolist() == [120] and found.samples == (12,)
    assert found.fired.dtype == np.int64 and found.seen.dtype == np.int64


def test_domains_keep_the_given_order(tmp_path):
    whole, half = capture(tmp_path / "a", [12]), capture(tmp_path / "b", [6])
    found = shards.read_counts({"rs": str(half), "ad": str(whole)}, "mlp_gate.all.counts")
    assert found.domains == ("rs", "ad") and found.samples == (6, 12)
    np.testing.assert_array_equal(found.fired, [FIRED[:6].sum(0), FIRED.sum(0)])


def test_the_index_names_samples_and_shards_in_order(tmp_path):
    index = files.read_json(capture(tmp_path / "a", [5, 7]))
    assert index["samples"] == [f"s{k}" for k in range(12)]
    assert [shard["file"] for shard in index["shards"]] == ["00000.h5", "00001.h5"]
    assert [shard["samples"] for shard in index["shards"]] == [5, 7]
    assert (index["dataset"], index["recipe"]) == ("ad", RECIPE)


def test_a_changed_byte_is_noticed(tmp_path):
    index = capture(tmp_path / "a", [5, 7])
    shard = tmp_path / "a" / "00001.h5"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(VlmscopeError, match="digest differs") as caught:
        shards.read_counts({"ad": str(index)}, "mlp_gate.all.counts")
    assert caught.value.where == str(shard)
    assert shards.read_index(index, verify=False)["samples"]


def test_a_shard_that_went_away_is_noticed(tmp_path):
    index = capture(tmp_path / "a", [5, 7])
    (tmp_path / "a" / "00000.h5").unlink()
    with pytest.raises(VlmscopeError, match="not there"):
        shards.read_index(index, verify=False)


def test_shards_of_different_recipes_are_not_joined(tmp_path):
    for number, model in enumerate("mn"):
        shards.write(tmp_path / f"{number}.h5", ["s"], {}, {"model": model})
    with pytest.raises(VlmscopeError, match="different recipes"):
        shards.close_index(tmp_path / "index.json", [str(tmp_path / f"{n}.h5") for n in range(2)], {})
    assert not (tmp_path / "index.json").exists()


def test_a_take_that_was_not_captured_is_told_with_the_line_to_add(tmp_path):
    index = capture(tmp_path / "a", [12])
    with pytest.raises(VlmscopeError, match="no take 'vision_gate") as caught:
        shards.read_counts({"ad": str(index)}, "vision_gate.all.counts")
    assert "{site: vision_gate, where: all, keep: counts}" in caught.value.instead


@pytest.mark.parametrize(
    "text", ["{}", "[]", '"x"', '{"format": "vlmscope.capture/0"}', '{"format": "vlmscope.raw/1"}']
)
def test_what_is_no_index_is_refused(tmp_path, text):
    Path(tmp_path / "index.json").write_text(text)
    with pytest.raises(VlmscopeError, match="not the index") as caught:
        shards.read_index(tmp_path / "index.json")
    assert caught.value.where == str(tmp_path / "index.json")
