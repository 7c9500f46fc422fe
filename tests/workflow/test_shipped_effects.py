"""What the shipped LLaVA-NeXT shows at the settings of config.yaml (mmneuron.md 11, statistical checks)."""

import polars as pl
import pytest
from checkout import HOME, Checkout


@pytest.fixture(scope="module")
def means(tmp_path_factory):
    """Means over domains: kind of mask -> deviation of states in percent, change of the score in points."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("shipped") / "vlmscope")
    checkout.run(f"{HOME}/effects.csv", "--cores", "2", overlays=())
    table = pl.read_csv(checkout.folder / HOME / "effects.csv").filter(pl.col("domain") == "mean")
    return {row["kind"]: row for row in table.iter_rows(named=True)}


@pytest.mark.slow
def test_own_neurons_cost_more_than_random_ones_and_than_another_domain_s(means):
    assert means["own"]["delta"] < means["random"]["delta"]
    assert means["own"]["delta"] < means["other"]["delta"]


@pytest.mark.slow
def test_own_neurons_move_states_more_beyond_chance(means):
    for control in ("random", "other"):
        assert means["own"]["deviation_low"] > means[control]["deviation_high"], control
