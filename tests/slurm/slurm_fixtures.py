"""Fixtures: `slurm`, a real cluster for the whole session, and `stub_slurm`, stand-ins that record submissions."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_slurm import Cluster, missing_tools

STUB_BIN = Path(__file__).parent / "stub" / "bin"


@dataclass(frozen=True)
class Slurm:
    """A running cluster."""

    cluster: Cluster

    @property
    def env(self) -> dict[str, str]:
        """Environment in which commands reach the cluster."""
        return self.cluster.environment()

    def run(self, *command: str | Path, **options: object) -> subprocess.CompletedProcess:
        """Run a command as a client of the cluster; options as subprocess.run's, output captured by default."""
        settings = {"env": self.env, "text": True, "capture_output": True, "timeout": 600} | options
        return subprocess.run([str(part) for part in command], **settings)

    def jobs(self) -> list[dict[str, str]]:
        """Finished jobs in order: JobId, Name, JobState, Partition, NodeList, ... in Slurm's words."""
        log = self.cluster.job_log
        lines = log.read_text().splitlines() if log.exists() else []
        return [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]


@dataclass(frozen=True)
class StubSlurm:
    """Stand-ins for Slurm's client programs: env puts them first on PATH, log gets a line for each submission."""

    env: dict[str, str]
    log: Path

    def run(self, *command: str | Path, **options: object) -> subprocess.CompletedProcess:
        """Run a command that finds the stand-ins; options as subprocess.run's, output captured by default."""
        settings = {"env": self.env, "text": True, "capture_output": True, "timeout": 600} | options
        return subprocess.run([str(part) for part in command], **settings)

    def calls(self) -> list[dict]:
        """Each sbatch call: id, comment, partition, time, mem, gpus, cpus_per_task, ... as given, and `arguments`."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


def require_daemons() -> None:
    """Skip where Slurm is not installed; fail in CI, which must install it."""
    if missing := missing_tools():
        reason = f"needs a real Slurm; not installed: {', '.join(missing)} (Debian packages slurm-wlm and munge)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A real cluster: partition cpu with two nodes, partition gpu with one node and two pretended GPUs."""
    require_daemons()
    home = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: it holds a socket
    cluster = Cluster(home)
    try:
        cluster.start()
        yield Slurm(cluster)
    finally:
        cluster.stop(purge=True)


@pytest.fixture
def stub_slurm(tmp_path_factory: pytest.TempPathFactory) -> StubSlurm:
    """Stand-ins that run each job to its end within sbatch, so that the first look at it finds it done."""
    log = tmp_path_factory.mktemp("stub-slurm") / "sbatch.jsonl"
    path = os.pathsep.join([str(STUB_BIN), os.environ.get("PATH", os.defpath)])
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SNAKEMAKE_"))}
    return StubSlurm(env | {"PATH": path, "STUB_SLURM_LOG": str(log), "STUB_SLURM_FOREGROUND": "1"}, log)


def copy_profiles(source: Path, target: Path) -> None:
    """Give a toy workflow the project's profiles, link included."""
    shutil.copytree(source / "profiles", target / "profiles")
    (target / "slurm").symlink_to(os.readlink(source / "slurm"))
