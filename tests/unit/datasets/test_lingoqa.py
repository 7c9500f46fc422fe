import json
import shutil

import polars as pl
import pytest

from vlmscope import samples
from vlmscope.datasets import lingoqa
from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw


@pytest.fixture
def root(tmp_path):
    lingoqa.write([draw("ad", seed) for seed in range(3)], tmp_path, "val")
    return tmp_path


def test_frames_option_picks_one_of_five(root):
    joined = list(lingoqa.read(root, "val", name="ad"))
    for frames, place in {"first": 0, "middle": 2, "last": 4}.items():
        single = list(lingoqa.read(root, "val", name="ad", frames=frames))
        assert [one.index for one in single] == [one.index for one in joined]
        assert [one.images for one in single] == [one.images[place : place + 1] for one in joined]
        assert {(one.width, one.height) for one in single} == {(64, 64)}
    assert {(one.width, one.height) for one in joined} == {(320, 64)}


def test_joined_picture_shows_the_frames_from_left_to_right(root):
    one = next(lingoqa.read(root, "val", name="ad"))
    whole = samples.picture(one, root)
    for k, reference in enumerate(one.images):
        part = whole.crop((64 * k, 0, 64 * (k + 1), 64))
        assert part.tobytes() == samples.open_one(reference, root).tobytes()


def test_two_references_share_a_question(root):
    answers = {}
    for one in lingoqa.read(root, "val", name="ad"):
        answers.setdefault((one.group, one.question), []).append(json.loads(one.answer))
    assert {len(pair) for pair in answers.values()} == {2}
    assert all(len({text.lower().removesuffix(".") for text in pair}) == 1 for pair in answers.values())


@pytest.mark.parametrize("option", [{"frames": "every"}, {"layout": "zip"}])
def test_unknown_options_are_refused(root, option):
    with pytest.raises(VlmscopeError, match="does not know"):
        list(lingoqa.read(root, "val", name="ad", **option))


def test_layouts_give_the_same_rows(root, tmp_path):
    official = list(lingoqa.read(root, "val", name="ad", layout="code"))
    for layout, folder in {"flat": "f", "download": "d/evaluation"}.items():
        shutil.copytree(root / "val", tmp_path / folder)
        place = tmp_path / folder.split("/")[0]
        for chosen in (layout, "auto"):
            rows = list(lingoqa.read(place, "val", name="ad", layout=chosen))
            assert [(one.question, one.answer) for one in rows] == [(one.question, one.answer) for one in official]
            samples.picture(rows[0], place)


def test_the_shipped_training_tables_are_read_one_after_the_other(tmp_path):
    for folder, seeds in {"scenery": range(2), "action": range(2, 5)}.items():
        lingoqa.write([draw("ad", seed) for seed in seeds], tmp_path / "x", "train")
        shutil.move(tmp_path / "x" / "train", tmp_path / folder)
    rows = list(lingoqa.read(tmp_path, "train", name="ad"))
    assert len(rows) == sum(len(draw("ad", seed).questions) for seed in range(5))
    assert {one.images[0].split("/")[0] for one in rows} == {"scenery", "action"}


def test_a_missing_table_is_named_where_the_released_code_expects_it(tmp_path):
    with pytest.raises(VlmscopeError) as caught:
        next(lingoqa.read(tmp_path, "val", name="ad"))
    assert caught.value.where == str(tmp_path / "val" / "val.parquet")


def test_paths_that_are_no_list_are_refused(root):
    path = root / "val" / "val.parquet"
    pl.read_parquet(path).with_columns(images=pl.lit("a.png")).write_parquet(path)
    with pytest.raises(VlmscopeError, match="lists of paths"):
        next(lingoqa.read(root, "val", name="ad"))
