"""Visual tokens from drawn pictures to tables and figures: a small run, what a change makes anew, and what it shows."""

import polars as pl
import pytest
from checkout import Checkout, job_stats

from vlmscope.llava_interp.ablation import tables as ablation_tables
from vlmscope.llava_interp.knockout import tables as knockout_tables
from vlmscope.llava_interp.lens import file as lens_file
from vlmscope.llava_interp.lens import tables as lens_tables
from vlmscope.llava_interp.schemas import KNOCKOUTS, RECORDS
from vlmscope.store import files, tables

HOME = "results/llava_interp/llava15"
TARGETS = tuple(
    f"{HOME}/{name}"
    for name in (
        "ablation.csv",
        "ablation_curve.svg",
        "knockout.csv",
        "knockout.svg",
        "lens_hit_rate.csv",
        "lens_hit_rate.svg",
        "lens",
    )
)
# Enough pictures for the tests of section 11, without what is slow and shows nothing here.
LARGE = """
datasets: {objects: {scenes: {train: 420, val: 4}, limit: {train: 420, val: 4}}}
llava_interp:
  ablation: {images: 120, sizes: [2, 8, 16, 32, 48], gradient: {sizes: []}}
  knockout: {images: 120}
  lens: {images: 120, shown: 0}
"""
ABLATION = {"llava_interp_ablation_tables", "llava_interp_ablation_figure"}
KNOCKOUT = {"llava_interp_knockout_tables", "llava_interp_knockout_figures"}
PAGES = {"llava_interp_pages"}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the visual tokens of a few pictures were followed."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("followed") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1")
    return checkout


def test_records_and_tables_hold_together(followed):
    home = followed.folder / HOME
    records = tables.read(home / "records/ablation.parquet", RECORDS)
    table = tables.read(home / "ablation.csv", ablation_tables.TABLE)
    assert set(records["setting"]) == {"generative", "polling"} and set(table["setting"]) <= set(
        ablation_tables.SETTINGS
    )
    assert (records["tokens"] == records["indices"].list.len()).all()
    blocked = tables.read(home / "records/knockout.parquet", KNOCKOUTS)
    cost = tables.read(home / "knockout.csv", knockout_tables.TABLE)
    assert cost["n"].max() <= blocked.filter(source="")["sample"].n_unique() == 6
    funnel = files.read_json(home / "records/ablation.json")
    assert funnel["pictures"] == 24 >= funnel["with_object"] >= funnel["in_view"] >= funnel["described"]
    about = files.read_json(home / "ablation.meta.json")
    assert about["checkpoint"]["llava15"]["family"] == "llava" and about["settings"]["answers"] == "strict"
    with lens_file.opened(home / "lens.h5") as file:
        assert len(file) == 2
        for group in file.values():
            assert group["tokens"].shape == (*group["share"].shape, 5) == group["probs"].shape
            assert len(group["texts"]) == len(group["vocabulary"])


def test_every_shown_picture_has_a_page_and_a_line_of_the_overview(followed):
    folder = followed.folder / HOME / "lens"
    with lens_file.opened(followed.folder / HOME / "lens.h5") as file:
        names = set(file)
    assert {path.stem for path in folder.glob("*.html")} == names | {"index"} and len(names) == 2
    overview = (folder / "index.html").read_text(encoding="utf-8")
    assert all(f'"sample":"{name}"' in overview for name in names)


def test_nothing_is_made_twice(followed):
    assert followed.planned(targets=TARGETS) == {}


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("llava_interp.answers=official", ABLATION | KNOCKOUT | PAGES),
        (
            "llava_interp.mean.most=5",
            {"llava_interp_mean", "llava_interp_ablate", "llava_interp_vqa"} | ABLATION | PAGES,
        ),
        ("llava_interp.knockout.seed=1", {"llava_interp_knockout"} | KNOCKOUT | PAGES),
        ("llava_interp.show.pixels=32", PAGES),
        ("llava_interp.views.queries=3", {"llava_interp_views"} | PAGES),
        (
            "llava_interp.lens.twice=true",
            {"llava_interp_lens", "llava_interp_lens_tables", "llava_interp_lens_figures"}
            | {"llava_interp_tuned", "llava_interp_views"}
            | PAGES,
        ),
    ],
)
def test_a_change_makes_anew_only_what_depends_on_it(followed, assignment, expected):
    assert set(followed.planned(assignment, TARGETS)) == expected


def test_a_published_mean_that_is_missing_is_named(followed):
    done = followed.run(
        *TARGETS, "-n", overlays=followed.overlays("llava_interp.mean.imported={llava15: nowhere.pt}"), check=False
    )
    assert done.returncode and "nowhere.pt" in done.stdout + done.stderr
    assert not job_stats(done) and "imported.llava15" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def large(followed: Checkout) -> Checkout:
    """The same on enough pictures for tests of significance."""
    (followed.folder / "large.yaml").write_text(LARGE)
    followed.run(*TARGETS, "--cores", "1", overlays=("tests/workflow/small.yaml", "large.yaml"))
    return followed


@pytest.mark.slow
def test_the_object_is_in_its_own_tokens(large):
    table = tables.read(large.folder / HOME / "ablation.csv", ablation_tables.TABLE)
    own = table.filter(condition="object", buffer=1)
    assert (own["n"] >= 100).all() and len(own) == 3
    assert (own["mcnemar_p"] < 0.01).all() and (own["difference_low"] > 0).all()
    random = table.filter(condition="random").sort("setting", "k")
    for (setting,), part in random.group_by("setting"):
        assert part["pct_decrease"][-1] > part["pct_decrease"][0] + 5, setting


@pytest.mark.slow
def test_the_answer_gets_the_object_from_its_own_tokens(large):
    table = tables.read(large.folder / HOME / "knockout.csv", knockout_tables.TABLE)
    own = table.row(
        by_predicate=(pl.col("source") == "object_1") & (pl.col("target") == "last") & (pl.col("window") == "all"),
        named=True,
    )
    assert own["n"] >= 100 and own["control"] == "random_1"
    assert own["difference_low"] > 0 and own["mcnemar_p"] < 0.01


@pytest.mark.slow
def test_later_layers_name_the_object(large):
    summary = tables.read(large.folder / HOME / "lens_hit_summary.csv", lens_tables.SUMMARY)
    strict = summary.row(by_predicate=(pl.col("criterion") == "strict") & (pl.col("topk") == 1), named=True)
    assert strict["n_images"] >= 100 and strict["best_mean_rate"] > 5 * strict["first_layer_rate"]
