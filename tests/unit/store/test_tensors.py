"""Safetensors files, byte for byte."""

import subprocess
import sys

import torch
from safetensors import safe_open

from vlmscope.store import tensors

ABOUT = {"recipe": "a", "family": "b", "units": "ü"}
HELD = {"one.weight": torch.arange(6.0).view(2, 3), "two": torch.ones(3, dtype=torch.int64)}


def test_what_was_written_is_read(tmp_path):
    tensors.write(HELD, tmp_path / "a.safetensors", ABOUT)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", **ABOUT}
        assert all(torch.equal(file.get_tensor(name), value) for name, value in HELD.items())
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


def test_other_runs_write_the_same_bytes(tmp_path):
    code = (
        "import sys, torch; from vlmscope.store import tensors; "
        f"tensors.write({{'a': torch.ones(2)}}, sys.argv[1], {ABOUT!r})"
    )
    for number in range(3):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / f"{number}.safetensors")], check=True)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
