"""Maps from files to files: a noun's best neurons and, as a control, random ones, each under its method."""

import numpy as np
import tiny_families

from vlmscope import raw
from vlmscope.capture import batches, shard
from vlmscope.datasets import base as datasets
from vlmscope.mm_neurons.image import grids
from vlmscope.mm_neurons.image import units as image_units
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons
from vlmscope.samples import SCHEMA, table
from vlmscope.store import files, tables

KINDS = ("act_fn", "down_proj_input")
SETTINGS = {"kind": "sbu", "prompt": "chat", "begin": "", "activations": list(KINDS), "units": 5, "control": 3}


def listed(loaded, seed):
    site = loaded.family.site("mlp_gate")
    layers, units = site.layers(loaded.config), site.width(loaded.config)
    layer, unit = np.divmod(np.random.default_rng(seed).permutation(layers * units)[:8], units)
    return Neurons(layer.astype(np.uint8), unit.astype(np.uint16), np.zeros(8, np.float32))


def test_best_and_random_neurons_are_kept_under_their_methods(tmp_path):
    loaded = tiny_families.loaded("llava", fingerprint="f")
    raw.draw_benchmark("sbu", tmp_path / "drawn", {"train": "train"}, {"train": 3})
    samples = list(datasets.load("sbu").read(tmp_path / "drawn", "train", name="sbu"))
    tables.write(table(samples), tmp_path / "samples.parquet", SCHEMA)
    files.write_json({"format": "vlmscope.raw/1", "root": str(tmp_path / "drawn")}, tmp_path / "raw.json")
    keys = [(samples[0].sample, "dog"), (samples[2].sample, "dog"), (samples[2].sample, "cat")]
    methods = ("contribution", "random", "activation")
    found = {
        (activation, method, *key): listed(loaded, sum(map(ord, activation + method + "".join(key))))
        for activation in KINDS
        for method in methods
        for key in keys
    }
    lists.write(tmp_path / "neurons.h5", [Entry(*key, neurons) for key, neurons in found.items()], {})
    image_units.from_files(
        loaded,
        raw=tmp_path / "raw.json",
        samples=tmp_path / "samples.parquet",
        neurons=tmp_path / "neurons.h5",
        settings=SETTINGS,
        batch=2,
        target=tmp_path / "maps.h5",
    )
    ask = shard.prompts(loaded, datasets.load("sbu"), "chat")
    with grids.opened(tmp_path / "maps.h5") as file:
        assert all(sorted(file[kind]) == ["contribution", "random"] for kind in KINDS)
        for method, count in (("contribution", 5), ("random", 3)):
            best = {
                kind: image_units.nested(lists.read(tmp_path / "neurons.h5", kind, method, count)) for kind in KINDS
            }
            for batch in batches.prefill(loaded, samples, ask, batches.picture_of(tmp_path / "drawn"), 2):
                names = [samples[row].sample for row in batch.rows]
                for one in image_units.gather(loaded, batch, names, best).units:
                    values = grids.read(file, one.activation, method, one.sample, one.noun)
                    assert len(values) == count
                    np.testing.assert_allclose(values.reshape(one.values.shape), one.values, atol=2e-3)
        assert (
            sum(
                len(grids.nouns(file, "act_fn", "random", one.sample))
                for one in samples
                if one.sample in file["samples"]
            )
            == 3
        )
