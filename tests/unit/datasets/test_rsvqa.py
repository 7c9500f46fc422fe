import json

import pytest
from PIL import Image

from vlmscope.datasets import rsvqa
from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw


def save(root, part, rows, split="val"):
    (root / f"USGS_split_{split}_{part}.json").write_text(json.dumps({part: rows}))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "Data").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "Data" / "0.tif")
    Image.new("RGB", (5, 5)).save(tmp_path / "Data" / "1.png")
    save(
        tmp_path,
        "questions",
        [
            {"id": 0, "active": False},
            {"id": 1, "active": True, "img_id": 0, "question": "p", "answers_ids": [2]},
            {"id": 2, "active": True, "img_id": 1, "question": "q", "answers_ids": [1, 2]},
        ],
    )
    save(tmp_path, "answers", [{"id": 0, "active": False}, {"id": 1, "answer": "yes"}, {"id": 2, "answer": "no"}])
    return tmp_path


def test_both_picture_formats_are_read_and_the_first_answer_counts(root):
    rows = {one.question: one for one in rsvqa.read(root, "val", name="rs")}
    assert rows["p"].images == ("Data/0.tif",) and json.loads(rows["p"].answer) == {"id": 2, "answer": "no"}
    assert rows["q"].images == ("Data/1.png",) and json.loads(rows["q"].answer) == {"id": 1, "answer": "yes"}


@pytest.mark.parametrize("numbers", [[], [7], [-1]])
def test_a_question_that_points_at_no_answer_is_refused(root, numbers):
    save(
        root,
        "questions",
        [{"id": 0, "active": True, "img_id": 0, "question": "p", "answers_ids": numbers}],
    )
    with pytest.raises(VlmscopeError, match="there is no answer"):
        list(rsvqa.read(root, "val", name="rs"))


@pytest.mark.parametrize("entry", [{}, {"active": True}, 3, {"active": True, "img_id": 0, "question": "p"}])
def test_an_entry_without_its_fields_is_refused(root, entry):
    save(root, "questions", [entry])
    with pytest.raises(VlmscopeError, match="an entry lacks"):
        list(rsvqa.read(root, "val", name="rs"))


def test_an_answer_that_is_a_stub_is_refused(root):
    save(root, "questions", [{"id": 0, "active": True, "img_id": 0, "question": "p", "answers_ids": [0]}])
    with pytest.raises(VlmscopeError, match="an entry lacks answer"):
        list(rsvqa.read(root, "val", name="rs"))


def test_written_files_hold_stubs_and_numbers_that_are_places(tmp_path):
    rsvqa.write([draw("rs", seed) for seed in range(4)], tmp_path, "train")
    for part in ("questions", "answers"):
        rows = json.loads((tmp_path / f"USGS_split_train_{part}.json").read_text())[part]
        assert [row["id"] for row in rows] == list(range(len(rows)))
        assert 0 < sum(not row["active"] for row in rows) < len(rows) / 3
