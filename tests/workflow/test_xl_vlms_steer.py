"""Steering of answers: a small run, what a change makes anew, released vectors out and in."""

import polars as pl
import pytest
from checkout import Checkout

from vlmscope.store import files, tables
from vlmscope.xl_vlms.steer import files as steering_files
from vlmscope.xl_vlms.steer.schemas import DIRECTIONS, EFFECTS, SEPARABILITY, STEER, STEERED

HOME = "results/xl_vlms/llava15"
ABLATIONS = tuple(
    f"{HOME}/ablation_{what}.{kind}" for what in ("n", "layer", "alpha", "tokens") for kind in ("csv", "png")
)
TARGETS = (
    f"{HOME}/steer_targeted.csv",
    f"{HOME}/separability.csv",
    *ABLATIONS,
    f"{HOME}/directions.csv",
    f"{HOME}/released/steering",
)
ALL = {
    "xl_vlms_steer_vectors": 1,
    "xl_vlms_steer_answers": 1,
    "xl_vlms_steer_tables": 1,
    "xl_vlms_steer_sweep": 1,
    "xl_vlms_steer_export": 1,
}
ANSWERS = {name: ALL[name] for name in ("xl_vlms_steer_answers", "xl_vlms_steer_tables", "xl_vlms_steer_sweep")}
SHOWN = {"xl_vlms_steer_tables": 1, "xl_vlms_steer_sweep": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which a model was steered."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("steered") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1")
    return checkout


def test_every_question_is_answered_under_every_condition(made):
    rows = tables.read(made.folder / HOME / "steered/answers.parquet", STEERED)
    assert rows["sample"].n_unique() == 8 and len(rows) == 8 * rows["condition"].n_unique()
    assert rows["kind"][0] == "none" and not rows.filter(kind="none")["steered"].any()
    kinds = {"vector", "gated", "random", "shuffled", "alpha", "layer", "tokens", "n", "pair", "random_pair"}
    assert set(rows["kind"]) == {"none", *kinds}
    plain, zero = (
        rows.filter(**chosen)["prediction"].to_list() for chosen in ({"kind": "none"}, {"kind": "alpha", "alpha": 0.0})
    )
    assert plain == zero


def test_tables_hold_what_they_promise(made):
    effects = tables.read(made.folder / HOME / "steer_effects.csv", EFFECTS)
    assert (effects["n"] == 8).all()
    for name in ("type", "targeted", "extra"):
        shown = tables.read(made.folder / HOME / f"steer_{name}.csv", STEER)
        assert shown["kind"][0] == "none" and len(shown) > 1
        assert set(shown.filter(kind="vector").drop_nulls("random_draws")["random_draws"]) == {2}
    targeted = tables.read(made.folder / HOME / "steer_targeted.csv", STEER)
    told = targeted.filter(pl.col("source").is_not_null())
    assert set(told["block"]) == {-1, 2} and set(told["alpha"]) == {0.0, 1.0}
    for what in ("n", "layer", "alpha", "tokens"):
        assert set(tables.read(made.folder / HOME / f"ablation_{what}.csv", EFFECTS)["kind"]) == {"none", what}
    assert len(tables.read(made.folder / HOME / "directions.csv", DIRECTIONS)) == 6
    assert set(tables.read(made.folder / HOME / "separability.csv", SEPARABILITY)["module"]) == {
        f"block.{number}" for number in range(3)
    }


def test_the_table_says_what_made_it(made):
    told = files.read_json(made.folder / HOME / "steer_targeted.meta.json")
    assert told["digest"] == files.digest(made.folder / HOME / "steer_targeted.csv") and "llava15" in told["checkpoint"]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("xl_vlms.vectors.yes-no.target.said=[]", ALL),
        ("xl_vlms.steer.alphas=[0.5]", ANSWERS),
        ("xl_vlms.steer.questions=7", ANSWERS),
        ("xl_vlms.steer.bootstrap=21", SHOWN | {"xl_vlms_steer_separability": 1}),
        ("xl_vlms.steer.separability.permutations=3", {"xl_vlms_steer_separability": 1}),
        ("xl_vlms.steer.random=1", ANSWERS),
    ],
)
def test_a_change_makes_anew_what_depends_on_it(made, change, again):
    found = {key: count for key, count in made.planned(change, TARGETS).items() if count}
    assert found.items() >= again.items()
    # Answers do not depend on how they are shown.
    assert not {"capture_shard", "xl_vlms_vectors"} & set(found)
    if "xl_vlms_steer_answers" not in again:
        assert set(found) == set(again)


def test_a_released_vector_takes_the_place_of_one_that_would_be_made(made):
    (made.folder / HOME / "released/steering/shift_of_means_yes-no.pth").rename(made.folder / "theirs.pth")
    change = made.overlays(
        "xl_vlms.steer.imported.llava15.yes-no.file=theirs.pth; xl_vlms.steer.imported.llava15.yes-no.block=1"
    )
    own = steering_files.read(made.folder / HOME / "steering/yes-no.safetensors").vector["block.1"]
    made.run(f"{HOME}/steering/yes-no.safetensors", "--cores", "1", overlays=change)
    back = steering_files.read(made.folder / HOME / "steering/yes-no.safetensors")
    assert list(back.vector) == ["block.1"] and back.about["method"] == "imported"
    assert abs(back.vector["block.1"] - own).max() < 1e-2
