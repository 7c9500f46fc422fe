"""The same bytes whatever happens: one core or two, killed and resumed, sent through Slurm."""

import json
import os
import shutil
import signal
import subprocess
import time

import polars as pl
import pytest
from checkout import ALL, TABLE, Checkout, environment

RESULTS = (TABLE, TABLE.replace(".csv", "_long.csv"))
SLURM = ("--profile", "slurm", "--config", "scale=tiny", "--latency-wait", "5", "--jobs", "8")
# The first look at a job comes after so many seconds; small jobs then end between looks.
QUICK = ("--slurm-init-seconds-before-status-checks", "4")


def test_the_table_has_the_published_shape(finished):
    lines = finished.read(TABLE).decode().splitlines()
    assert lines[0] == "baseline,module,masked_modules,VQAv2,PMC-VQA,LingoQA,DocVQA,RS-VQA"
    rows = [line.split(",") for line in lines[1:]]
    assert [row[:3] for row in rows] == [
        ["LLaVA-NeXT", "None", ""],
        ["LLaVA-NeXT", "LLM", "lang"],
        ["LLaVA-NeXT", "Vision Encoder", "vision+mmproj"],
        ["LLaVA-NeXT", "MLP Projector", "mmproj"],
        ["LLaVA-NeXT", "All", "lang+vision+mmproj"],
    ]
    assert all(len(cell.split(".")[1]) == 2 and 0 <= float(cell) <= 100 for row in rows for cell in row[3:])


def test_the_companions_say_what_made_the_table(finished):
    meta = json.loads(finished.read(TABLE.replace(".csv", ".meta.json")))
    assert meta["scale"] == "tiny"
    assert meta["checkpoint"]["checkpoint"] == "weights/llava"
    assert "stand-in" in meta["judge"]
    assert {domain["source"] for domain in meta["data"].values()} == {"drawn"}
    kinds = {"ad": "lingoqa", "med": "pmc_vqa", "rs": "rsvqa", "com": "vqav2", "doc": "docvqa"}
    assert {domain: about["kind"] for domain, about in meta["data"].items()} == kinds
    long = pl.read_csv(finished.folder / TABLE.replace(".csv", "_long.csv"))
    assert long.filter(pl.col("domain") == "ad")["metric"].unique().to_list() == ["token_f1_stand_in"]
    assert long["domain"].to_list() == [*kinds] * 5
    assert long.filter(pl.col("condition") == "none")["delta_vs_none"].to_list() == [0.0] * 5
    assert (long["ci_low"] <= long["score"]).all()
    assert (long["ci_high"] >= long["score"]).all()


def test_a_run_killed_in_the_middle_and_resumed_on_one_core_gives_the_same_bytes(finished, tmp_path):
    checkout = Checkout.copy(tmp_path / "vlmscope")
    command = checkout.command(TABLE, "--cores", "1")
    running = subprocess.Popen(
        command, cwd=checkout.folder, env=environment(), start_new_session=True, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: list(checkout.folder.glob("results/captures/*/*/*/*.part")) or captured(checkout) >= 2, running)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (checkout.folder / TABLE).exists()
    locked = checkout.run(TABLE, "-n", check=False)
    if locked.returncode:
        assert "unlock" in locked.stdout + locked.stderr
    checkout.run("--unlock")
    checkout.run(TABLE, "--cores", "1")
    for result in RESULTS:
        assert checkout.read(result) == finished.read(result)


def captured(checkout: Checkout) -> int:
    return len(list(checkout.folder.glob("results/captures/*/*/*/*.h5")))


def wait_for(condition, running, seconds: float = 600) -> None:
    """Wait until the condition holds while the run is still under way."""
    end = time.monotonic() + seconds
    while not condition():
        assert running.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < end, "nothing to interrupt turned up"
        time.sleep(0.05)


def test_a_damaged_shard_is_named_and_made_anew_by_itself(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "vlmscope", symlinks=True)
    checkout = Checkout(tmp_path / "vlmscope")
    shard = next(iter(sorted(checkout.folder.glob("results/captures/llava/domain_counts/rs/*.h5"))))
    stat = shard.stat()
    shard.write_bytes(shard.read_bytes()[:-500])
    # Under its old time stamp the engine does not see the damage: the reader must.
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    change = "mmneuron.identify.top_rate=0.15"
    done = checkout.run(TABLE, "--cores", "1", check=False, overlays=checkout.overlays(change))
    assert done.returncode == 1
    words = done.stdout + done.stderr
    assert str(shard.relative_to(checkout.folder)) in words
    assert "delete it and the index.json beside it" in words
    assert "logs/mmneuron_identify/llava.log" in words
    shard.unlink()
    shard.with_name("index.json").unlink()
    planned = checkout.planned(change)
    assert planned["capture_shard"] == planned["capture_index"] == 1
    assert "mmneuron_generate" not in planned


@pytest.mark.slurm
@pytest.mark.slow
def test_slurm_gives_the_same_bytes(finished, slurm, tmp_path):
    checkout = Checkout.copy(tmp_path / "vlmscope")
    before = len(slurm.jobs())
    done = slurm.run(
        *checkout.command(TABLE, *SLURM, *QUICK, overlays=checkout.overlays("captures.domain_counts.shards=2")),
        cwd=checkout.folder,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for result in RESULTS:
        assert checkout.read(result) == finished.read(result)
    jobs = slurm.jobs()[before:]
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    # Ten shards, five untouched generations and one masked of all domains ask for a GPU; the rest runs beside them.
    partitions = [job["Partition"] for job in jobs]
    assert partitions.count("gpu") == 16
    assert partitions.count("cpu") == len(jobs) - 16 >= 6


@pytest.mark.slow
def test_every_rule_asks_slurm_for_what_it_needs(finished, stub_slurm, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "vlmscope", symlinks=True)
    checkout = Checkout(tmp_path / "vlmscope")
    for part in ("mmneuron", "captures", "data"):
        shutil.rmtree(checkout.folder / "results" / part)
    target = "results/mmneuron/llava/neurons.json"
    done = stub_slurm.run(*checkout.command(target, *SLURM, *QUICK), cwd=checkout.folder, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = {call["comment"].split("_wildcards")[0]: call for call in stub_slurm.calls()}
    shard = next(call for name, call in asked.items() if "capture_shard" in name)
    assert shard["partition"] == "gpu"
    assert str(shard["gpus"]) == "1"
    for name, call in asked.items():
        if "capture_shard" not in name:
            assert call["partition"] == "cpu"
            assert not call.get("gpus")
        assert int(call["mem"]) >= 1000
        assert int(call["time"]) >= 10


def test_the_whole_default_target_was_made(finished):
    for result in ALL:
        assert finished.read(result)


# ---- controls ----------------------------------------------------------------------------------------------------

MODULES = ["", "lang", "vision+mmproj", "mmproj", "lang+vision+mmproj"]
DOMAINS = ["ad", "med", "rs", "com", "doc"]


def of_llava(checkout: Checkout, name: str) -> pl.DataFrame:
    return pl.read_csv(checkout.folder / f"results/mmneuron/llava/{name}.csv")


@pytest.mark.parametrize("name", ["table3", "table4", "table5"])
def test_controls_have_the_rows_and_columns_of_table_2(name, finished):
    table, two = of_llava(finished, name), of_llava(finished, "table2")
    assert table.columns == two.columns
    assert table.select("baseline", "module", "masked_modules").equals(
        two.select("baseline", "module", "masked_modules")
    )


def test_untouched_states_do_not_deviate_and_masked_ones_do(finished):
    for name in ("table3", "table5"):
        numbers = of_llava(finished, name).select(pl.exclude("baseline", "module", "masked_modules")).rows()
        assert set(numbers[0]) == {0.0}
        assert all(max(row) > 0 for row in numbers[1:])


def test_table_1_counts_what_the_summary_says(finished):
    table = of_llava(finished, "table1")
    assert table.columns == [
        *("baseline", "module", "n_neurons", "n_selected", *DOMAINS, "union", "shared_ge2", "threshold")
    ]
    summary = json.loads(finished.read("results/mmneuron/llava/neurons.json"))
    assert table["module"].to_list() == ["lang", "vision", "mmproj"]
    for row in table.iter_rows(named=True):
        assert {domain: row[domain] for domain in DOMAINS} == summary[row["module"]]["members"]
        assert max(row[domain] for domain in DOMAINS) <= row["union"] <= row["n_selected"] < row["n_neurons"]


def test_random_neurons_are_as_many_as_the_own_ones_and_others(finished):
    rows = pl.read_parquet(finished.folder / "results/mmneuron/llava/effects/all.parquet")
    assert rows["domain"].unique(maintain_order=True).to_list() == DOMAINS
    sizes = rows.filter(pl.col("kind").is_in(["own", "random"])).group_by("domain", "condition", "kind")
    sizes = sizes.agg(pl.col("units").unique()).explode("units").pivot("kind", values="units")
    # A layer that is masked by more than half has fewer others.
    assert (sizes["random"] <= sizes["own"]).all() and (sizes["random"] > 0).any()
    assert rows.filter(pl.col("kind") == "none")["deviation"].to_list() == [0.0] * 15


def test_every_other_result_was_made_with_its_figure(finished):
    cross = of_llava(finished, "cross")
    assert cross.select("neurons_of", "tested_on").rows() == [(a, b) for a in DOMAINS for b in DOMAINS]
    dose = of_llava(finished, "dose")
    assert dose["domain"].unique(maintain_order=True).to_list() == [*DOMAINS, "mean"]
    assert sorted(set(dose["rate"])) == [0.1, 0.2]
    edits = of_llava(finished, "ablations").select("edit", "factor").unique(maintain_order=True).rows()
    assert edits == [("zero", 0.0), ("mean", None), ("scale", 0.5), ("scale", 2.0)]
    positions = of_llava(finished, "positions")
    assert positions.select("a", "b").unique(maintain_order=True).rows() == [
        *(("all", "image"), ("all", "text"), ("image", "text"))
    ]
    # The small run has one shard.
    assert of_llava(finished, "stability").is_empty()
    for name in ("effects", "cross", "dose", "stability"):
        assert finished.read(f"results/mmneuron/llava/{name}.svg").startswith(b"<?xml")
        assert finished.read(f"results/mmneuron/llava/{name}.png").startswith(b"\x89PNG")
