"""Pictures with objects: what is read of COCO's files and of the released questions."""

import json

import numpy as np
import pytest
from PIL import Image

from vlmscope import samples
from vlmscope.datasets import coco_objects
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import selection
from vlmscope.llava_interp.asking.geometry import View
from vlmscope.llava_interp.asking.selection import Filter

SQUARE = [[12, 2, 22, 2, 22, 12, 12, 12]]
CROWD = {"size": [30, 40], "counts": [100, 50, 1050]}


def annotation(number, image, category=1, **more):
    found = {"id": number, "image_id": image, "category_id": category, "segmentation": SQUARE, "area": 100.0}
    return found | {"bbox": [12, 2, 10, 10], "iscrowd": 0} | more


@pytest.fixture
def root(tmp_path):
    """Four pictures of several kinds; the second is a crowd beside a cat, the fourth has nothing."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    modes = ("RGB", "CMYK", "L", "RGB")
    images = [{"id": k, "file_name": f"{k:012d}.jpg", "width": 40, "height": 30} for k in range(4)]
    for one, mode in zip(images, modes, strict=True):
        Image.new(mode, (40, 30)).save(tmp_path / "val2017" / one["file_name"], "JPEG")
    annotations = [
        annotation(10, 0),
        annotation(11, 1, 2, segmentation=CROWD, area=50.0, iscrowd=1),
        annotation(12, 1),
        annotation(13, 2),
        annotation(14, 2),
        annotation(15, 2, 2),
        annotation(16, 2, 3, area=1.0),
    ]
    categories = [{"id": k, "name": name} for k, name in ((1, "cat"), (2, "crowd of birds"), (3, "tiny thing"))]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps(content))
    questions = {"0": ["Was ist auf dem Stuhl? 猫"], "1": [], "2": ["What is it?"]}
    (tmp_path / "clean_questions.json").write_text(json.dumps(questions), encoding="utf-8")
    return tmp_path


def test_objects_stand_in_the_order_of_the_file_with_their_classes(root):
    read = list(coco_objects.read(root, "val", name="x"))
    answers = [json.loads(one.answer) for one in read]
    assert [one["image_id"] for one in answers] == [0, 1, 2, 3]
    assert [[each["id"] for each in one["objects"]] for one in answers] == [[10], [11, 12], [13, 14, 15, 16], []]
    assert answers[1]["objects"][0]["crowd"] and answers[1]["objects"][0]["segmentation"] == CROWD
    assert [one.question for one in read] == ["Was ist auf dem Stuhl? 猫", "", "What is it?", ""]


def test_pictures_with_many_objects_can_be_left_out(root):
    assert [one.index for one in coco_objects.read(root, "val", name="x", most=3)] == [0, 1, 3]
    assert [one.index for one in coco_objects.read(root, "val", name="x", most=1)] == [0, 3]


def test_every_picture_is_read_as_colours(root):
    for one in coco_objects.read(root, "val", name="x"):
        assert np.asarray(samples.picture(one, root)).shape == (30, 40, 3)


def test_a_crowd_is_never_the_object(root):
    read = coco_objects.read(root, "val", name="x")
    found, funnel = selection.targets(read, Filter(4, 0, 1000), View(24, 6), "official")
    assert [(one.ann_id, one.name) for one in found] == [(10, "cat"), (12, "cat"), (15, "crowd of birds")]
    assert funnel == {"pictures": 4, "with_object": 3, "in_view": 3}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("annotations/instances_val2017.json", []),
        ("annotations/instances_val2017.json", {"images": [], "annotations": {}, "categories": []}),
        ("annotations/instances_val2017.json", {"images": [], "annotations": [{"id": 1}], "categories": []}),
        ("annotations/instances_val2017.json", {"images": [], "annotations": [annotation(1, 1, 9)], "categories": []}),
        ("clean_questions.json", {"0": "What is it?"}),
        ("clean_questions.json", ["What is it?"]),
    ],
    ids=range(6),
)
def test_another_layout_is_refused_by_name(root, file, content):
    (root / file).write_text(json.dumps(content))
    with pytest.raises(VlmscopeError, match="damaged") as caught:
        list(coco_objects.read(root, "val", name="x"))
    assert file.rpartition("/")[2] in str(caught.value)
