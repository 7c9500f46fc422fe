"""Drawing maps: files, their names, and the table that says what they show."""

import numpy as np
import pytest
from PIL import Image

from vlmscope.mm_neurons.image import draw, grids, maps, masks
from vlmscope.mm_neurons.image.grids import Seen, Units
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons
from vlmscope.mm_neurons.schemas import MAPS
from vlmscope.samples import SCHEMA, Sample, table
from vlmscope.store import tables

SETTINGS = {
    "activations": ["act_fn"],
    "sizes": [1, 2, 50],
    "singles": 2,
    "percentile": 95.0,
    "interpolation": "official",
    "images": 2,
}
VALUES = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float16)


def picture():
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 10, 3), dtype=np.uint8))


@pytest.fixture
def files(tmp_path):
    """Samples 10, 9 and 2 in this order, of which 9 has no noun."""
    names = ["sbu-train-10", "sbu-train-9", "sbu-train-2", "sbu-train-3"]
    samples = [Sample(name, "sbu", "train", n, name, (), 10, 12, "", (), "") for n, name in enumerate(names)]
    tables.write(table(samples), tmp_path / "samples.parquet", SCHEMA)
    items, entries = [], []
    neurons = Neurons(np.array([2, 0, 1]), np.array([22, 5, 7]), np.ones(3))
    for name in (names[0], names[2], names[3]):
        items.append(Seen(name, picture(), (2, 2), None))
        items.append(Units("act_fn", "contribution", name, "ice cream", VALUES))
        entries.append(Entry("act_fn", "contribution", name, "ice cream", neurons))
    grids.write(tmp_path / "maps.h5", items, {})
    lists.write(tmp_path / "neurons.h5", entries, {})
    paths = {"maps_file": "maps.h5", "neurons": "neurons.h5", "samples": "samples.parquet", "folder": "maps"}
    return {name: str(tmp_path / path) for name, path in paths.items()}


def test_the_first_pictures_are_drawn_and_the_table_says_what_each_file_shows(files, tmp_path):
    found = draw.from_files(**files, settings=SETTINGS)
    tables.write(found, tmp_path / "maps.csv", MAPS)
    assert found["sample"].unique(maintain_order=True).to_list() == ["sbu-train-10", "sbu-train-2"]
    assert found["n"].to_list() == ["1", "2", "50", "L2_u22", "L0_u5"] * 2
    named = {f"{sample}.png" for sample in found["sample"]} | set(found["heat"]) | set(found["mask"])
    there = {str(path.relative_to(files["folder"])) for path in tmp_path.glob("maps/**/*.png")}
    assert named == there
    row = found.row(1, named=True)
    shown = maps.enlarge(VALUES[:2].astype(np.float64).mean(0).reshape(2, 2), (12, 10))
    assert (row["low"], row["high"]) == pytest.approx((shown.min(), shown.max()), abs=1e-6)
    for kind, own in (("heat", maps.heat(picture(), shown)), ("mask", masks.masked(picture(), masks.above(shown, 95)))):
        with Image.open(tmp_path / "maps" / row[kind]) as image:
            np.testing.assert_array_equal(np.asarray(image), np.asarray(own))


def test_without_pictures_the_folder_is_there_and_the_table_empty(files, tmp_path):
    found = draw.from_files(**files, settings=SETTINGS | {"images": 0})
    assert found.is_empty() and (tmp_path / "maps").is_dir()
    assert dict(found.schema) == MAPS


def test_two_nouns_never_share_a_file():
    nouns = ["dog", "Dog", "DOG", "a/b", "a-b", "a b", "../x", "chien", "née"]
    names = [draw.safe(noun) for noun in nouns]
    assert len({name.lower() for name in names}) == len(nouns)
    assert names[0] == "dog" and names[-1] == "née"
    assert not any("/" in name or "." in name for name in names)
