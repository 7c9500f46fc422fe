"""One thread per process: busy neighbours with two OpenMP threads each slow each other down many times over."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
