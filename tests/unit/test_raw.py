import json

import pytest

from vlmscope import raw
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.models.tiny import recipe
from vlmscope.samples import picture
from vlmscope.store import files

SPLITS, COUNTS = {"train": "train", "val": "val"}, {"train": 4, "val": 3}


def test_what_is_drawn_is_a_benchmark_that_its_reader_reads(tmp_path):
    told = raw.draw_benchmark("rsvqa", tmp_path / "raw", SPLITS, COUNTS)
    for role, split in SPLITS.items():
        read = list(base.load("rsvqa").read(tmp_path / "raw", split, name="rs"))
        assert len(read) == COUNTS[role]
        assert picture(read[0], tmp_path / "raw").size == (read[0].width, read[0].height)
    assert (told["kind"], told["source"], told["root"]) == ("rsvqa", "drawn", str(tmp_path / "raw"))


def test_the_same_numbers_give_the_same_digest_and_others_another(tmp_path):
    digests = [
        raw.draw_benchmark("rsvqa", tmp_path / str(k), SPLITS, counts)["digest"]
        for k, counts in enumerate([COUNTS, COUNTS, {"train": 4, "val": 4}])
    ]
    assert digests[0] == digests[1] != digests[2]


def test_more_pictures_keep_the_first_ones():
    few, many = (list(raw.scenes("med", "val", count)) for count in (2, 4))
    for one, same in zip(few, many, strict=False):
        assert (one.image == same.image).all() and one.questions == same.questions


def test_recording_and_evaluation_never_share_a_scene_nor_the_training_s():
    train, val = (range(first, first + 100_000) for first in (raw.FIRST_SEED["train"], raw.FIRST_SEED["val"]))
    assert not set(train) & set(val)
    for made in recipe.RECIPES.values():
        trained, measured = range(made.scenes), range(made.fresh, made.fresh + made.measured)
        assert not any(set(mine) & set(theirs) for mine in (trained, measured) for theirs in (train, val))


def test_a_folder_of_the_user_s_is_described_by_its_tables(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "questions.json").write_text("{}")
    (tmp_path / "a.png").write_bytes(b"x")
    first = raw.find_benchmark("rsvqa", str(tmp_path))
    assert (first["files"], first["source"], first["root"]) == (1, "folder", str(tmp_path))
    (tmp_path / "deep" / "questions.json").write_text("{ }")
    assert raw.find_benchmark("rsvqa", str(tmp_path))["digest"] != first["digest"]


@pytest.mark.parametrize("root", ["", "/nowhere/at/all"])
def test_a_folder_that_is_not_there_is_told(root):
    with pytest.raises(VlmscopeError, match="RS-VQA is not there") as caught:
        raw.find_benchmark("rsvqa", root)
    assert "datasets.*.root" in caught.value.where + caught.value.instead


def test_a_manifest_is_read_back(tmp_path):
    told = raw.manifest("rsvqa", tmp_path, "drawn", {"a": "1"})
    files.write_json(told, tmp_path / "raw.json")
    assert raw.read_manifest(tmp_path / "raw.json") == told


@pytest.mark.parametrize("content", [{}, {"format": "vlmscope.raw/0"}, {"format": "vlmscope.capture/1"}])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / "raw.json").write_text(json.dumps(content))
    with pytest.raises(VlmscopeError, match="not the manifest") as caught:
        raw.read_manifest(tmp_path / "raw.json")
    assert caught.value.where == str(tmp_path / "raw.json")
