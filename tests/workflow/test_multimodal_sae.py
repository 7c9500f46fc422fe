"""Sparse autoencoders in the workflow: results hold together, changes make anew what they touch and nothing else."""

import csv
import json

import pytest
from checkout import Checkout

HOME = "results/multimodal_sae/llava-next-llama3"
WEIGHTS = f"{HOME}/sae/model.layers.1/sae.safetensors"
ALL = (f"{HOME}/sae_quality.csv", f"{HOME}/released/files.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    checkout = Checkout.copy(tmp_path_factory.mktemp("sae") / "vlmscope")
    checkout.run(*ALL, "--cores", "1")
    return checkout


@pytest.mark.slow
def test_everything_is_made_and_holds_together(made):
    rows = list(csv.DictReader(made.read(f"{HOME}/sae_quality.csv").decode().splitlines()))
    found = {(row["coder"], row["scope"], row["metric"]): row["value"] for row in rows}
    assert float(found["trained", "all", "l0"]) <= 4
    assert float(found["trained", "all", "ev"]) == pytest.approx(1 - float(found["trained", "all", "fvu"]))
    assert float(found["clean", "answer", "ce_score"]) == 1
    about = json.loads(made.read(f"{HOME}/sae_quality.meta.json"))
    assert set(about["data"]) == {"com", "sbu"} and set(about["checkpoint"]) == {"llava-next-llama3"}
    log = list(csv.DictReader(made.read(f"{HOME}/train_log.csv").decode().splitlines()))
    assert [row["step"] for row in log] == ["5", "10", "15", "20"] and log[-1]["tokens"] == "2560"
    told = json.loads(made.read(f"{HOME}/released/files.json"))
    assert {name.partition("/")[0] for name in told["files"]} == {"sae", "cache", "saelens"}
    assert made.read(WEIGHTS) == made.read(f"{HOME}/released/sae/model.layers.1/sae.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("", {}),
        ("multimodal_sae.cache.splits=7", {"multimodal_sae_export"}),
        ("multimodal_sae.cache.scope=all", {"multimodal_sae_cache", "multimodal_sae_export"}),
        ("multimodal_sae.quality.bins=12", {"multimodal_sae_quality"}),
        (
            "multimodal_sae.train.k=5",
            {"multimodal_sae_train", "multimodal_sae_cache", "multimodal_sae_quality", "multimodal_sae_export"},
        ),
    ],
)
def test_a_change_makes_anew_what_it_touches(made, change, jobs):
    assert set(made.planned(change, ALL)) == set(jobs)


@pytest.mark.slow
def test_states_read_while_the_model_runs_give_an_autoencoder_too(made):
    """Nothing is stored; the width and the number of tokens are the same."""
    before = made.read(f"{HOME}/train_log.csv")
    overlays = made.overlays("multimodal_sae.train.stored=false")
    made.run(WEIGHTS, "--cores", "1", overlays=overlays)
    log = list(csv.DictReader(made.read(f"{HOME}/train_log.csv").decode().splitlines()))
    assert log[-1]["tokens"] == "2560" and made.read(f"{HOME}/train_log.csv") != before
    assert float(log[-1]["fvu"]) < float(log[0]["fvu"])
