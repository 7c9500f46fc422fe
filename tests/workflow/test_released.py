"""What is exported as released files and imported from them gives the same tables; and the neuron page is made."""

import json

import polars as pl
import pytest
import yaml
from checkout import HOME as MODEL
from checkout import RELEASED, TABLE, Checkout

# Far above what the small pages have.
LARGEST_PAGE = 3_000_000


@pytest.fixture(scope="module")
def exported(everything):
    """A checkout with everything made here, exported too."""
    return everything


def test_every_released_file_is_named_and_there(exported):
    names = json.loads(exported.read(RELEASED))["files"]
    assert all((exported.folder / MODEL / "released" / name).is_file() for name in names)
    # Counts per domain, masks per module, answers per domain and condition.
    assert len(names) == 5 + 3 + 5 * 5
    assert "results/llava/ad/llava_lang-vision-mmproj_ans.pt" in names


def test_imported_results_make_the_same_tables_without_a_model_job(exported, tmp_path):
    other = Checkout.copy(tmp_path / "vlmscope")
    imported = {"imported": {"llava": ["counts", "masks", "answers"]}}
    tree = {"mmneuron": {"exchange": {"folder": str(exported.folder / MODEL / "released"), **imported}}}
    (other.folder / "changed.yaml").write_text(yaml.safe_dump(tree))
    overlays = ("tests/workflow/small.yaml", "changed.yaml")
    done = other.run(TABLE, f"{MODEL}/metrics.csv", "--cores", "2", overlays=overlays)
    ran = done.stdout + done.stderr
    assert "mmneuron_import_counts" in ran
    assert not [rule for rule in ("capture_shard", "mmneuron_generate", "mmneuron_identify") if f"rule {rule}:" in ran]
    assert other.read(TABLE) == exported.read(TABLE)
    assert other.read(f"{MODEL}/metrics.csv") == exported.read(f"{MODEL}/metrics.csv")
    assert other.read(f"{MODEL}/neurons.parquet") == exported.read(f"{MODEL}/neurons.parquet")


def test_metrics_have_both_versions_of_every_score(exported):
    found = pl.read_csv(exported.folder / MODEL / "metrics.csv")
    assert found.height == 5 * 5
    assert found["official"].is_between(0, 1).all()
    assert (found["corrected_low"] <= found["corrected"]).all()
    judged = found.filter(pl.col("domain") == "ad")["official_metric"].unique().to_list()
    assert judged == ["token_f1_stand_in (own reference)"]


def test_the_page_is_small_and_holds_neurons_of_every_module(exported):
    page = exported.read(f"{MODEL}/neurons.html")
    assert len(page) < LARGEST_PAGE
    inside = page.decode().split('id="data">')[1].split("</script>")[0]
    assert {one["module"] for one in json.loads(inside)["neurons"]} == {"lang", "vision", "mmproj"}


def test_a_file_that_runs_something_ends_the_job_with_words(tmp_path):
    other = Checkout.copy(tmp_path / "vlmscope")
    folder = tmp_path / "released"
    log = folder / "data/llava_activation/ad/ad_1.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    tree = {"mmneuron": {"exchange": {"folder": str(folder), "imported": {"llava": ["counts"]}}}}
    (other.folder / "hostile.yaml").write_text(yaml.safe_dump(tree))
    target = "results/captures/llava/domain_counts/ad/00000.h5"
    done = other.run(target, "--cores", "1", overlays=("tests/workflow/small.yaml", "hostile.yaml"), check=False)
    assert done.returncode
    assert "The file is refused" in done.stdout + done.stderr
    assert not (other.folder / "ran").exists()
