"""Measures of MM_Neurons: a small run, what a change makes anew, and what the shipped models show."""

import polars as pl
import pytest
from checkout import Checkout

from vlmscope.mm_neurons.measures import invariance, layers, semantic, sensitivity, specificity
from vlmscope.store import files, tables

MODEL = "llava-llama2"
TABLES = {
    "table_semantic.csv": semantic.SEMANTIC,
    "table_semantic_long.csv": semantic.LONG,
    "table_region_invariance.csv": invariance.REGION,
    "table_cross_image.csv": invariance.CROSS,
    "table_specificity.csv": specificity.SPECIFICITY,
    "layers.csv": layers.LAYERS,
    "layer_profile.csv": layers.PROFILE,
    "table_image_sensitivity.csv": sensitivity.SENSITIVITY,
}
FIGURES = ("fig_layers.svg", "fig_measures.svg")


def targets(*names: str, model: str = MODEL) -> tuple[str, ...]:
    return tuple(f"results/mm_neurons/{model}/{name}" for name in names)


TARGETS = targets(*TABLES, *FIGURES)
# Rules that read results alone.
READING = {
    *("semantic", "region", "cross", "specificity", "layers", "sensitivity", "measures"),
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the neurons of a few captions were measured."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("measured") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1")
    return checkout


def read(checkout: Checkout, name: str, model: str = MODEL) -> pl.DataFrame:
    return tables.read(checkout.folder / targets(name, model=model)[0], TABLES[name])


def test_every_table_has_its_columns_and_every_method(measured):
    methods = {"contribution", "activation", "gradient", "random", "contribution_negative"}
    for name in TABLES:
        found = read(measured, name)
        wanted = {
            "table_region_invariance.csv": methods - {"gradient"},
            "table_image_sensitivity.csv": {"contribution", "random"},
        }
        assert wanted.get(name, methods) <= set(found["method"]), name
        assert set(found["activation"]) == {"act_fn", "down_proj_input"}, name
        if "paper" in found.columns:
            assert found["paper"].is_null().all(), name


def test_a_companion_says_what_made_a_table(measured):
    name = "table_specificity"
    told = files.read_json(measured.folder / targets(f"{name}.meta.json")[0])
    assert told["digest"] == files.digest(measured.folder / targets(f"{name}.csv")[0])
    assert (told["scale"], told["settings"]["k"]) == ("tiny", read(measured, f"{name}.csv")["k"].unique().to_list())
    assert told["checkpoint"][MODEL]["checkpoint"] == f"weights/{MODEL}" and told["data"]["sbu"]["source"] == "drawn"
    assert told["inputs"] == {path: files.digest(measured.folder / path) for path in told["inputs"]}
    assert targets("neurons.h5")[0] in told["inputs"] and told["code"] and told["notes"]


def test_stand_ins_are_named_where_they_score(measured):
    found = read(measured, "table_semantic.csv")
    for name in semantic.SCORES:
        assert set(found[f"{name}_by"]) == {semantic.STAND_INS[name]}
    long = read(measured, "table_semantic_long.csv").filter(pl.col("measure").is_in(semantic.SCORES))
    assert long["by"].str.starts_with("stand_in_").all()


def test_drawn_pictures_have_regions(measured):
    found = read(measured, "table_image_sensitivity.csv")
    assert set(found["regions"]) == {sensitivity.DRAWN}
    assert (found["nouns"] > 0).all()


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("mm_neurons.measures.bootstrap=77", READING),
        ("mm_neurons.measures.k=[1, 3]", READING),
        ("mm_neurons.measures.m_images=[2]", {"cross", "measures"}),
        ("mm_neurons.measures.ends=top", {"similarities", "semantic", "measures"}),
        ("mm_neurons.measures.texts=3", {"similarities", "semantic", "measures"}),
        ("mm_neurons.maps.percentile=90", {"sensitivity"}),
        ("mm_neurons.perturb.sigmas=[0.3]", set()),
    ],
)
def test_a_measure_s_setting_makes_no_pass_of_the_model_anew(measured, change, again):
    planned = {key for key, count in measured.planned(change, TARGETS).items() if count}
    assert planned == {f"mm_neurons_{name}" for name in again}


# ---- what the shipped models show (mm_neurons.md 11, checks 14 and 16) -----------------------------------------------

SHIPPED = ("llava-llama2", "blip", "mplug-owl2")


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """Tables of a shipped model at the settings of config.yaml."""
    checkout = Checkout.copy(tmp_path_factory.mktemp(request.param) / "vlmscope")
    names = ("table_semantic.csv", "table_region_invariance.csv", "table_cross_image.csv")
    checkout.run(*targets(*names, model=request.param), "--cores", "2", overlays=())
    return {name: read(checkout, name, request.param) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["act_fn", "down_proj_input"])
def test_neurons_of_a_noun_write_it_more_often_than_the_most_active_ones(shipped, activation):
    found = match_at_ten(shipped, activation)
    assert found["contribution"]["ci_low"] > found["activation"]["ci_high"]


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["act_fn", "down_proj_input"])
def test_neurons_of_a_noun_write_it_more_often_than_random_ones(shipped, activation):
    found = match_at_ten(shipped, activation)
    assert found["contribution"]["ci_low"] > found["random"]["ci_high"]


def match_at_ten(shipped: dict[str, pl.DataFrame], activation: str) -> dict[str, dict]:
    own = shipped["table_semantic.csv"].filter(activation=activation, k=10, ref="noun")
    return {row["method"]: row for row in own.iter_rows(named=True)}


@pytest.mark.slow
def test_shuffled_patches_keep_more_of_a_noun_s_neurons_than_chance(shipped):
    table = shipped["table_region_invariance.csv"]
    own, random = (table.filter(method=method).drop("method") for method in ("contribution", "random"))
    both = own.join(random, on=["activation", "k", "mode"], suffix="_random")
    assert len(both) == len(own) > 0
    assert (both["ci_low"] > both["ci_high_random"]).all()


@pytest.mark.slow
def test_a_noun_shares_more_neurons_with_itself_in_other_pictures_than_with_other_nouns(shipped):
    table = shipped["table_cross_image.csv"].filter(method="contribution")
    assert len(table) > 0
    assert (table["gap_low"] > 0).all()
    random = shipped["table_cross_image.csv"].filter(method="random")
    assert (random["gap_low"] < 0.02).all() and (random["gap_high"] > -0.02).all()
