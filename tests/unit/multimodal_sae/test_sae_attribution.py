"""Tables of attributions: sums, ranks, filters, and how close a mode comes."""

import numpy as np
import pytest

from vlmscope.multimodal_sae.attribution import tables as attribution_tables
from vlmscope.multimodal_sae.attribution.tables import Found


def found(image="a", effects=(3.0, -1.0), values=(1.0, 2.0, -1.0, 0.5)):
    """Latents 4 (tokens 0, 1, 3) and 7 (token 1); latent 9 was not looked at."""
    entry_latents, entry_tokens = np.array([4, 4, 7, 4, 9]), np.array([0, 1, 1, 3, 2])
    parts = np.array(["image", "image", "image", "text", "other"])
    given = np.array([*values, 0.0], np.float32)
    return Found(
        image, "red", "blue", parts, np.array([4, 7]), entry_latents, entry_tokens, {"atp": given}, np.array(effects)
    )


def rows(pool):
    table = attribution_tables.entries([found()], "atp", pool)
    return {(one["feature"], one["token"]): one for one in table.iter_rows(named=True)}


def test_entries_know_sum_rank_and_effect_of_their_latent_in_their_part():
    by = rows("avg")
    assert set(by) == {(4, 0), (4, 1), (4, 3), (7, 1)}
    first = by[4, 0]
    assert (first["part"], first["sum"], first["rank"], first["effect"]) == ("image", 3.0, 1, 3.0)
    assert first["pooled"] == pytest.approx(1.0) and first["value"] == 1.0
    assert by[7, 1]["rank"] == 2 and by[7, 1]["pooled"] == pytest.approx(-1 / 3)
    assert by[4, 3]["part"] == "text" and by[4, 3]["pooled"] == 0.5


def test_the_highest_value_of_a_part_is_zero_where_a_latent_is_silent_in_it():
    by = rows("max")
    assert by[4, 0]["pooled"] == by[4, 1]["pooled"] == 2.0
    assert by[7, 1]["pooled"] == 0.0 and by[4, 3]["pooled"] == 0.5


def test_the_filter_has_the_best_latents_of_its_parts_over_all_prompts():
    both = [found(), found("b", values=(0.0, -4.0, 9.0, 0.0))]
    table = attribution_tables.entries(both, "atp", "avg")
    assert attribution_tables.best(table, 2, ["image"], 1) == [7]
    assert attribution_tables.best(table, 2, ["image", "text"], 1) == [4, 7]
    assert attribution_tables.best(table, 2, ["text"], 5) == [4]


def test_modes_are_held_against_the_true_effect():
    exact = found(effects=(3.5, -1.0))
    table = attribution_tables.modes([exact, exact], 50, 0).row(0, named=True)
    assert table["mode"] == "atp" and (table["prompts"], table["latents"]) == (2, 4)
    assert table["correlation"] == pytest.approx(1) and table["error"] == pytest.approx(0, abs=1e-6)
    off = attribution_tables.modes([found(effects=(-2.0, 1.0))], 50, 0).row(0, named=True)
    assert off["correlation"] == pytest.approx(-1) and off["error"] == pytest.approx(5.5 / 2)
