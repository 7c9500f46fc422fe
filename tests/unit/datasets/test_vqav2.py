import json

import numpy as np
import pytest
from PIL import Image

from vlmscope.datasets import vqav2
from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw

SCENES = [draw("com", seed) for seed in range(6)]


@pytest.fixture
def root(tmp_path):
    vqav2.write(SCENES, tmp_path, "val")
    return tmp_path


def content(root, stem):
    return json.loads((root / f"{stem}.json").read_text())


def decoded(runs):
    """A mask from its run lengths, as the COCO tools read it."""
    values = np.arange(len(runs["counts"])) % 2 == 1
    return np.repeat(values, runs["counts"]).reshape(runs["size"], order="F")


@pytest.mark.parametrize(
    ("mask", "counts"),
    [
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
        ([[1, 0], [0, 0]], [0, 1, 3]),
        ([[0, 1], [1, 0]], [1, 2, 1]),
        ([[0, 0], [0, 1]], [3, 1]),
        ([[0, 1, 1]], [1, 2]),
    ],
)
def test_run_lengths_go_down_the_columns_background_first(mask, counts):
    mask = np.array(mask, dtype=bool)
    runs = vqav2.run_lengths(mask)
    assert runs == {"counts": counts, "size": list(mask.shape)}
    assert (decoded(runs) == mask).all()


def test_run_lengths_of_noise_decode_to_it():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random(rng.integers(1, 9, 2)) < rng.random()
        runs = vqav2.run_lengths(mask)
        assert (decoded(runs) == mask).all() and sum(runs["counts"]) == mask.size and min(runs["counts"][1:] or [1])


def test_instances_are_the_exact_masks(root):
    coco = content(root, "instances_val2014")
    names = {one["id"]: one["name"] for one in coco["categories"]}
    scenes = {scene.seed: scene for scene in SCENES}
    assert [one["id"] for one in coco["images"]] == list(scenes)
    assert len(coco["annotations"]) == sum(len(np.unique(scene.mask)) - 1 for scene in SCENES)
    for one in coco["annotations"]:
        scene = scenes[one["image_id"]]
        mask = decoded(one["segmentation"])
        left, top, width, height = one["bbox"]
        number = one["id"] % 1000
        assert (mask == (scene.mask == number)).all()
        assert names[one["category_id"]] == scene.things[number - 1].name
        assert one["area"] == mask.sum() == mask[top : top + height, left : left + width].sum()
        assert mask[:, left].any() and mask[top].any()
        assert mask[:, left + width - 1].any() and mask[top + height - 1].any()


def test_captions_and_file_names(root):
    coco = content(root, "captions_val2014")
    assert [one["caption"] for one in coco["annotations"]] == [scene.caption for scene in SCENES]
    for one in coco["images"]:
        with Image.open(root / "val2014" / one["file_name"]) as picture:
            assert picture.size == (one["width"], one["height"])
            # Full colour resolution: every component is sampled alike.
            assert {layer[1:3] for layer in picture.layer} == {(1, 1)}


def test_ten_answers_with_confidences(root):
    for one in content(root, "v2_mscoco_val2014_annotations")["annotations"]:
        assert [answer["answer_id"] for answer in one["answers"]] == list(range(1, 11))
        assert {answer["answer_confidence"] for answer in one["answers"]} == {"yes", "maybe", "no"}
        assert {answer["answer"] for answer in one["answers"]} == {one["multiple_choice_answer"]}
        assert one["answer_type"] in ("yes/no", "number", "other")


def test_answers_come_from_the_dictionary_when_it_is_there(root):
    from_annotations = list(vqav2.read(root, "val", name="com"))
    annotations = content(root, "v2_mscoco_val2014_annotations")["annotations"]
    derived = {str(one["question_id"]): one["answers"] for one in annotations}
    path = root / "v2_mscoco_val2014_ansdict.json"
    path.write_text(json.dumps(derived))
    assert list(vqav2.read(root, "val", name="com")) == from_annotations
    path.write_text(json.dumps({key: value[:1] for key, value in derived.items()}))
    assert all(len(json.loads(one.answer)) == 1 for one in vqav2.read(root, "val", name="com"))


def test_a_question_without_answers_is_named(root):
    path = root / "v2_mscoco_val2014_annotations.json"
    path.write_text(json.dumps({"annotations": []}))
    with pytest.raises(VlmscopeError, match="6 questions have no answers"):
        list(vqav2.read(root, "val", name="com"))


def test_a_question_without_its_fields_is_refused(root):
    path = root / "v2_OpenEnded_mscoco_val2014_questions.json"
    path.write_text(json.dumps({"questions": [{"question": "?", "question_id": 1}]}))
    with pytest.raises(VlmscopeError, match="lacks image_id"):
        list(vqav2.read(root, "val", name="com"))
