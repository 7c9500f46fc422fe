"""Feature files of the learn-to-steer code become states under forced answers, and the other way round."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmscope import samples
from vlmscope.config import default
from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample
from vlmscope.store import tables
from vlmscope.xl_vlms.exchange import forced
from vlmscope.xl_vlms.learned import vectors as learned_vectors

TASK = default().xl_vlms.learned.tasks["pope"].model_dump(mode="json") | {"shift": "average"}
MODULES = {"context": "block.30", "module": "block.14"}
SETTINGS = {"task": TASK | MODULES, "family": "llava"}
SPELLED = {key: f"language_model.model.layers.{name[6:]}" for key, name in MODULES.items()}
WIDTH = 6


def rows(path, n=4):
    """A sample table of POPE questions."""
    told = [json.dumps({"answer": "yes" if k % 2 else "no", "subset": "random"}) for k in range(n)]
    made = [
        Sample(f"pope-train-{k}", "pope", "train", k, f"g{k}", (f"images/{k}.jpg",), 8, 8, "?", (), told[k])
        for k in range(n)
    ]
    tables.write(samples.table(made), path, samples.SCHEMA)
    return str(path)


def released(path, seed, n=3):
    """A file of one side, with everything that the released code writes."""
    generator = torch.Generator().manual_seed(seed)

    def state():
        return torch.randn(1, WIDTH, generator=generator)

    entries = [
        {
            name: {"inputs": {"last_raw_input": state()}, "outputs": {"average": state(), "last_input": state()}}
            for name in SPELLED.values()
        }
        for _ in range(n)
    ]
    images = [[f"/data/POPE/train/images/{k}.jpg"] for k in range(n)]
    torch.save({"hidden_states": entries, "image": images, "model_predictions": [["Yes"]] * n}, path)
    return entries


@pytest.fixture
def sides(tmp_path):
    paths = [str(tmp_path / name) for name in ("pos.pth", "neg.pth")]
    return paths, [released(path, seed) for seed, path in enumerate(paths)], rows(tmp_path / "train.parquet")


def test_states_of_both_sides(sides):
    (wanted, opposite), entries, table = sides
    found = forced.read(wanted, opposite, samples.read(table), SETTINGS["task"], "llava")
    assert found.samples == [f"pope-train-{k}" for k in range(3)] and found.groups == ["no", "yes", "no"]
    for values, own, key in zip((found.wanted, found.opposite), entries, ("module", "module"), strict=True):
        expected = [one[SPELLED[key]]["outputs"]["average"][0].numpy() for one in own]
        assert np.array_equal(values, expected)
    context = [one[SPELLED["context"]]["inputs"]["last_raw_input"][0].numpy() for one in entries[0]]
    assert np.array_equal(found.context, context)


def test_what_was_read_is_written_and_read_again(sides, tmp_path):
    (wanted, opposite), _, table = sides
    target, again = str(tmp_path / "states.h5"), [str(tmp_path / "out" / f"{name}.pth") for name in ("w", "o")]
    forced.read_all([target], wanted=[wanted], opposite=[opposite], samples=[table], settings=SETTINGS)
    forced.write_all(again, states_file=target, samples=[table], settings=SETTINGS)
    one, other = learned_vectors.read(target), forced.read(*again, samples.read(table), SETTINGS["task"], "llava")
    assert one.samples == other.samples and one.groups == other.groups
    assert all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("context", "wanted", "opposite"))
    held = torch.load(again[0], weights_only=True)
    assert set(held["hidden_states"][0]) == set(SPELLED.values()) and held["image"][1] == ["images/1.jpg"]


def test_a_file_of_one_module_needs_no_number(tmp_path):
    path = str(tmp_path / "one.pth")
    entry = {"model.layers.14": {"outputs": {"average": torch.ones(1, 2)}}}
    torch.save({"hidden_states": [entry] * 2, "image": ["a", "b"]}, path)
    assert forced.states(path, "block.-2", ("outputs", "average")).tolist() == [[1, 1], [1, 1]]
    with pytest.raises(VlmscopeError, match=r"no outputs/average of block\.3"):
        forced.states(path, "block.3", ("outputs", "average"))
    with pytest.raises(VlmscopeError, match="no outputs/last_input"):
        forced.states(path, "block.14", ("outputs", "last_input"))


def test_files_of_other_pictures_are_refused(sides, tmp_path):
    (wanted, opposite), _, table = sides
    known = samples.read(table)
    with pytest.raises(VlmscopeError, match="not of the first pictures"):
        forced.read(wanted, opposite, known[1:], SETTINGS["task"], "llava")
    released(Path(opposite), 5, n=2)
    with pytest.raises(VlmscopeError, match="different samples"):
        forced.read(wanted, opposite, known, SETTINGS["task"], "llava")
