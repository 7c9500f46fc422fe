"""Neuron sets against the official identification script (golden README: identify)."""

import json
from pathlib import Path

import numpy as np
import pytest

from vlmscope.mmneuron.identify import select

HERE = Path(__file__).parent / "mmneuron"
CASES = json.loads((HERE / "identify.json").read_text())


@pytest.fixture(scope="module")
def arrays():
    with np.load(HERE / "identify.npz") as file:
        return dict(file)


@pytest.mark.parametrize("compat_float32", [True, False])
@pytest.mark.parametrize("case", sorted(CASES))
def test_sets_equal_the_official_ones_but_for_ties_at_the_cut(case, compat_float32, arrays):
    fired = np.moveaxis(arrays[f"{case}/counts"].astype(np.int64), 2, 0)
    selection = select(fired, arrays[f"{case}/tokens"], compat_float32=compat_float32)
    official = arrays[f"{case}/official_mask"]
    assert selection.members.shape == official.shape
    different = (selection.members != official).any(axis=0)
    cut = selection.entropy.ravel()[selection.selected[-1]]
    np.testing.assert_allclose(selection.entropy[different], cut, rtol=1e-6)
    assert selection.members.any(axis=0).sum() == official.any(axis=0).sum()


@pytest.mark.parametrize("case", sorted(CASES))
def test_thresholds_equal_the_printed_ones(case, arrays):
    fired = np.moveaxis(arrays[f"{case}/counts"].astype(np.int64), 2, 0)
    selection = select(fired, arrays[f"{case}/tokens"], compat_float32=True)
    printed = CASES[case]["stdout"]
    assert selection.threshold == pytest.approx(float(printed[0]), abs=1e-7)
    assert selection.bar == pytest.approx(float(printed[-1 if len(printed) < 5 else 3]), abs=1e-7)
