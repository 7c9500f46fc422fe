"""A torchvision that does not fit is explained; one that does changes nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
START = "from vlmscope.models import load; load.slim_imports(); print('started')"
DIGEST = """
import hashlib
from pathlib import Path
from PIL import Image
from vlmscope.models import inputs
from vlmscope.models.tiny import shelf
from vlmscope.models.tiny.recipe import RECIPES
for name in ("llava", "qwen2-vl", "blip", "idefics2"):
    loaded, _ = shelf.opened(RECIPES[name], Path("weights", name))
    shown = [Image.linear_gradient("L").convert("RGB").resize(size) for size in ((64, 64), (90, 48))]
    tensors = inputs.encode(loaded, ["<image>\\nhello", "<image>\\nhello dog"], shown, "left")
    print(name, {key: hashlib.sha1(tensors[key].contiguous().numpy()).hexdigest() for key in sorted(tensors)})
"""


# The names that transformers takes from it at import; whoever used one for pictures would fail.
FITTING = {
    "__init__.py": "__version__ = '0.28.0'",
    "io.py": "ImageReadMode = decode_image = None",
    "transforms/__init__.py": "from enum import Enum\n"
    "InterpolationMode = Enum('InterpolationMode', 'NEAREST NEAREST_EXACT BOX BILINEAR HAMMING BICUBIC LANCZOS')",
    "transforms/functional.py": "pil_to_tensor = None",
    "transforms/v2/__init__.py": "",
    "transforms/v2/functional.py": "",
}


def package(folder: Path, files: dict[str, str]) -> Path:
    """A torchvision as pip would lay it out."""
    for name, text in files.items():
        path = folder / "torchvision" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    about = folder / "torchvision-0.28.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    return folder


def run(code: str, *folders: Path) -> subprocess.CompletedProcess:
    before = f"import sys; sys.path[:0] = {[str(ROOT), *map(str, folders)]!r}\n"
    return subprocess.run([sys.executable, "-c", before + code], cwd=ROOT, text=True, capture_output=True)


def test_one_that_does_not_fit_its_torch_is_explained(tmp_path):
    words = "operator torchvision::nms does not exist"
    done = run(START, package(tmp_path, {"__init__.py": f"raise RuntimeError({words!r})"}))
    assert done.returncode
    assert words in done.stderr and "pip uninstall torchvision" in done.stderr


def test_one_that_fits_changes_no_tensor_of_the_processors(tmp_path):
    bare, beside = run(DIGEST), run(START + DIGEST, package(tmp_path, FITTING))
    assert bare.returncode == beside.returncode == 0, bare.stderr + beside.stderr
    assert beside.stdout == "started\n" + bare.stdout
    assert bare.stdout.count("pixel_values") == 4
