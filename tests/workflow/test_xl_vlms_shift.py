"""Concept shift from fine-tuning to tables, on a part of the embedded default (xl_vlms.md 11, checks 8, 9, 16)."""

import polars as pl
import pytest
from checkout import Checkout

from vlmscope.store import files, tables
from vlmscope.xl_vlms.exchange import shifts as shift_released
from vlmscope.xl_vlms.shift import files as shift_files
from vlmscope.xl_vlms.shift.tables import SCHEMAS

HOME = "results/xl_vlms/llava15"
TARGET, RELEASED = f"{HOME}/shift.csv", f"{HOME}/released/analysis/analyse_clusters_llava15-place-cat.pth"
WEIGHTS = "results/models/llava15-place/finetuned/80/model.safetensors"
PAIR = "{original: llava15, tuned: llava15-place, sets: [cat], steps: [llava15-place-eighth]}"
LESS = (
    "datasets.coco.scenes={train: 400, val: 4}; datasets.coco.limit={train: 400, val: 4}; "
    f"xl_vlms.shift.pairs=[{PAIR}]; xl_vlms.shift.k=6; xl_vlms.shift.ks=[4]; xl_vlms.shift.resamples=30"
)
COMPARE, GATHER = {"xl_vlms_shift_compare": 1}, {"xl_vlms_shift_tables": 1}
# The two checkpoints of the fine-tune, with their states; the original has its own.
TUNED = {"model_resolve": 2, "capture_shard": 2, "capture_index": 2, "xl_vlms_vectors": 2}


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which one fine-tune was made and compared."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("shifted") / "vlmscope")
    checkout.run(TARGET, RELEASED, "--cores", "1", overlays=checkout.overlays(LESS))
    return checkout


def read(checkout: Checkout, name: str) -> pl.DataFrame:
    return tables.read(checkout.folder / HOME / f"{name}.csv", SCHEMAS[name])


@pytest.mark.slow
def test_fine_tuning_lowers_the_overlap_of_words_and_the_shift_raises_it(shifted):
    found = read(shifted, "shift_t_overlap")
    # Two equal models have 100.
    assert found["orig_pct"].mean() < 85
    assert found["shifted_pct"].mean() > found["orig_pct"].mean() + 5
    assert (found["improved_cosine"] > 0).mean() > 0.8
    assert sorted(found["matched"]) == sorted(found["concept"]) == list(range(6))
    steps = read(shifted, "shift_iterations").group_by("step").agg(pl.col("cosine").mean()).sort("step")
    assert steps["step"].to_list() == [0, 10, 80]
    assert steps["cosine"][0] == pytest.approx(1) and steps["cosine"][2] < 0.95


@pytest.mark.slow
def test_held_out_shifts_lead_random_directions_and_other_concepts_shifts(shifted):
    found = read(shifted, "shift")
    for goal in ("matched", "centroid"):
        own = found.filter(goal=goal)
        shift = own.filter(arm="shift")
        assert shift["cosine_gain_low"].item() > 0 and shift["t_overlap_gain"].item() > 0
        for arm in ("random", "other"):
            assert own.filter(arm=arm)["cosine_lead_low"].item() > 0, (goal, arm)
        assert own.filter(arm="random")["cosine_gain"].item() < 0


@pytest.mark.slow
def test_correlations_come_with_their_p(shifted):
    found = read(shifted, "shift_correlation_r")
    assert set(found["x"]) == {"consistency", "magnitude"} and set(found["n"]) == {6}
    assert found["p"].is_between(0, 1).all()
    assert ((found["low"] < found["r"]) & (found["r"] < found["high"])).all()


@pytest.mark.slow
def test_the_released_file_holds_the_comparison(shifted):
    told = shift_files.read(shifted.folder / HOME / "shifts" / "llava15-place-cat.json")
    held = shift_released.read(shifted.folder / RELEASED)
    assert held["measures"]["magnitude"].tolist() == pytest.approx(
        [row["magnitude"] for row in told["rows"]["concepts"]], rel=1e-5
    )
    assert sum(map(len, held["sample_deltas"])) == told["samples"]
    companion = files.read_json(shifted.folder / HOME / "shift.meta.json")
    assert companion["digest"] == files.digest(shifted.folder / TARGET)


@pytest.mark.slow
def test_a_second_run_writes_the_same_weights_and_the_same_table(shifted):
    weights, table = shifted.read(WEIGHTS), shifted.read(TARGET)
    overlays = shifted.overlays(LESS)
    shifted.run(
        "results/models/llava15-place/finetuned.json", "--cores", "1", "-R", "model_finetune", overlays=overlays
    )
    assert shifted.read(WEIGHTS) == weights
    shifted.run(TARGET, "--cores", "1", "-R", "xl_vlms_shift_compare", overlays=overlays)
    assert shifted.read(TARGET) == table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("xl_vlms.shift.words=5", COMPARE | GATHER),
        ("xl_vlms.shift.pairs=[" + PAIR.replace("}", ", keywords: [cat]}") + "]", COMPARE | GATHER),
        ("models.llava15.label=LLaVA", GATHER),
        ("models.llava15-place.label=LLaVA", {}),
        ("finetunes.llava15-place.learning_rate=0.01", {"model_finetune": 1} | TUNED | COMPARE | GATHER),
        ("finetunes.llava15-color.learning_rate=0.01", {}),
    ],
)
def test_a_change_makes_anew_what_depends_on_it(shifted, change, again):
    planned = shifted.planned(f"{LESS}; {change}", (TARGET,))
    assert {key: count for key, count in planned.items() if count} == again
