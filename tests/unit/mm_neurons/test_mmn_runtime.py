import json
import re
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from PIL import Image

from vlmscope.config import default, plain, resolve
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.edit.plan import Edits
from vlmscope.mm_neurons.image import grids
from vlmscope.mm_neurons.image.grids import Seen
from vlmscope.mm_neurons.look import runtime
from vlmscope.mm_neurons.look.runtime_plan import WHOLE, Stages

ROOT = Path(__file__).resolve().parents[3]
EDITS = {"mm_neurons_edit", "mm_neurons_edit_stack"}
HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def write(path, seconds, memory="100.5"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + f"{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t1\t1\n")
    return str(path)


def config(**changes):
    """The default configuration with other settings of this system."""
    tree = plain(default())
    for part, keys in changes.items():
        tree["mm_neurons"][part] |= keys
    return resolve(tree, where="a test")


def stages(found=None):
    found = found or config()
    return Stages(found, Edits(found), ["00000", "00001"])


def job(model):
    return SimpleNamespace(model=model)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Plan of a model whose files all lie in a folder."""
    monkeypatch.chdir(tmp_path)
    plan = json.loads(stages().plan(job("blip")))
    for name, stage in plan.items():
        for number, path in enumerate(stage["benchmarks"]):
            memory = "-" if name == "mm_neurons_words" else str(100 + number)
            write(Path(path), 2.5, memory)
    for path in stages().files(job("blip")):
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.name == "maps.h5":
            grids.write(file, [Seen("a", Image.new("RGB", (4, 4)), (2, 2), None)], {})
        elif file.suffix == ".parquet":
            pl.DataFrame({"sample": ["a", "b", "b", file.stem]}).write_parquet(file)
        elif file.suffix != ".tsv":
            file.write_bytes(bytes(1000))
    return plan


def test_every_stage_has_a_row_with_its_sums(made):
    found = runtime.from_files(made)
    assert dict(found.schema) == runtime.RUNTIME
    assert found["stage"].to_list() == ["capture_shard", *WHOLE, "mm_neurons_edit", "mm_neurons_edit_stack"]
    first = found.row(0, named=True)
    assert first == {
        "stage": "capture_shard",
        "seconds": 5.0,
        "images": 3,
        "peak_memory": 101.0,
        "bytes": 2000,
        "jobs": 2,
        "seconds_per_image": pytest.approx(5 / 3),
    }
    maps = found.filter(stage="mm_neurons_maps").row(0, named=True)
    assert (maps["images"], maps["seconds_per_image"]) == (1, 2.5)


def test_edits_are_summed_over_their_jobs(made):
    found = runtime.from_files(made)
    edit, stack = (found.filter(stage=f"mm_neurons_edit{end}").row(0, named=True) for end in ("", "_stack"))
    # Two pairs, three methods; every table here has a picture of its own beside two that all have.
    assert (edit["jobs"], edit["seconds"], edit["images"]) == (6, 15.0, 8)
    assert (stack["jobs"], stack["seconds"], stack["images"]) == (3, 7.5, 5)


def test_what_could_not_be_measured_is_empty(made):
    words = runtime.from_files(made).filter(stage="mm_neurons_words").row(0, named=True)
    assert (words["peak_memory"], words["images"], words["seconds_per_image"]) == (None, None, None)
    assert words["seconds"] == 2.5


def test_every_stage_s_files_are_counted(made):
    found = runtime.from_files(made)
    for name, stage in made.items():
        sizes = sum(Path(path).stat().st_size for path in stage["files"])
        assert found.filter(stage=name)["bytes"].item() == sizes > 0


def test_a_file_that_is_no_benchmark_is_refused(made):
    Path("benchmarks/mm_neurons_rank/blip.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(VlmscopeError, match="no benchmark"):
        runtime.from_files(made)


def test_every_rule_of_a_model_that_is_measured_is_a_stage():
    rules = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("mm_neurons*.smk")))
    measured = set(re.findall(r"\"benchmarks/(mm_neurons_\w+)/", rules))
    assert measured == set(stages().of("blip")) - {"capture_shard"}


def test_an_imported_model_was_neither_captured_nor_ranked_here():
    imported = {"imported": {"blip": {"folder": "/somewhere"}}}
    plan = stages(config(exchange=imported, rank={"activations": ["act_fn"]}))
    assert {"capture_shard", "mm_neurons_rank"} == set(plan.of("llava-llama2")) - set(plan.of("blip"))
    assert not [path for path in plan.files(job("blip")) if "captures" in path or "mm_neurons_rank" in path]


@pytest.mark.parametrize(("pairs", "gone"), [(1, {"mm_neurons_edit_stack"}), (0, EDITS)])
def test_edits_that_are_not_made_cost_nothing(pairs, gone):
    plan = stages(config(edit={"pairs": [{"source": "red", "target": "blue"}][:pairs]}))
    assert set(stages().of("blip")) - set(plan.of("blip")) == gone
