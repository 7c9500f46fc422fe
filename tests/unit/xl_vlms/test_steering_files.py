"""Steering vectors from vector sets to files and back; files of the released code."""

import json

import numpy as np
import pytest

from vlmscope import samples
from vlmscope.errors import VlmscopeError
from vlmscope.settings.xl_vlms.steer import Vector
from vlmscope.store import arrays, tables, torch_files
from vlmscope.xl_vlms.exchange import steering as exchanged
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.steer import files as steering_files
from vlmscope.xl_vlms.steer import released as steering_released
from vlmscope.xl_vlms.steer import source as steering_source
from vlmscope.xl_vlms.steer import vectors as directions

CHOICES = ["yes"] * 12 + ["no"] * 8 + ["red"] * 10
TYPES = ["yes/no"] * 20 + ["other"] * 10
drawn = np.random.default_rng(0)
MIDDLES = {"yes": 0.0, "no": 4.0, "red": -20.0}
STATES = {f"block.{k}": drawn.normal(size=(30, 6)) + [[MIDDLES[one]] for one in CHOICES] for k in range(3)}


def vector(**asked):
    return Vector(task="targeted", **asked).model_dump()


def group(*answers, **more):
    return {"set": "all", "answers": list(answers), **more}


YES_NO = {"base": group("yes"), "target": group("no")}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A set of states with its sample table; the model says every "no" is a "yes" in the last two."""
    folder = tmp_path_factory.mktemp("sets")
    rows = [
        samples.Sample(
            f"q-{row}",
            "vqa",
            "train",
            row,
            "",
            ("a.jpg",),
            8,
            8,
            "?",
            (),
            json.dumps(
                {
                    "answers": [choice] * 10,
                    "choice": choice,
                    "answer_type": kind,
                    "question_type": "",
                    "question_id": row,
                }
            ),
        )
        for row, (choice, kind) in enumerate(zip(CHOICES, TYPES, strict=True))
    ]
    tables.write(samples.table(rows), folder / "train.parquet", samples.SCHEMA)
    said = [one.capitalize() for one in CHOICES]
    said[18:20] = ["Yes", "Yes"]
    vectors.write(
        folder / "all.h5",
        samples=[one.sample for one in rows],
        texts=said,
        images=["a.jpg"] * 30,
        row=np.arange(30),
        vectors={**{name: one.astype(np.float32) for name, one in STATES.items()}, "final_norm": np.ones((30, 6))},
        recipe={},
        layers=3,
    )
    return str(folder / "all.h5"), str(folder / "train.parquet")


def made(files, catalogue, **options):
    usual = {"sizes": [], "draws": 2, "shuffled": 4, "seed": 0, "swept": [], "imported": {}}
    settings = {**usual, "vectors": catalogue, **options}
    return steering_files.from_files(sets=[files[0]], tables=[files[1]], settings=settings)


def test_a_vector_is_made_at_every_block(files):
    found = made(files, {"yes-no": vector(**YES_NO)})["yes-no"]
    assert list(found.vector) == ["block.0", "block.1", "block.2"]
    for name, states in STATES.items():
        np.testing.assert_allclose(found.vector[name], states[12:20].mean(0) - states[:12].mean(0), atol=5e-3)
        assert found.shuffled[name].shape == (4, 6)
    assert (found.about["n_base"], found.about["n_target"], found.about["layers"]) == (12, 8, 3)


def test_groups_are_told_by_answer_by_type_and_by_what_was_said(files):
    source = steering_source.from_files([files[0]], [files[1]])
    asked = {"answers": [], "types": [], "said": []}
    for options, count in (({}, 30), ({"answers": ["no"]}, 8), ({"types": ["other"]}, 10), ({"said": ["yes"]}, 14)):
        assert source.chosen({"set": "all", **asked, **options}, "block.0").sum() == count
    assert source.chosen({"set": "all", **asked, "answers": ["no"], "said": ["no"]}, "block.0").sum() == 6
    blind = steering_source.from_files([files[0]], [])
    assert blind.chosen({"set": "all", **asked, "said": ["no"]}, "block.0").sum() == 6
    with pytest.raises(VlmscopeError, match="Nothing is known of the question q-0"):
        blind.chosen({"set": "all", **asked, "answers": ["no"]}, "block.0")


def test_nobody_in_a_group_is_told(files):
    with pytest.raises(VlmscopeError, match="No sample is left for the target"):
        made(files, {"a": vector(base=group("yes"), target=group("purple"))})


def test_vectors_made_of_others(files):
    catalogue = {
        "both": vector(method="sum", parts={"yes-no": 1.0, "yes-red": -2.0}),
        "clean": vector(**YES_NO, without=["yes-red"]),
        "yes-no": vector(**YES_NO),
        "yes-red": vector(base=group("yes"), target=group("red")),
    }
    found = made(files, catalogue)
    for block in STATES:
        own, other = found["yes-no"].vector[block], found["yes-red"].vector[block]
        np.testing.assert_allclose(found["both"].vector[block], own - 2 * other, atol=1e-4)
        assert abs(found["clean"].vector[block] @ other) < 1e-3
        np.testing.assert_allclose(
            np.linalg.norm(found["clean"].shuffled[block], axis=1),
            np.linalg.norm(found["clean"].vector[block]),
            rtol=1e-4,
        )


def test_a_gate_is_open_for_concepts_of_the_vectors_own_samples(files):
    found = made(files, {"yes-no": vector(**YES_NO, gate=3)})["yes-no"]
    concepts, is_open = found.concepts["block.1"], found.open["block.1"]
    place = directions.nearest(STATES["block.1"], concepts)
    assert is_open[place[:20]].all() and not is_open[place[20:]].any()


def test_fewer_samples_where_a_vector_is_varied(files):
    catalogue = {"yes-no": vector(**YES_NO), "other": vector(**YES_NO)}
    found = made(files, catalogue, sizes=[3, 8, 9], swept=["yes-no"])
    assert list(found["yes-no"].fewer) == [3, 8] and not found["other"].fewer
    assert found["yes-no"].fewer[3]["block.0"].shape == (2, 6)


def test_files_give_back_what_was_written_in_the_same_bytes(files, tmp_path):
    catalogue = {"yes-no": vector(**YES_NO, gate=3)}
    found = made(files, catalogue, sizes=[3], swept=["yes-no"])
    targets = [tmp_path / "yes-no.safetensors", tmp_path / "again" / "yes-no.safetensors"]
    for target in targets:
        steering_files.write_all(found, [str(target)])
    assert targets[0].read_bytes() == targets[1].read_bytes()
    ((name, again),) = steering_files.read_all([str(targets[0])])
    assert name == "yes-no" and again.about == found[name].about
    for field in ("vector", "shuffled", "concepts", "open"):
        for block, one in getattr(found[name], field).items():
            np.testing.assert_array_equal(getattr(again, field)[block], one)
    np.testing.assert_array_equal(again.fewer[3]["block.1"], found[name].fewer[3]["block.1"])
    # Other tools find the vector under the block's name.
    assert set(STATES) <= set(arrays.read(targets[0])[0])


def test_a_file_of_another_format_is_refused(tmp_path):
    arrays.write({"a": np.ones(3)}, tmp_path / "a.safetensors", {"format": "x"})
    with pytest.raises(VlmscopeError, match="no file of a steering vector"):
        steering_files.read(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    with pytest.raises(VlmscopeError, match="cannot be read"):
        steering_files.read(tmp_path / "b.safetensors")


def test_a_block_is_named_from_either_end():
    there = ["block.0", "block.2"]
    assert steering_source.block_of(there, "block.-1", 3, "") == "block.2"
    assert steering_source.block_of(there, "language_model.model.layers.0", 3, "") == "block.0"
    assert steering_source.block_of(["block.31"], "block.-1", 0, "") == "block.31"
    with pytest.raises(VlmscopeError, match=r"no states of 'block\.-2'"):
        steering_source.block_of(there, "block.-2", 3, "")


# ---- files of the released code ----------------------------------------------------------------------------------


def test_released_files_hold_pairs_the_other_way_round(tmp_path):
    concepts = drawn.normal(size=(3, 6)).astype(np.float32)
    held = {
        "steering_vector": concepts[:, None] - concepts,
        "steering_vector_concept_0_to_2": concepts[0] - concepts[2],
    }
    torch_files.write(held, tmp_path / "pairs.pth")
    found = steering_released.read(tmp_path / "pairs.pth", "steering_vector_concept_0_to_2")
    np.testing.assert_allclose(found, concepts[2] - concepts[0])
    with pytest.raises(VlmscopeError, match="no vector 'x'"):
        steering_released.read(tmp_path / "pairs.pth", "x")
    with pytest.raises(VlmscopeError, match="no vector of numbers"):
        steering_released.read(tmp_path / "pairs.pth")


def test_a_released_vector_takes_the_place_of_one_that_would_be_made(files, tmp_path):
    catalogue = {"yes-no": vector(**YES_NO)}
    targets = [str(tmp_path / "yes-no.safetensors")]
    ours = made(files, catalogue)
    steering_files.write_all(ours, targets)
    exchanged.write_all(targets, tmp_path / "released", vectors=catalogue)
    path = tmp_path / "released" / "shift_of_means_yes-no.pth"
    assert torch_files.read(path)["steering_vector"].dtype == np.float16
    imported = {"yes-no": {"file": str(path), "key": "steering_vector", "block": 2}}
    back = made(files, catalogue, imported=imported)["yes-no"]
    assert list(back.vector) == ["block.2"] and back.about["method"] == "imported"
    np.testing.assert_allclose(back.vector["block.2"], ours["yes-no"].vector["block.2"], atol=5e-3)
