import numpy as np
import polars as pl
import pytest
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons import grids, runtime
from vlmscope.mm_neurons.grids import Seen

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def write(path, seconds, memory="100.5"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + f"{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t1\t1\n")
    return str(path)


@pytest.fixture
def made(tmp_path):
    """Benchmarks, shards and results of a model."""
    benchmarks = [write(tmp_path / f"benchmarks/capture_shard/m-{k}.tsv", 2.5, f"{100 + k}") for k in range(2)]
    benchmarks += [
        write(tmp_path / f"benchmarks/{stage}/m.tsv", 4.0, "-" if stage == "mm_neurons_words" else "50.0")
        for stage in runtime.STAGES
    ]
    shards = []
    for number in range(2):
        shards.append(tmp_path / f"{number}.h5")
        shards[-1].write_bytes(bytes(1000))
    folder = tmp_path / "results"
    folder.mkdir()
    for file in runtime.FILES:
        if file == "maps.h5":
            grids.write(folder / file, [Seen("a", Image.new("RGB", (4, 4)), (2, 2), None)], {})
        elif file.endswith(".parquet"):
            pl.DataFrame({"sample": ["a", "b", "b", "c"]}).write_parquet(folder / file)
        else:
            (folder / file).write_bytes(bytes(10))
    return benchmarks, [str(one) for one in shards], str(folder)


def test_every_stage_has_a_row_with_its_sums(made):
    found = runtime.from_files(*made)
    assert dict(found.schema) == runtime.RUNTIME
    assert found["stage"].to_list() == ["capture_shard", *runtime.STAGES]
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
    assert (maps["images"], maps["seconds_per_image"]) == (1, 4.0)


def test_what_could_not_be_measured_is_empty(made):
    words = runtime.from_files(*made).filter(stage="mm_neurons_words").row(0, named=True)
    assert (words["peak_memory"], words["images"], words["seconds_per_image"]) == (None, None, None)
    assert words["seconds"] == 4.0


def test_every_stage_s_files_are_counted(made):
    found = runtime.from_files(*made)
    for name, stage in runtime.STAGES.items():
        sizes = sum(np.array([(runtime.Path(made[2]) / file).stat().st_size for file in stage.files]))
        assert found.filter(stage=name)["bytes"].item() == sizes > 0


def test_a_file_that_is_no_benchmark_is_refused(made, tmp_path):
    (tmp_path / "benchmarks/mm_neurons_rank/m.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(VlmscopeError, match="no benchmark"):
        runtime.from_files(*made)
