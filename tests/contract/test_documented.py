"""What docs/adding.md shows works as it stands there."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmscope.errors import VlmscopeError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding.md"


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """The dataset module of the page, imported from a file."""
    section = PAGE.read_text(encoding="utf-8").split("## A dataset, one file")[1]
    path = tmp_path_factory.mktemp("documented") / "plain_questions.py"
    path.write_text(re.search(r"```python\n(.*?)```", section, flags=re.S)[1], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("plain_questions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_dataset_of_the_page_reads_its_tables(documented, tmp_path):
    Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(tmp_path / "one.png")
    (tmp_path / "val.csv").write_text("picture,question,answer\none.png,what is it?,dog\ngone.png,and this?,cat\n")
    (read,) = documented.read(tmp_path, "val", name="mine")
    assert (read.question, json.loads(read.answer), read.width, read.height) == ("what is it?", "dog", 12, 8)
    assert documented.prompt(read, "simple") == "<image>\nwhat is it?"
    with pytest.raises(VlmscopeError, match="not drawn"):
        documented.write([], tmp_path, "val")
