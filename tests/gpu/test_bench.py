"""The script of the measurement runs, and with no more packages than an image for GPUs has."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Packages of the workflow that such an image need not have: torch, transformers, h5py, numpy, Pillow and xxhash do.
LEFT_OUT = ("pydantic", "polars", "pyarrow", "snakemake", "matplotlib", "sklearn", "jinja2", "accelerate")
START = f"""
import os, runpy, sys
sys.modules.update(dict.fromkeys({LEFT_OUT!r}))
sys.argv[:] = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def bench(*arguments):
    """What the script prints."""
    command = [sys.executable, "-W", "error", "-c", START, str(ROOT / "tests" / "gpu" / "bench.py"), *arguments]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_without_a_gpu_it_says_so():
    assert re.match(r"Not run: torch \S+ finds no GPU", bench())


def test_it_prints_a_table_of_both_plans():
    said = bench("--device", "cpu", "--size", "tiny", "--batches", "1", "3", "--repeats", "1")
    lines = [line for line in said.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [len(line) for line in cells] == [10] * 5
    assert [line[1] for line in cells[1:]] == ["1", "3", "1", "3"]
    assert {line[-1] for line in cells[1:]} == {"yes"}
    assert all(float(line[4]) > 0 for line in cells[1:])
