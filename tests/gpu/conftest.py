"""Checks that want a GPU share the tiny models and the checks of tests/contract; `--device cpu` tries them without."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

import machine


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the checks run; not known when they are part of a run over all tests, which then wants a GPU."""
    parser.addoption("--device", default="cuda", choices=["cuda", "cpu"], help="where the checks of tests/gpu run")


def pytest_configure(config: pytest.Config) -> None:
    """Hand the option to modules, which decide at import whether they can run."""
    machine.DEVICE = config.getoption("--device", default="cuda")


def pytest_report_header() -> str:
    """The machine, above the results."""
    return machine.line()
