"""Tables of what is destroyed and of steering: planted effects, and controls without any."""

import numpy as np
import polars as pl
import pytest

from vlmscope import stats
from vlmscope.atlas import compared, destroyed, schemas

DRAWS = stats.Draws(100, 0)


@pytest.fixture(scope="module")
def lost():
    """Twelve pictures: the own concept goes with the object, a word of two pictures has a latent of its own."""
    noise, rows = np.random.default_rng(0), []
    own = {"clean": 1.0, "object": 0.2, "matched": 1.0, "blocked": 0.5, "blocked_matched": 1.0}
    for number in range(12):
        word = "dog" if number % 2 else "cat"
        for condition, value in own.items():
            for kind, name, belongs, middle in (
                ("concept", word, "own", value),
                ("concept", "bird", "other", 0.3),
                ("latent", "7", "own", 10 * value),
                ("answer", word, "own", value - 1),
                ("domain", "med", "other", 0.1),
            ):
                about = {"sample": f"s{number}", "word": word, "condition": condition, "kind": kind, "name": name}
                place = {"belongs": belongs, "depth": 2, "place": "last"}
                rows.append({**about, **place, "value": middle + 0.01 * noise.normal()})
    return destroyed.table(pl.DataFrame(rows, schema=schemas.RECORDS), DRAWS)


def row(table, **which):
    return table.filter(**which).row(0, named=True)


def test_what_goes_with_the_object_is_told_apart_from_what_stays(lost):
    own = row(lost, word="all", kind="concept", belongs="own", condition="object")
    assert own["change"] == pytest.approx(-0.8, abs=0.02) and own["control"] == pytest.approx(0, abs=0.02)
    assert own["difference_high"] < -0.75 and own["lost"] == pytest.approx(0.8, abs=0.02)
    assert own["p"] < 0.02 and own["n"] == 12
    blocked = row(lost, word="all", kind="concept", belongs="own", condition="blocked")
    assert blocked["change"] == pytest.approx(-0.5, abs=0.02)
    other = row(lost, word="all", kind="concept", belongs="other", condition="object")
    assert other["difference_low"] < 0 < other["difference_high"] and other["p"] > 0.05


def test_words_and_single_latents_have_rows_of_their_own(lost):
    assert row(lost, word="dog", kind="concept", name="all", condition="object")["n"] == 6
    assert row(lost, word="cat", kind="latent", name="7", condition="object")["lost"] == pytest.approx(0.8, abs=0.01)
    assert row(lost, word="dog", kind="answer", name="all", condition="object")["lost"] is None
    assert row(lost, word="all", kind="domain", name="med", condition="object")["n"] == 12
    assert lost.filter(word="all", kind="domain", name="all").is_empty()


# ---- steering -----------------------------------------------------------------------------------------------------


def steered(gains, words=("dog", "cat"), stage="held_out", strength=1.0, pictures=8):
    rows = []
    for word in words:
        for (method, draw), gain in gains.items():
            for number in range(pictures):
                about = {"word": word, "method": method, "draw": draw, "stage": stage, "strength": strength}
                values = {"kl": 0.1, "gain": gain + number, "says": gain > 2, "loss": 0.0}
                rows.append(about | {"sample": f"s{number}"} | values | {"right": 0.5, "right_clean": 1.0})
    return pl.DataFrame(rows, schema=schemas.STEERED)


def test_gain_is_held_against_the_random_directions_of_the_same_pictures():
    gains = {
        ("concept", 0): 5.0,
        ("random", 0): 1.0,
        ("random", 1): 3.0,
        ("neurons", 0): 4.0,
        ("random neurons", 0): 4.0,
    }
    found = compared.table(steered(gains), DRAWS)
    concept = row(found, word="all", method="concept")
    # Pictures differ by 8 nats, but each is its own control.
    assert (concept["beyond"], concept["beyond_low"], concept["beyond_high"]) == (3.0, 3.0, 3.0)
    assert concept["gain"] == 5 + 3.5 and concept["gain_low"] < 8.5 < concept["gain_high"]
    assert (concept["control"], concept["says"], concept["n"]) == ("random", 1.0, 8) and concept["p"] < 0.02
    neurons = row(found, word="dog", method="neurons")
    assert (neurons["control"], neurons["beyond"], neurons["p"]) == ("random neurons", 0.0, 1.0)
    assert row(found, word="all", method="random")["beyond"] is None
    assert row(found, word="all", method="random")["gain"] == 2 + 3.5
    assert found["kl_typical"].round(6).unique().to_list() == [0.1]


def test_the_curve_over_strength_has_the_grid_alone():
    gains = {("concept", 0): 5.0, ("random", 0): 1.0}
    parts = [steered(gains, stage="tried", strength=strength) for strength in (0.1, 1.0)]
    extra = steered(gains, words=("dog",), stage="tried", strength=0.37)
    found = compared.dose(pl.concat([*parts, extra, steered(gains)]))
    assert (
        found["strength"].to_list() == [0.1, 1.0] * 2 and found["method"].to_list() == ["concept"] * 2 + ["random"] * 2
    )
