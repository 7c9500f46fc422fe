"""Tables of noise on neurons: images weigh the same, controls are those of the same images."""

import polars as pl
import pytest

from vlmscope.mm_neurons.perturb import tables as perturb_tables
from vlmscope.mm_neurons.schemas import CAPTIONS, EFFECTS
from vlmscope.stats import Draws
from vlmscope.store import tables

DRAWS = Draws(500, 0)
ALIKE = {"bertscore": "", "bertscore_layer": 1, "moverscore": "", "bleurt": "", "bootstrap": 100, "seed": 0}


def row(sample, noun, name, gone, *, draw=0, activation="act_fn", k=10, dlogp=-1.0, caption="a cat", sigma=1.0):
    kind = "zero" if sigma is None else "noise"
    values = (sample, noun, name, activation, draw, kind, k, sigma, gone, dlogp, gone, caption)
    return dict(zip(EFFECTS, values, strict=True))


@pytest.fixture
def effects():
    """Two images; one has two nouns, so its three rows must not outweigh the other's one."""
    rows = [
        row("x", "cat", "contribution", True, dlogp=-4.0),
        row("x", "dog", "contribution", True, dlogp=-2.0),
        row("y", "cat", "contribution", False, dlogp=0.0),
        *(row("x", noun, "random", draw == 0, draw=draw, activation="") for noun in ("cat", "dog") for draw in (0, 1)),
        *(row("y", "cat", "random", False, draw=draw, activation="") for draw in (0, 1)),
        *(row(image, "cat", "random_layers", False) for image in "xy"),
        row("x", "cat", "activation", True, k=50),
    ]
    return pl.DataFrame(rows, schema=EFFECTS).with_columns(bertscore=pl.lit(0.5))


def of(table, name, k=10):
    return table.row(by_predicate=(pl.col("set") == name) & (pl.col("k") == k), named=True)


def test_images_weigh_the_same_whatever_their_nouns_and_draws(effects, tmp_path):
    table = perturb_tables.table(effects, "by", DRAWS)
    own = of(table, "contribution")
    assert (own["noun_gone"], own["dlogp"], own["caption_changed"], own["bertscore"]) == (0.5, -1.5, 0.5, 0.5)
    assert (own["n"], own["nouns"], own["draws"]) == (2, 3, 1)
    assert of(table, "random")["noun_gone"] == 0.25 and of(table, "random")["draws"] == 2
    assert own["ci_low"] == 0 and own["ci_high"] == 1 and own["paper"] is None
    assert table["bertscore_by"].unique().to_list() == ["by"]
    tables.write(table, tmp_path / "table.csv", perturb_tables.PERTURB)


def test_controls_are_taken_off_image_by_image(effects):
    table = perturb_tables.table(effects, "", DRAWS)
    own = of(table, "contribution")
    # x: 1 - 1/2, y: 0 - 0; dlogp: -3 + 1, 0 + 1.
    assert own["gone_more"] == 0.25 and own["dlogp_more"] == -0.5 and own["layers_more"] == 0.5
    assert own["gone_more_low"] == 0 and own["gone_more_high"] == 0.5
    assert of(table, "random_layers")["gone_more"] == -0.25
    assert of(table, "random_layers")["layers_more"] is None
    assert of(table, "random")["gone_more"] is None
    assert of(table, "activation", 50)["gone_more"] is None, "no random set of this size"


def test_zeros_are_compared_with_zeros(effects):
    more = [
        row("x", "cat", "contribution", True, sigma=None, dlogp=-6.0),
        row("x", "cat", "random", False, sigma=None, activation="", dlogp=-1.0),
        row("x", "cat", "random_layers", False, sigma=None, dlogp=-2.0),
    ]
    both = effects.vstack(pl.DataFrame(more, schema=EFFECTS).with_columns(bertscore=pl.lit(0.5)))
    table = perturb_tables.table(both, "", DRAWS)
    noise, zero = (table.filter(kind=kind) for kind in ("noise", "zero"))
    assert noise.equals(perturb_tables.table(effects, "", DRAWS)) and table.equals(pl.concat([noise, zero]))
    own = of(zero, "contribution")
    assert own["sigma"] is None and own["n"] == 1
    assert (own["gone_more"], own["layers_more"], own["dlogp_more"], own["layers_dlogp_more"]) == (1, 1, -5, -4)
    captions = pl.DataFrame([(name, f"a {name}", [1], None, 0) for name in "xy"], schema=CAPTIONS, orient="row")
    found = perturb_tables.examples(both.drop("bertscore"), captions).filter(kind="zero")
    assert found.rows() == [("x", "cat", "a x", "a cat", "a cat", "act_fn", "zero", 10, None)]


def test_sets_stand_in_their_order(effects):
    table = perturb_tables.table(effects, "", DRAWS)
    assert table["set"].to_list() == ["contribution", "random", "random_layers", "activation"]


def test_examples_show_the_caption_three_times(effects):
    captions = pl.DataFrame([(name, f"a {name}", [1], None, 0) for name in "xy"], schema=CAPTIONS, orient="row")
    changed = effects.with_columns(caption=pl.concat_str("set", pl.col("draw").cast(pl.String)))
    found = perturb_tables.examples(changed.drop("bertscore"), captions)
    assert found.columns[:5] == ["image_id", "noun", "original", "perturbed", "random"]
    assert found.row(1) == ("x", "dog", "a x", "contribution0", "random0", "act_fn", "noise", 10, 1.0)


def test_captions_are_compared_by_a_stand_in_that_is_named(effects, manifest, tmp_path):
    captions = pl.DataFrame(
        [("x", "a red cat in the park", [1], None, 0), ("y", "a red dog in the park", [1], None, 0)],
        schema=CAPTIONS,
        orient="row",
    )
    said = pl.when(pl.col("sample") == "x").then(pl.lit("a red cat in the park")).otherwise(pl.lit("a blue cup"))
    tables.write(effects.drop("bertscore").with_columns(caption=said), tmp_path / "effects.parquet", EFFECTS)
    tables.write(captions, tmp_path / "captions.parquet", CAPTIONS)
    files = {"effects": str(tmp_path / "effects.parquet"), "captions": str(tmp_path / "captions.parquet")}
    found = perturb_tables.from_files(**files, model=str(manifest("llava-llama2")), settings=ALIKE)
    table = found["table"][0]
    assert table["bertscore_by"].unique().to_list() == ["stand_in_embedding_f1"]
    layers = of(table, "random_layers")["bertscore"]
    assert 0.5 < layers < 0.95, "the mean of the same caption and of another one"
    assert of(table, "activation", 50)["bertscore"] == pytest.approx(1, abs=1e-5)


def test_without_nouns_the_tables_are_empty(manifest, tmp_path):
    tables.write(pl.DataFrame(schema=EFFECTS), tmp_path / "effects.parquet", EFFECTS)
    tables.write(pl.DataFrame(schema=CAPTIONS), tmp_path / "captions.parquet", CAPTIONS)
    files = {"effects": str(tmp_path / "effects.parquet"), "captions": str(tmp_path / "captions.parquet")}
    found = perturb_tables.from_files(**files, model=str(manifest("llava-llama2")), settings=ALIKE)
    assert all(frame.is_empty() and dict(frame.schema) == dict(schema) for frame, schema in found.values())
