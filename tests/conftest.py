"""One thread per process: busy neighbours with two OpenMP threads each slow each other down many times over."""

import os

from slurm_fixtures import slurm, stub_slurm

__all__ = ["slurm", "stub_slurm"]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
