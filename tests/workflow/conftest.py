"""One finished run for all tests that only look at it."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "slurm")]

from checkout import ALL, Checkout
from slurm_fixtures import slurm, stub_slurm

__all__ = ["finished", "slurm", "stub_slurm"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which table 2 and the effects were made locally on two cores."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("finished") / "vlmscope")
    checkout.run(*ALL, "--cores", "2")
    return checkout
