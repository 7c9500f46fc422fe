"""Feature files of the released code: every variant is read, what is written is what was read."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.store import torch_files
from vlmscope.xl_vlms.exchange import features, sets
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.sets.plan import Sets

GOLDEN = Path(__file__).parents[2] / "golden" / "xl_vlms"
IMAGES = [f"/data/coco/train2014/COCO_train2014_{number:012d}.jpg" for number in (9, 25, 9)]
NAMES = ("language_model.model.layers.30", "language_model.model.norm")


def written(path, **change):
    """A file as the released code writes it."""
    generator = torch.Generator().manual_seed(0)
    states = [{name: torch.randn(1, 1, 8, generator=generator).half() for name in NAMES} for _ in IMAGES]
    content = {
        "hidden_states": states,
        "token_of_interest_mask": [torch.tensor([flag]) for flag in (True, False, True)],
        "image": [[image] for image in IMAGES],
        "model_predictions": [["a dog"], ["a cat"], ["two dogs"]],
    }
    torch.save({key: value for key, value in (content | change).items() if value is not None}, path)
    return states


def imported(tmp_path, position=None, part="outputs/average", **change):
    states = written(tmp_path / "dog.pth", **change)
    target = tmp_path / "dog.h5"
    sets.read(str(target), file=str(tmp_path / "dog.pth"), name="dog", position=position, part=part)
    return states, target


def test_a_file_becomes_a_set(tmp_path):
    states, path = imported(tmp_path)
    assert vectors.modules(path) == ["block.30", "final_norm"]
    found = vectors.read(path, NAMES[0])
    assert found.rows.tolist() == [0, 2] and found.total == 3 and found.texts == ["a dog", "two dogs"]
    # A picture may stand in the list twice.
    assert found.samples == ["COCO_train2014_000000000009", "COCO_train2014_000000000009.1"]
    assert found.images == ["train2014/COCO_train2014_000000000009.jpg"] * 2
    assert np.array_equal(found.values, [states[row][NAMES[0]][0, 0].float().numpy() for row in (0, 2)])
    with vectors.opened(path) as file:
        assert file["found"][()].tolist() == [True, False, True] and file["vectors/block.30"].dtype == np.float16


VARIANTS = {
    "one mask": {"token_of_interest_mask": torch.tensor([True, False, True])},
    "a list of bools": {"token_of_interest_mask": [True, False, True]},
    "flat pictures": {"image": IMAGES},
    "no texts": {"model_predictions": None},
    "flat texts": {"model_predictions": ["a dog", "a cat", "two dogs"]},
}


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_says_the_same(tmp_path, change):
    states, path = imported(tmp_path, **change)
    found = vectors.read(path, "final_norm")
    assert found.rows.tolist() == [0, 2] and found.images[0] == "train2014/COCO_train2014_000000000009.jpg"
    assert np.array_equal(found.values[1], states[2][NAMES[1]][0, 0].float().numpy())


def test_a_table_of_lists_is_read_like_a_list_of_tables(tmp_path):
    states = written(tmp_path / "one.pth")
    written(tmp_path / "two.pth", hidden_states={name: [one[name][0] for one in states] for name in NAMES})
    one, two = (features.read(tmp_path / name) for name in ("one.pth", "two.pth"))
    assert all(np.array_equal(a, b) for name in NAMES for a, b in zip(one.states[name], two.states[name], strict=True))


def test_without_a_mask_every_sample_counts(tmp_path):
    _, path = imported(tmp_path, token_of_interest_mask=None)
    assert vectors.read(path, "final_norm").rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize("change", [{}, VARIANTS["no texts"], {"token_of_interest_mask": None}], ids=str)
def test_what_was_imported_is_exported_as_it_was(tmp_path, change):
    _, path = imported(tmp_path, **change)
    sets.write(str(tmp_path / "again.pth"), vectors_file=str(path), family="llava")
    one, again = (torch.load(tmp_path / name, weights_only=True) for name in ("dog.pth", "again.pth"))
    assert list(one) == [key for key in one if key in again] and set(one) == set(again)
    for key in set(one) - {"hidden_states"}:
        assert one[key] == again[key]
    for before, after in zip(one["hidden_states"], again["hidden_states"], strict=True):
        assert set(before) == set(after)
        for name in before:
            assert before[name].dtype == after[name].dtype and torch.equal(before[name], after[name])


def test_our_own_sets_are_exported_under_released_names(tmp_path):
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    names = {"samples": ["a", "b", "c"], "texts": ["x", "y", "z"], "images": ["1.jpg", "2.jpg", "3.jpg"]}
    recipe = {"settings": {"rule": "word"}, "released": {}}
    rows = {"row": np.array([0, 2]), "vectors": {"block.3": values, "final_norm": values}}
    vectors.write(tmp_path / "dog.h5", **names, **rows, recipe=recipe)
    sets.write(str(tmp_path / "dog.pth"), vectors_file=str(tmp_path / "dog.h5"), family="qwen2_vl")
    held = features.read(tmp_path / "dog.pth")
    assert set(held.states) == {"model.layers.3", "model.norm"} and held.images == ["1.jpg", "3.jpg"]
    assert np.array_equal(features.matrix(held.states["model.norm"]), values)
    assert held.found.tolist() == [True, True] and held.texts == ["x", "z"]
    vectors.write(tmp_path / "dog.h5", **names, **rows, recipe={"settings": {"rule": "before_end"}, "released": {}})
    sets.write(str(tmp_path / "mean.pth"), vectors_file=str(tmp_path / "dog.h5"), family="molmo")
    assert features.read(tmp_path / "mean.pth").found is None


def test_the_feature_matrix_is_the_released_one():
    with np.load(GOLDEN / "feature_matrix.npz") as golden:
        states = list(golden["inputs"])
        np.testing.assert_allclose(features.matrix([one[None] for one in states]), golden["mean"], atol=1e-6)
        np.testing.assert_allclose(features.matrix(states), golden["two_dim_mean"], atol=1e-6)
        assert np.array_equal(features.matrix(states, 2), golden["pos2"])
        with pytest.raises(VlmscopeError, match="no position 4"):
            features.matrix(states, 4)


def test_states_of_nothing_are_left_out(tmp_path, caplog):
    caplog.set_level("INFO")
    states = [{NAMES[1]: torch.full((1, 1, 4), value)} for value in (1.0, float("nan"), 3.0)]
    _, path = imported(tmp_path, hidden_states=states, token_of_interest_mask=None)
    assert vectors.read(path, "final_norm").rows.tolist() == [0, 2]
    assert "1 of 3 states are no numbers" in caplog.text


def l2s(width=4):
    def entry():
        state = {"average": torch.randn(1, width), "last_input": torch.randn(1, width)}
        return {"inputs": {"last_raw_input": torch.randn(1, width)}, "outputs": state}

    return [{"model.language_model.layers.14": entry()} for _ in IMAGES]


@pytest.mark.parametrize("part", ["outputs/average", "outputs/last_input", "inputs/last_raw_input"])
def test_learn_to_steer_features_have_three_states(tmp_path, part):
    held = l2s()
    _, path = imported(tmp_path, part=part, hidden_states=held, token_of_interest_mask=None)
    side, _, name = part.partition("/")
    expected = [one["model.language_model.layers.14"][side][name][0].half().float().numpy() for one in held]
    assert np.array_equal(vectors.read(path, "block.14").values, expected)


BAD = {
    "no states": ({"hidden_states": None}, "has no hidden_states"),
    "no samples": ({"hidden_states": []}, "no states by module"),
    "text states": ({"hidden_states": [{NAMES[0]: "x"}] * 3}, "no tensor of numbers"),
    "whole numbers": ({"hidden_states": [{NAMES[0]: torch.ones(1, 1, 2).long()}] * 3}, "no tensor of numbers"),
    "two samples": ({"hidden_states": [{NAMES[0]: torch.ones(2, 1, 2)}] * 3}, "more than one sample"),
    "widths": ({"hidden_states": [{NAMES[0]: torch.ones(1, 1, n)} for n in (2, 2, 3)]}, "differ in width"),
    "modules": ({"hidden_states": [{NAMES[k % 2]: torch.ones(1, 1, 2)} for k in range(3)]}, "same modules"),
    "short mask": ({"token_of_interest_mask": [True]}, "does not tell of 3"),
    "odd mask": ({"token_of_interest_mask": [2, 1, 0]}, "does not tell of 3"),
    "no pictures": ({"image": None}, "no list image"),
    "few pictures": ({"image": IMAGES[:2]}, "no text for each of 3"),
    "odd texts": ({"model_predictions": [1, 2, 3]}, "no text for each of 3"),
    "unknown module": ({"hidden_states": [{"vision_tower": torch.ones(1, 1, 2)}] * 3}, "names no place"),
    "twice": ({"hidden_states": [{"model.norm": torch.ones(1, 1, 2), NAMES[1]: torch.ones(1, 1, 2)}] * 3}, "the same"),
    "part": ({"hidden_states": l2s()}, "several states of every sample"),
}


@pytest.mark.parametrize(("change", "problem"), BAD.values(), ids=BAD)
def test_what_is_no_feature_file_is_refused(tmp_path, change, problem):
    with pytest.raises(VlmscopeError, match=re.escape(problem)):
        imported(tmp_path, part="inputs/average", **change)
    assert not (tmp_path / "dog.h5").exists()


def test_a_list_in_place_of_a_table_is_refused(tmp_path):
    torch_files.write([1, 2], tmp_path / "dog.pth")
    with pytest.raises(VlmscopeError, match="has no hidden_states"):
        features.read(tmp_path / "dog.pth")


def test_only_named_sets_of_a_model_are_imported():
    imported = {"llava15": {"dog": "a.pth", "cat": "b.pth"}, "molmo": {}}
    exchange = SimpleNamespace(imported=imported, forced={})
    config = SimpleNamespace(xl_vlms=SimpleNamespace(sets={}, exchange=exchange), captures={}, models={})
    pattern = re.compile(rf"results/(?P<model>{Sets(config).importing()})/vectors/(?P<set>[^/]+)\.h5")
    assert pattern.fullmatch("results/llava15/vectors/dog.h5")
    assert not pattern.fullmatch("results/llava15/vectors/doggy.h5")
    assert not pattern.fullmatch("results/molmo/vectors/dog.h5")
    exchange.imported.clear()
    assert Sets(config).importing() == "(?!)"
