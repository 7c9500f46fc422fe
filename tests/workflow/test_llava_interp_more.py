"""What system 5 has beyond the released code, and its released files: a small run, and what a change makes anew."""

import json

import pytest
from checkout import Checkout

from vlmscope.llava_interp.ablation import choices_tables, several_tables
from vlmscope.llava_interp.attention import tables as attention_tables
from vlmscope.llava_interp.knockout import spoken_tables
from vlmscope.llava_interp.lens import tuned_tables
from vlmscope.llava_interp.schemas import KNOCKOUTS
from vlmscope.llava_interp.tracing import pairs_tables
from vlmscope.llava_interp.tracing import tables as tracing_tables
from vlmscope.store import files, tables

HOME = "results/llava_interp/llava15"
TABLES = {
    "tracing.csv": tracing_tables.TABLE,
    "several_objects.csv": several_tables.TABLE,
    "attention.csv": attention_tables.TABLE,
    "lens_tuned.csv": tuned_tables.TABLE,
    "choices.csv": choices_tables.TABLE,
    "spoken.csv": spoken_tables.TABLE,
    "pairs.csv": pairs_tables.TABLE,
}
TARGETS = tuple(f"{HOME}/{name}" for name in (*TABLES, "tracing.svg"))


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which a few pictures went through everything."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("traced") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1")
    return checkout


def test_tables_are_there_with_their_companions(traced):
    for name, schema in TABLES.items():
        home = traced.folder / HOME
        assert len(tables.read(home / name, schema)) > 2, name
        about = files.read_json(home / name.replace(".csv", ".meta.json"))
        assert about["checkpoint"]["llava15"]["family"] == "llava"
    assert (traced.folder / HOME / "tracing.png").stat().st_size > 1000


def test_nothing_is_made_twice(traced):
    assert traced.planned(targets=TARGETS) == {}


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        (
            "llava_interp.tracing.corrupted=object",
            {"llava_interp_tracing", "llava_interp_tracing_tables", "llava_interp_tracing_figure"},
        ),
        ("llava_interp.tracing.shown=1", {"llava_interp_tracing_figure"}),
        (
            "llava_interp.answers=official",
            {f"llava_interp_{name}_tables" for name in ("several", "attention", "choices", "spoken")},
        ),
        ("llava_interp.spoken.seed=1", {"llava_interp_spoken", "llava_interp_spoken_tables"}),
        ("llava_interp.tuned.ridge=0.1", {"llava_interp_tuned", "llava_interp_tuned_tables"}),
        ("llava_interp.several.seed=1", {"llava_interp_several", "llava_interp_several_tables"}),
    ],
)
def test_a_change_makes_anew_only_what_depends_on_it(traced, assignment, expected):
    assert set(traced.planned(assignment, TARGETS)) == expected


def test_released_results_take_the_model_s_place(traced):
    folder, other = traced.folder, f"{HOME}/knockout.csv"
    records = tables.read(folder / HOME / "records/knockout.parquet", KNOCKOUTS)
    right = [row["sample"] for row in records.filter(source="").to_dicts() if row["token"] in row["right"]]
    traced.run(f"{HOME}/released/knockout.json", "--cores", "1")
    whole = files.read_json(folder / HOME / "released/knockout.json")
    (folder / "given.json").write_text(json.dumps(whole))
    overlays = traced.overlays("llava_interp.exchange.imported={llava15: {knockout: given.json}}")
    traced.run(other, "--cores", "1", overlays=overlays)
    again = tables.read(folder / HOME / "records/knockout.parquet", KNOCKOUTS)
    assert [row["sample"] for row in again.filter(source="").to_dicts() if row["token"] in row["right"]] == right
    assert again["keys"].is_null().all() and set(again["sort"].drop_nulls()) == {"window"}


def test_a_released_file_that_is_missing_is_named(traced):
    overlays = traced.overlays("llava_interp.exchange.imported={llava15: {vqa: nowhere.json}}")
    done = traced.run(f"{HOME}/ablation.csv", "-n", overlays=overlays, check=False)
    assert done.returncode and "nowhere.json" in done.stdout + done.stderr
    assert "imported.llava15.vqa" in done.stdout + done.stderr
