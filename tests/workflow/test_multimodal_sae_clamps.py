"""Steering, attribution and probes in the workflow: results hold together, changes make anew what they touch alone."""

import csv
import io
import json

import polars as pl
import pytest
from checkout import Checkout

HOME = "results/multimodal_sae/llava-next-llama3"
ALL = (f"{HOME}/steer_effects.csv", f"{HOME}/attribution_modes.csv", f"{HOME}/probe")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    checkout = Checkout.copy(tmp_path_factory.mktemp("steer") / "vlmscope")
    checkout.run(*ALL, "--cores", "1")
    return checkout


@pytest.mark.slow
def test_everything_is_made_and_holds_together(made):
    rows = list(csv.DictReader(made.read(f"{HOME}/steering.csv").decode().splitlines()))
    kinds = {row["kind"] for row in rows}
    assert kinds == {"rebuilt", "given", "random"} and {row["mode"] for row in rows} == {"replace", "keep_error", "add"}
    # Three pictures and one text, each rebuilt and under two latents in three modes.
    assert len(rows) == 4 * 7 and sum(row["image"] == "" for row in rows) == 7
    features = list(csv.DictReader(made.read(f"{HOME}/steer_features.csv").decode().splitlines()))
    assert features[0]["feature"] == "3" and len(features) == 2
    about = json.loads(made.read(f"{HOME}/steer_effects.meta.json"))
    assert set(about["data"]) == {"sbu"} and about["notes"]
    modes = list(csv.DictReader(made.read(f"{HOME}/attribution_modes.csv").decode().splitlines()))
    assert [row["mode"] for row in modes] == ["trapezoid", "official", "atp"] and modes[0]["prompts"] == "2"
    found = pl.read_parquet(io.BytesIO(made.read(f"{HOME}/attribution.parquet")))
    best = json.loads(made.read(f"{HOME}/attribution_filters.json"))["model.layers.1"]
    assert best and set(best) <= set(found["feature"].to_list()) <= set(range(64))
    probed = json.loads(made.read(f"{HOME}/probe/filters.json"))["model.layers.1"]
    assert 10 <= len(probed) <= 30 and len(list((made.folder / HOME / "probe").glob("*.csv"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("", {}),
        ("multimodal_sae.steer.values=[70.0]", {"multimodal_sae_steer_answers"}),
        ("multimodal_sae.attribution.pool=max", {"multimodal_sae_attribute"}),
        ("multimodal_sae.probe.pictures=2", {"multimodal_sae_probe"}),
        ("multimodal_sae.quality.bins=12", {}),
    ],
)
def test_a_change_makes_anew_what_it_touches(made, change, jobs):
    assert set(made.planned(change, ALL)) == set(jobs)
