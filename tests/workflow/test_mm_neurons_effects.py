"""Noise and edits of MM_Neurons: a small run, and what a change makes anew."""

import polars as pl
import pytest
from checkout import Checkout

from vlmscope.mm_neurons.edit import files as edit_files
from vlmscope.mm_neurons.edit import tables as edit_tables
from vlmscope.mm_neurons.perturb import tables as perturb_tables
from vlmscope.mm_neurons.schemas import EDITED, EFFECTS
from vlmscope.store import files, tables

HOME = "results/mm_neurons/blip"
TARGETS = (f"{HOME}/table_perturb.csv", f"{HOME}/table_edit.csv")
META = tuple(name.replace(".csv", ".meta.json") for name in TARGETS)
METHODS = ("closed_form", "optimise", "activation_shift")
PAIRS = ("red-blue", "cat-dog")

# What changes -> jobs that must run again.
NOISE = {"mm_neurons_perturb": 1, "mm_neurons_perturb_tables": 1}
EDITS = {"mm_neurons_edit": 6, "mm_neurons_edit_stack": 3, "mm_neurons_edit_tables": 1}
ONE_METHOD = {"mm_neurons_edit": 2, "mm_neurons_edit_stack": 1, "mm_neurons_edit_tables": 1}
KEYS = {
    "mm_neurons.perturb.sigmas=[0.3]": NOISE,
    "mm_neurons.perturb.kinds=[zero]": NOISE,
    "mm_neurons.measures.bootstrap=77": {"mm_neurons_perturb_tables": 1, "mm_neurons_edit_tables": 1},
    "mm_neurons.measures.k=[1, 3]": {},
    "mm_neurons.edit.tested=5": EDITS,
    "mm_neurons.edit.margins=[1.5]": ONE_METHOD,
    "mm_neurons.edit.rate=0.01": ONE_METHOD,
    "mm_neurons.edit.neurons.activation_shift=3": ONE_METHOD,
    "mm_neurons.edit.pairs=[{source: red, target: blue}]": {"mm_neurons_edit_tables": 1},
    "mm_neurons.edit.pairs=[{source: red, target: blue}, {source: cat, target: dog}, {source: dog, target: cup}]": {
        "mm_neurons_edit": 3,
        "mm_neurons_edit_stack": 3,
        "mm_neurons_edit_tables": 1,
    },
}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which neurons of a few captions got noise and words were edited."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("changed") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1")
    return checkout


def test_neurons_of_every_list_and_random_ones_were_changed(changed):
    effects = tables.read(changed.folder / HOME / "effects.parquet", EFFECTS)
    sets = effects.select("set", "activation").unique()
    both = ("act_fn", "down_proj_input")
    assert set(sets.iter_rows()) == {
        *((name, activation) for name in ("contribution", "activation", "random_layers") for activation in both),
        ("gradient", "down_proj_input"),
        ("random", ""),
    }
    assert effects["sample"].n_unique() == 2 and set(effects["sigma"]) == {2.0, 8.0, None}
    table = tables.read(changed.folder / TARGETS[0], perturb_tables.PERTURB)
    assert len(table) == len(effects.select("set", "activation", "kind", "k", "sigma").unique())
    assert table["paper"].is_null().all()
    examples = tables.read(changed.folder / HOME / "table_perturb_examples.csv", perturb_tables.EXAMPLES)
    assert set(examples["image_id"]) == set(effects["sample"])


def test_both_tables_say_what_made_them(changed):
    for table, path in zip(TARGETS, META, strict=True):
        told = files.read_json(changed.folder / path)
        assert told["digest"] == files.digest(changed.folder / table) and "blip" in told["checkpoint"]


def test_every_edit_has_a_file_rows_and_a_line(changed):
    table = tables.read(changed.folder / TARGETS[1], edit_tables.EDIT)
    lines = set(table.select("source", "method", "applied").iter_rows())
    ways = ("alone", "stacked")
    assert lines == {(pair.split("-")[0], method, way) for pair in PAIRS for method in METHODS for way in ways}
    for pair in PAIRS:
        for method in METHODS:
            found = edit_files.read(changed.folder / HOME / "edits" / f"{pair}-{method}.safetensors")
            rows = tables.read(changed.folder / HOME / "edits" / f"{pair}-{method}.parquet", EDITED)
            assert f"{found.about['source']}-{found.about['target']}" == pair and found.about["method"] == method
            counts = [rows.filter(role=role).height for role in ("made", "general", "local")]
            line = table.filter(source=found.about["source"], method=method, applied="alone")
            assert list(line.select("success_n", "generality_n", "locality_n").row(0)) == counts
            assert line["K"][0] == len(found.layer)
    assert table.filter(pl.col("success_n") == 0)["success"].is_null().all()


@pytest.mark.parametrize("change", sorted(KEYS))
def test_a_change_makes_anew_what_depends_on_it_and_nothing_else(change, changed):
    assert changed.planned(change, TARGETS) == KEYS[change]
