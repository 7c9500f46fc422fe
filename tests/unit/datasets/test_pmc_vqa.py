import json
from dataclasses import replace

import pytest
from PIL import Image

from vlmscope.datasets import pmc_vqa
from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw

FIRST = "Figure_path,Question,Answer,Choice A,Choice B,Choice C,Choice D,Answer_label"
SECOND = "index,Figure_path,Caption,Question,Choice A,Choice B,Choice C,Choice D,Answer,split"


@pytest.fixture
def root(tmp_path):
    for folder, names in {"images": ("a", "b", "both"), "figures": ("c", "both")}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("RGB", (4 if folder == "images" else 6, 3)).save(tmp_path / folder / f"{name}.jpg")
    first = [FIRST, "a.jpg,q1,x, A:x , B:y, C:z, D:w,A", "b.jpg,q2,C, A:x, B:y, C:z, D:w,", "both.jpg,q3,x,1,2,3,4,D"]
    (tmp_path / "train.csv").write_text("\n".join(first) + "\n")
    return tmp_path


def by_question(root, **options):
    return {one.question: one for one in pmc_vqa.read(root, "train", name="med", **options)}


def test_the_label_wins_and_the_answer_field_steps_in(root):
    rows = by_question(root)
    assert {question: json.loads(one.answer) for question, one in rows.items()} == {"q1": "A", "q2": "C", "q3": "D"}


def test_choices_keep_their_blanks_and_print_as_a_list(root):
    one = by_question(root)["q1"]
    assert one.choices == (" A:x ", " B:y", " C:z", " D:w")
    assert "Options: [' A:x ', ' B:y', ' C:z', ' D:w']\n\nAnswer with" in pmc_vqa.prompt(one, "full")


def test_figures_come_before_images(root):
    assert by_question(root)["q3"].images == ("figures/both.jpg",)
    assert by_question(root)["q1"].images == ("images/a.jpg",)


def test_the_second_version_is_added_with_numbers_that_go_on(root):
    (root / "train_2.csv").write_text(SECOND + "\n0,c.jpg,caption,q4, A: x, B: y, C: z, D: w,B,train\n")
    rows = by_question(root)
    assert {question: one.index for question, one in rows.items()} == {"q1": 0, "q2": 1, "q3": 2, "q4": 3}
    assert json.loads(rows["q4"].answer) == "B"
    assert "q4" not in by_question(root, official_repeat=True)


def test_repeating_changes_the_order_but_not_the_figures(root):
    once, twice = by_question(root), by_question(root, official_repeat=True)
    assert set(once.values()) == set(twice.values())


def test_cells_with_commas_quotes_and_line_ends(root):
    row = 'a.jpg,"q, ""x""\ny",x," A:a,b ",B,C,D,A\n'
    (root / "train.csv").write_text(FIRST + "\n" + row)
    one = next(pmc_vqa.read(root, "train", name="med"))
    assert (one.question, one.choices[0]) == ('q, "x"\ny', " A:a,b ")


@pytest.mark.parametrize("row", ["a.jpg,q", "a.jpg,,x,1,2,3,4,A", ",q,x,1,2,3,4,A", "a.jpg,q,x,1,2,3,4,", 'a.jpg,"q'])
def test_a_row_that_is_cut_is_refused(root, row):
    (root / "train.csv").write_text(FIRST + "\na.jpg,q1,x,1,2,3,4,A\n" + row)
    with pytest.raises(VlmscopeError, match="damaged or cut"):
        next(pmc_vqa.read(root, "train", name="med"))


def test_scenes_without_choices_are_refused(tmp_path):
    scene = draw("med", 0)
    bare = replace(scene, questions=tuple(replace(one, choices=()) for one in scene.questions))
    with pytest.raises(VlmscopeError, match="four choices"):
        pmc_vqa.write([bare], tmp_path, "train")
