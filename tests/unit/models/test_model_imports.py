"""What a process has to import before it holds a model class: torch and transformers, not the libraries around them."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vlmscope.models.load import slim_imports

ROOT = Path(__file__).resolve().parents[3]
UNUSED = ("sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "datasets", "polars", "snakemake", "IPython", "numba")
ASK = """
import gc, json, sys
import torch
from vlmscope.models.load import slim_imports

slim_imports()
slim_imports()
from transformers import LlavaNextForConditionalGeneration, LlavaNextImageProcessorPil, LlavaNextProcessor

print(json.dumps({"modules": sorted(sys.modules), "collecting": gc.isenabled(), "frozen": gc.get_freeze_count()}))
"""


@pytest.fixture(scope="module")
def fresh():
    """State of a new process that holds the classes of LLaVA-NeXT."""
    run = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_a_model_class_does_not_bring_libraries_that_it_does_not_use(fresh):
    roots = {name.split(".")[0] for name in fresh["modules"]}
    assert {"torch", "transformers", "tokenizers", "PIL"} <= roots
    assert not roots & set(UNUSED)


def test_the_collector_works_again_after_the_imports_and_leaves_modules_alone(fresh):
    assert fresh["collecting"]
    assert fresh["frozen"] > 10_000


def test_imports_done_once_freeze_nothing_more():
    slim_imports()
    before = gc.get_freeze_count()
    slim_imports()
    # Frozen objects may still die; none joins them.
    assert gc.get_freeze_count() <= before and gc.isenabled()
