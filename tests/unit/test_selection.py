"""Random subsets, words in texts, lists of pictures."""

import json
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vlmscope import selection
from vlmscope.errors import VlmscopeError

GOLDEN = Path(__file__).parents[1] / "golden" / "xl_vlms"
SIZES = {"vqav2_train": 443_757, "vqav2_val": 214_354, "coco_train": 82_783, "coco_val": 5_000, "coco_test": 5_000}
NAMES = ["train2014/COCO_train2014_000000000009.jpg", "val2014/COCO_val2014_000000553795.jpg"]


def test_subsets_are_those_of_the_released_code():
    with np.load(GOLDEN / "sampling.npz") as golden:
        cases = [key.partition("/")[0] for key in golden if key.endswith("/checksum")]
        assert len(cases) == 10
        for case in cases:
            name, _, size = case.rpartition("_")
            found = selection.subset(SIZES[name], int(size), 0)
            assert np.array_equal(found[:20], golden[f"{case}/first20"])
            assert np.array_equal(found[-5:], golden[f"{case}/last5"])
            assert sum(int(one) * (k + 1) for k, one in enumerate(found)) % (2**61 - 1) == golden[f"{case}/checksum"][0]


def test_no_subset_is_everything_and_a_larger_one_is_refused():
    assert selection.subset(4, 0, 0).tolist() == [0, 1, 2, 3]
    with pytest.raises(VlmscopeError, match="larger than the 4"):
        selection.subset(4, 5, 0)


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ("word", ["no", "No, it is", "a no-go"]),
        ("exact", ["no"]),
        ("substring", ["no", "snow", "none", "a no-go"]),
    ],
)
def test_what_has_a_word(match, found):
    texts = ["no", "No, it is", "snow", "none", "a no-go", "yes"]
    assert [text for text in texts if selection.matcher(["no"], match)(text)] == found


def test_no_words_match_nothing():
    for match in selection.MATCHES:
        assert not selection.matcher([], match)("anything")
    with pytest.raises(VlmscopeError, match="no match"):
        selection.matcher(["a"], "regex")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_lists_of_names_are_read_without_running_them(tmp_path, protocol):
    # The same object twice is stored once and referred to.
    names = [*NAMES, NAMES[0]] * 600
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps(names, protocol))
    assert selection.pickled_texts((tmp_path / "ids.pkl").read_bytes()) == names
    assert selection.stems(tmp_path / "ids.pkl") == {selection.stem(name) for name in NAMES}


def test_names_may_also_stand_in_json_or_text(tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps(NAMES))
    (tmp_path / "ids.txt").write_text("\n".join(["COCO_train2014_000000000009", "", NAMES[1]]))
    assert selection.stems(tmp_path / "ids.json") == selection.stems(tmp_path / "ids.txt")


@pytest.mark.parametrize(
    "value", [subprocess.Popen, ["a", 1], ("a",), {"a": 1}, [["a"]], "a", [b"a"], np.ones(2)], ids=str
)
def test_a_pickle_of_anything_else_is_refused(tmp_path, value):
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(VlmscopeError, match="refused"):
        selection.stems(tmp_path / "ids.pkl")


@pytest.mark.parametrize("content", [b"", b"\x80", b"garbage", pickle.dumps(NAMES)[:40]])
def test_a_damaged_pickle_is_refused(tmp_path, content):
    (tmp_path / "ids.pkl").write_bytes(content)
    with pytest.raises(VlmscopeError, match="refused"):
        selection.stems(tmp_path / "ids.pkl")
    with pytest.raises(VlmscopeError, match="cannot be read"):
        selection.stems(tmp_path / "nowhere.pkl")
