"""A copy of the checkout in a folder of its own, and Snakemake run in it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SMALL = "tests/workflow/small.yaml"
TABLE = "results/mmneuron/llava/table2.csv"
HOME = "results/mmneuron/llava"
ALL = tuple(f"{HOME}/{name}.csv" for name in ("table1", "table2", "effects", "dose", "stability"))
DOMAINS = ("ad", "med", "rs", "com", "doc")
# Figures, pages, scores in both versions, released files: with ALL, every rule of MMNeuron but the imports.
FIGURES = (
    *(f"{HOME}/lens_{domain}_0.html" for domain in DOMAINS),
    *(f"{HOME}/{name}" for name in ("stages.csv", "neurons.csv", "fig2_pca.csv", "prompts.json")),
)
LOOK = (f"{HOME}/metrics.csv", f"{HOME}/neurons.html")
RELEASED = f"{HOME}/released/files.json"
EVERYTHING = (*ALL, *FIGURES, *LOOK, RELEASED)
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".snakemake", "results", "logs", "benchmarks", "__pycache__", ".*_cache"
)


@dataclass(frozen=True)
class Checkout:
    """A folder like a fresh clone, made of the files as they stand now, committed or not."""

    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> "Checkout":
        """Copy the sources; links stay links, results stay behind."""
        shutil.copytree(ROOT, folder, symlinks=True, ignore=LEFT_OUT)
        return cls(folder)

    def command(self, *arguments: str, overlays: tuple[str, ...] = (SMALL,)) -> list[str]:
        """The command line, targets first; options that take several values would swallow them."""
        files = ["--configfile", *overlays] if overlays else []
        return [sys.executable, "-m", "snakemake", *arguments, *files]

    def run(
        self, *arguments: str, overlays: tuple[str, ...] = (SMALL,), check: bool = True, **options: object
    ) -> subprocess.CompletedProcess:
        """Run Snakemake to its end; with `check` its output is shown when it fails."""
        settings = {"cwd": self.folder, "env": environment(), "text": True, "capture_output": True, "timeout": 1200}
        done = subprocess.run(self.command(*arguments, overlays=overlays), **(settings | options))
        if check and done.returncode:
            raise AssertionError(f"snakemake failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
        return done

    def planned(self, assignment: str = "", targets: tuple[str, ...] = ALL) -> dict[str, int]:
        """Rule -> number of jobs that a dry run lists, with dotted keys of the configuration set otherwise."""
        return job_stats(self.run(*targets, "-n", overlays=self.overlays(assignment)))

    def overlays(self, assignment: str) -> tuple[str, ...]:
        """Configuration files of a run in which `a.b.c=value` holds; `; ` stands between several."""
        if not assignment:
            return (SMALL,)
        tree: dict[str, Any] = {}
        for one in assignment.split("; "):
            path, value = one.split("=", 1)
            *above, last = path.split(".")
            part = tree
            for key in above:
                part = part.setdefault(key, {})
            part[last] = yaml.safe_load(value)
        (self.folder / "changed.yaml").write_text(yaml.safe_dump(tree))
        return (SMALL, "changed.yaml")

    def read(self, path: str) -> bytes:
        """A result's bytes."""
        return (self.folder / path).read_bytes()

    @contextmanager
    def edited(self, path: str, old: str, new: str) -> Iterator[None]:
        """A file with one text replaced; put back afterwards, time stamp included."""
        file = self.folder / path
        text, stat = file.read_text(), file.stat()
        assert text.count(old) == 1, f"{path} holds {old!r} {text.count(old)} times"
        file.write_text(text.replace(old, new))
        try:
            yield
        finally:
            file.write_text(text)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def environment() -> dict[str, str]:
    """The caller's environment without what a surrounding Snakemake or Slurm job would leave in it."""
    return {
        key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SNAKEMAKE_", "PYTHONPATH"))
    }


def job_stats(done: subprocess.CompletedProcess) -> dict[str, int]:
    """The job table that Snakemake prints, without its total; empty when there is nothing to do."""
    text = done.stdout + done.stderr
    table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\n\n", text, flags=re.DOTALL)
    rows = [line.split() for line in table[1].splitlines()] if table else []
    return {name: int(count) for name, count in rows if name != "total"}
