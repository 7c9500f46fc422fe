"""Tables of steering: controls beside their vectors, published numbers where they belong, what is varied."""

import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.settings.xl_vlms.steer import VECTORS, Vector
from vlmscope.store import hdf5, tables
from vlmscope.xl_vlms.sets.vectors import FORMAT
from vlmscope.xl_vlms.steer import tables as steer_tables
from vlmscope.xl_vlms.steer.schemas import EFFECTS, STEER

CATALOGUE = {name: Vector(**one).model_dump() for name, one in VECTORS.items()}


def row(kind, vector="", block=2, alpha=1.0, **more):
    usual = dict.fromkeys(EFFECTS) | {"model": "llava15", "seed": 0, "condition": 0, "n": 10}
    place = {"kind": kind, "vector": vector, "block": block, "alpha": alpha, "positions": "all", "start": 0, "draw": 0}
    return usual | place | {"n_samples": 0} | more


def effects(*rows):
    return pl.DataFrame(rows, schema=EFFECTS)


ROWS = effects(
    row("none", block=-1, alpha=0.0),
    row("vector", "yes-no", d_wanted=9),
    row("vector", "yes-no", alpha=2.0, d_wanted=10),
    row("vector", "yes-no", block=1, d_wanted=3),
    row("gated", "yes-no", d_wanted=8),
    row("vector", "to-number", d_wanted=4),
    row("vector", "yes-no-clean", block=1, d_wanted=5),
    *(row("random", "yes-no", draw=k, d_wanted=d, acc=50.0 + k) for k, d in enumerate((0, 2, 10))),
    row("shuffled", "yes-no", draw=0, d_wanted=1),
    row("alpha", "yes-no", alpha=2.0),
    row("alpha", "yes-no", alpha=0.5),
)


@pytest.fixture
def numbered(tmp_path):
    with hdf5.published(tmp_path / "all.h5", FORMAT, {}) as file:
        file.attrs["layers"] = 3
    return str(tmp_path / "all.h5")


def only(frame, **chosen):
    found = frame.filter(**chosen)
    assert len(found) == 1
    return found.row(0, named=True)


def test_controls_stand_beside_the_vector_at_its_block_and_strength():
    shown = steer_tables.beside_controls(ROWS, CATALOGUE, last=2)
    assert dict(shown.schema) == STEER and shown["kind"][0] == "none"
    own = only(shown, kind="vector", vector="yes-no", block=2, alpha=1.0)
    assert (own["random_d_wanted"], own["random_acc"], own["random_draws"]) == (4.0, 51.0, 3)
    assert own["above_random"] == pytest.approx(2 / 3) and own["shuffled_d_wanted"] == 1.0
    for other in ({"alpha": 2.0, "block": 2}, {"alpha": 1.0, "block": 1}):
        assert only(shown, kind="vector", vector="yes-no", **other)["random_d_wanted"] is None
    assert own["method"] == "shift_of_means"
    assert only(shown, vector="yes-no-clean")["method"] == "shift_of_means-orthogonal"


def test_published_numbers_stand_where_the_paper_steered():
    shown = steer_tables.beside_controls(ROWS, CATALOGUE, last=2)
    assert only(shown, kind="vector", vector="yes-no", block=2, alpha=1.0)["paper_d_wanted"] == 828
    assert shown.row(0, named=True)["paper_acc_yesno"] == 90.82
    told = shown.filter(pl.col("source") != "")
    assert len(told) == 2
    others = steer_tables.beside_controls(ROWS.with_columns(model=pl.lit("molmo")), CATALOGUE, last=2)
    assert others["paper_d_wanted"].null_count() == len(others) and set(others["source"]) == {""}


def test_tables_by_task(numbered):
    found = steer_tables.by_task(ROWS, CATALOGUE, numbered)
    assert {name: sorted(set(frame["vector"])) for name, frame in found.items()} == {
        "type": ["", "to-number"],
        "targeted": ["", "yes-no"],
        "extra": ["", "yes-no", "yes-no-clean"],
    }
    assert "gated" not in set(found["targeted"]["kind"]) and "gated" in set(found["extra"]["kind"])


def test_what_is_varied_rises_behind_no_steering():
    found = steer_tables.ablation(ROWS, "alpha", "llava15")
    assert found["kind"].to_list() == ["none", "alpha", "alpha"] and found["alpha"].to_list() == [0.0, 0.5, 2.0]
    with pytest.raises(VlmscopeError, match="Nothing was varied"):
        steer_tables.ablation(ROWS, "layer", "llava15")


def test_vectors_that_repeat_the_papers_over_all_models(tmp_path, numbered):
    paths = []
    for model in ("llava15", "molmo"):
        frame = steer_tables.by_task(ROWS.with_columns(model=pl.lit(model)), CATALOGUE, numbered)["targeted"]
        paths.append(str(tmp_path / f"{model}.csv"))
        tables.write(frame, paths[-1], STEER)
    found = steer_tables.over_models(paths, CATALOGUE)
    assert found["model"].to_list() == ["llava15"] * 3 + ["molmo"] * 3
    assert found["alpha"].to_list() == [0.0, 1.0, 1.0] * 2
    assert found.filter(pl.col("source") != "")["model"].unique().to_list() == ["llava15"]
