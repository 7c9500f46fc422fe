"""The test clusters themselves, and the profiles on a toy workflow."""

import os
import sys
import tempfile
import time
from pathlib import Path

import pytest
import slurm_fixtures
from local_slurm import Cluster
from slurm_fixtures import Slurm, StubSlurm, copy_profiles

ROOT = Path(__file__).parents[2]
SNAKEMAKE = (sys.executable, "-m", "snakemake")
FAST = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5")
TOY = """
rule figure:
    input: "numbers.txt"
    output: "figure.txt"
    threads: 2
    resources: mem_mb=1500, runtime=20
    shell: "cat {input} > {output}; echo {config[scale]} ${{SLURM_JOB_PARTITION:-local}} {threads} >> {output}"

rule numbers:
    output: "numbers.txt"
    resources: gpu=1
    shell: "echo {config[scale]} ${{SLURM_JOB_PARTITION:-local}} ${{CUDA_VISIBLE_DEVICES:-none}} > {output}"
"""
FAILING = """
rule ledger:
    output: "never.txt"
    resources: tries=lambda wildcards, attempt: attempt
    shell: "echo {resources.tries} >> ledger.txt; false"
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A workflow of one GPU rule and one CPU rule with the project's profiles."""
    copy_profiles(ROOT, tmp_path)
    (tmp_path / "Snakefile").write_text(TOY)
    return tmp_path


def wait_for_jobs(slurm: Slurm, numbers: set[str]) -> dict[str, dict[str, str]]:
    """The log entries of the given jobs, once all have ended."""
    deadline = time.monotonic() + 30
    while True:
        done = {job["JobId"]: job for job in slurm.jobs() if job["JobId"] in numbers}
        if set(done) == numbers or time.monotonic() > deadline:
            return done
        time.sleep(0.1)


def processes_with(text: str) -> list[int]:
    """Processes that have the text on their command line or in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            seen = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in seen:
            found.append(int(entry.name))
    return found


# The real cluster


@pytest.mark.slurm
def test_two_partitions_and_cpu_is_the_default(slurm: Slurm) -> None:
    lines = slurm.run("sinfo", "-h", "-o", "%P %D %G").stdout.split("\n")
    assert sorted(filter(None, lines)) == ["cpu* 2 (null)", "gpu 1 gpu:2"]


@pytest.mark.slurm
def test_a_gpu_job_sees_its_device_and_the_log_names_partition_and_node(slurm: Slurm, tmp_path: Path) -> None:
    script = 'echo "${CUDA_VISIBLE_DEVICES-none}" > '
    submit = ("sbatch", "--parsable", "-o", "/dev/null")
    gpu = slurm.run(*submit, "-p", "gpu", "--gpus=1", f"--wrap={script}{tmp_path}/gpu").stdout.strip()
    cpu = slurm.run(*submit, f"--wrap={script}{tmp_path}/cpu").stdout.strip()
    done = wait_for_jobs(slurm, {gpu, cpu})
    assert [done[n]["JobState"] for n in (gpu, cpu)] == ["COMPLETED", "COMPLETED"]
    assert (done[gpu]["Partition"], done[gpu]["NodeList"]) == ("gpu", "g1")
    assert done[cpu]["Partition"] == "cpu"
    assert (tmp_path / "gpu").read_text().strip() in ("0", "1")
    assert (tmp_path / "cpu").read_text() == "none\n"


@pytest.mark.slurm
def test_stop_ends_daemons_and_stubborn_jobs_and_purge_removes_the_state() -> None:
    slurm_fixtures.require_daemons()
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")))
    sleeper = f"trap '' TERM; : {cluster.home}; sleep 600 & wait; wait"
    try:
        cluster.start()
        Slurm(cluster).run("sbatch", "-o", "/dev/null", f"--wrap={sleeper}")
        assert len(processes_with(str(cluster.home))) >= 5
    finally:
        cluster.stop(purge=True)
    assert processes_with(str(cluster.home)) == []
    assert not cluster.home.exists()


@pytest.mark.slurm
@pytest.mark.slow
def test_the_profile_runs_each_rule_in_its_partition(slurm: Slurm, toy: Path) -> None:
    before = len(slurm.jobs())
    command = (*SNAKEMAKE, "--profile", "slurm", "--slurm-init-seconds-before-status-checks", "6")
    run = slurm.run(*command, "--config", "scale=tiny", cwd=toy)
    assert run.returncode == 0, run.stderr
    assert (toy / "figure.txt").read_text() == "tiny gpu 0\ntiny cpu 2\n"
    assert [(job["Partition"], job["JobState"]) for job in slurm.jobs()[before:]] == [
        ("gpu", "COMPLETED"),
        ("cpu", "COMPLETED"),
    ]


def test_a_missing_daemon_skips_with_a_reason_but_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_fixtures, "missing_tools", lambda: ["slurmd"])
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="slurmd"):
        slurm_fixtures.require_daemons()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="slurmd"):
        slurm_fixtures.require_daemons()


# The stub cluster


def test_the_profile_submits_partition_time_memory_and_gpus(stub_slurm: StubSlurm, toy: Path) -> None:
    run = stub_slurm.run(*SNAKEMAKE, "--profile", "slurm", *FAST, cwd=toy)
    assert run.returncode == 0, run.stderr
    gpu, cpu = stub_slurm.calls()
    assert (gpu["comment"], cpu["comment"]) == ("rule_numbers", "rule_figure")
    assert (gpu["partition"], gpu["time"], gpu["mem"], gpu["gpus"]) == ("gpu", "60", "2000", "1")
    assert "--gpus=1" in gpu["arguments"]
    assert (cpu["partition"], cpu["time"], cpu["mem"], cpu["cpus_per_task"]) == ("cpu", "20", "1500", "2")
    assert "gpus" not in cpu
    assert (toy / "figure.txt").read_text() == "paper gpu 0\npaper cpu 2\n"


def test_the_profile_tries_a_failing_job_three_times(toy: Path) -> None:
    (toy / "Snakefile").write_text(FAILING)
    command = (*SNAKEMAKE, "--profile", "slurm", "--executor", "local", "--cores", "1")
    run = StubSlurm(dict(os.environ), toy / "none").run(*command, cwd=toy)
    assert run.returncode == 1
    assert (toy / "ledger.txt").read_text().split() == ["1", "2", "3"]


def test_sbatch_refuses_options_it_does_not_know(stub_slurm: StubSlurm) -> None:
    run = stub_slurm.run("sbatch", "--frobnicate", "--wrap=true")
    assert run.returncode != 0
    assert stub_slurm.calls() == []


def test_a_background_job_can_be_cancelled(stub_slurm: StubSlurm) -> None:
    env = stub_slurm.env | {"STUB_SLURM_FOREGROUND": "0"}
    number = stub_slurm.run("sbatch", "--job-name", "long", "--wrap=sleep 60", env=env).stdout.strip()
    look = ("squeue", "--format=%i|%T", "--states=all", "--noheader", "--name", "long")
    assert stub_slurm.run(*look).stdout == "1|RUNNING\n"
    stub_slurm.run("scancel", number)
    assert stub_slurm.run(*look).stdout == "1|CANCELLED\n"


def test_a_local_run_takes_all_cores_and_a_cluster_run_is_not_capped(toy: Path) -> None:
    command = (*SNAKEMAKE, "--config", "scale=tiny")
    local = StubSlurm(dict(os.environ), toy / "none").run(*command, cwd=toy)
    assert local.returncode == 0, local.stderr
    assert f"Provided cores: {len(os.sched_getaffinity(0))}" in local.stderr
    assert (toy / "numbers.txt").read_text() == "tiny local none\n"
