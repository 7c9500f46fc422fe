"""Tables of edits: which pictures count where, and how jobs are named."""

import json
import math
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from configured import changed

from vlmscope.config import default
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.edit import tables as edit_tables
from vlmscope.mm_neurons.edit.plan import Edits
from vlmscope.mm_neurons.schemas import EDITED
from vlmscope.stats import Draws, wilson
from vlmscope.store import tables

DRAWS = Draws(400, 0)


def row(role, sample, **changes):
    base = {
        "source": "red",
        "target": "blue",
        "method": "closed_form",
        "applied": "alone",
        "role": role,
        "sample": sample,
        "before": "a red dog",
        "after": "a blue dog",
        "success": None if role == "local" else True,
        "first_token": None if role == "local" else True,
        "unchanged": role == "local",
        "kl_first": 0.1,
        "kl": 0.2,
        "nll_before": 1.0,
        "nll_after": 2.0,
        "tokens_before": 4,
        "tokens_after": 4,
        "margin_before": None if role == "local" else -5.0,
        "margin_after": None if role == "local" else 3.0,
        "neurons": 7,
        "weights": 70,
        "seconds": 1.5,
    }
    return base | changes


@pytest.fixture
def rows():
    parts = [
        row("made", "a"),
        row("made", "b", margin_after=1.0),
        row("general", "c"),
        row("general", "d", success=False, first_token=False, nll_after=6.0, tokens_after=8),
        row("local", "e"),
        row("local", "f"),
        row("local", "g", unchanged=False, kl_first=0.4, after="a blue cat"),
        row("made", "a", method="optimise"),
    ]
    return pl.DataFrame(parts, schema=EDITED)


def test_shares_are_of_the_pictures_they_are_about(rows, tmp_path):
    table = edit_tables.table(rows, DRAWS)
    assert table["method"].to_list() == ["closed_form", "optimise"]
    own = table.row(0, named=True)
    assert (own["success"], own["generality"], own["K"], own["weights"]) == (1.0, 0.5, 7, 70)
    assert own["locality"] == pytest.approx(2 / 3)
    assert (own["success_n"], own["generality_n"], own["locality_n"]) == (2, 2, 3)
    assert (own["success_low"], own["success_high"]) == pytest.approx(wilson(2, 2))
    assert own["generality_token"] == 0.5 and own["success_token"] == 1
    assert own["kl_first"] == pytest.approx(0.2) and own["kl"] == pytest.approx(0.2)
    assert own["ppl"] == pytest.approx(math.exp((2 + 2 + 2 + 6) / (4 + 4 + 4 + 8)))
    assert own["ppl_low"] <= own["ppl"] <= own["ppl_high"] and own["ppl_before"] == pytest.approx(math.exp(4 / 16))
    assert (own["margin_before"], own["margin_after"]) == (-5.0, 2.0)
    assert own["paper"] is None
    tables.write(table, tmp_path / "table.csv", edit_tables.EDIT)


def test_what_was_not_tested_is_empty_and_counted(rows):
    own = edit_tables.table(rows, DRAWS).row(1, named=True)
    assert own["success_n"] == 1 and own["generality_n"] == own["locality_n"] == 0
    assert own["generality"] is own["locality"] is own["kl_first"] is own["generality_token"] is None
    assert edit_tables.table(rows.clear(), DRAWS).is_empty()


def test_perplexity_weighs_captions_by_their_length():
    found = edit_tables.perplexity(np.array([2.0, 6.0]), np.array([2, 8]), DRAWS)
    assert found[0] == pytest.approx(math.exp(0.8)) and found[1] < found[0] < found[2]


def test_examples_leave_out_captions_that_stay(rows):
    found = edit_tables.examples(rows)
    assert found.columns[:5] == ["image_id", "source", "target", "before", "after"]
    assert found["image_id"].to_list() == ["a", "b", "c", "d", "g", "a"]


def test_no_edit_makes_empty_tables():
    found = edit_tables.from_files(rows=[], settings={"bootstrap": 100, "seed": 0})
    assert all(frame.is_empty() and dict(frame.schema) == dict(schema) for frame, schema in found.values())


# ---- jobs --------------------------------------------------------------------------------------------------------


def job(**wildcards):
    return SimpleNamespace(model="m", **wildcards)


def test_every_pair_and_method_has_its_files():
    edits = Edits(default())
    assert list(edits.pairs) == ["red-blue", "cat-dog"]
    assert json.loads(edits.pair(job(pair="cat-dog"))) == {"source": "cat", "target": "dog"}
    assert [pair["source"] for pair in json.loads(edits.every_pair(job()))] == ["red", "cat"]
    folder = "results/mm_neurons/m/edits"
    assert edits.files(job(method="optimise")) == [
        f"{folder}/{name}-optimise.safetensors" for name in ("red-blue", "cat-dog")
    ]
    rows = edits.rows(job())
    assert len(rows) == 2 * 3 + 3 and rows[-1] == f"{folder}/stacked-activation_shift.parquet"


def test_a_method_is_told_its_own_settings_alone():
    edits = Edits(default())
    told = json.loads(edits.made(job(method="optimise")))
    assert told["neurons"] == 30 and "rate" in told and "margins" not in told and "strengths" not in told
    assert set(json.loads(edits.choice(job()))) == {"images", "kept", "tested", "seed"}


def test_a_single_pair_is_not_stacked_and_words_may_have_spaces():
    edits = Edits(changed(mm_neurons__edit__pairs=[{"source": "hot dog", "target": "cat"}]))
    assert list(edits.pairs) == ["hot_dog-cat"]
    assert not [path for path in edits.rows(job()) if "stacked" in path]
    assert Edits(changed(mm_neurons__edit__pairs=[])).rows(job()) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pairs": [{"source": "a", "target": "b"}, {"source": " a", "target": "b"}]}, "lists a pair twice"),
        ({"neurons": {"closed_form": 5}}, "neurons lacks optimise, activation_shift"),
        ({"pairs": [{"source": "", "target": "b"}]}, "source"),
    ],
)
def test_settings_that_do_not_hold_together_are_told(changes, told):
    with pytest.raises(VlmscopeError, match=told):
        changed(**{f"mm_neurons__edit__{name}": value for name, value in changes.items()})
