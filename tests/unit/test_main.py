import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from vlmscope import __main__ as command
from vlmscope import config, config_files
from vlmscope.models.base import family
from vlmscope.store import shards


@pytest.fixture
def shard(tmp_path):
    arrays = {"fired": np.arange(6).reshape(2, 3), "total": np.ones((2, 3)), "seen": 9}
    shards.write(tmp_path / "00000.h5", ["s0", "s1"], {"mlp_gate.all.counts": arrays}, {"model": "fingerprint"})
    shards.close_index(tmp_path / "index.json", [str(tmp_path / "00000.h5")], {})
    return tmp_path / "00000.h5"


def told(capsys, *arguments):
    code = command.main([str(one) for one in arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_shard_is_described(capsys, shard):
    code, out, _ = told(capsys, "inspect", shard)
    assert code == 0
    assert "2 samples" in out and "fingerprint" in out
    assert "mlp_gate.all.counts/fired" in out and "int64 (2, 3)" in out


def test_an_index_is_described_and_its_shards_are_verified(capsys, shard):
    code, out, _ = told(capsys, "inspect", shard.parent / "index.json")
    assert code == 0 and "1 shards, 2 samples" in out
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    code, out, err = told(capsys, "inspect", shard.parent / "index.json")
    assert (code, out) == (1, "") and "digest differs" in err and str(shard) in err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_are_shown_whole(capsys, tmp_path, suffix):
    frame = pl.DataFrame({"name": [f"row{k}" for k in range(60)], "value": range(60)})
    path = tmp_path / f"t.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    code, out, _ = told(capsys, "show", path, path)
    assert code == 0 and out.count("row31") == 2 and out.count(str(path)) == 2
    assert told(capsys, "inspect", path)[1].count("row59") == 1


def test_an_empty_cell_is_shown_empty(capsys, tmp_path):
    (tmp_path / "t.csv").write_text("masked,score\n,1\nlang,2\n")
    code, out, _ = told(capsys, "show", tmp_path / "t.csv")
    assert code == 0 and "lang" in out and "null" not in out


@pytest.mark.parametrize("verb", ["show", "inspect"])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.h5", "index.json"])
def test_a_missing_file_is_told_without_a_traceback(capsys, tmp_path, verb, name):
    code, out, err = told(capsys, verb, tmp_path / name)
    assert (code, out) == (1, "") and "not there" in err and str(tmp_path / name) in err


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_damaged_table_is_told_without_a_traceback(capsys, tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    code, _, err = told(capsys, "show", tmp_path / name)
    assert code == 1 and str(tmp_path / name) in err


def test_sites_are_listed(capsys):
    code, out, _ = told(capsys, "sites", "llava_next")
    listed = [line.split()[0] for line in out.splitlines()[1:]]
    assert code == 0 and listed == list(family("llava_next").sites)
    code, _, err = told(capsys, "sites", "lava")
    assert code == 1 and "llava_next" in err


@pytest.mark.parametrize("name", config.default().models)
def test_sites_of_every_model_of_the_catalogue_are_listed(capsys, name):
    code, out, _ = told(capsys, "sites", name)
    kind = family(config.default().models[name].family)
    assert code == 0 and out.splitlines()[0].endswith(f"(family {kind.name})")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(kind.sites)


def test_a_file_of_one_s_own_is_laid_over_the_default(capsys, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("models:\n  mine: {family: qwen2_vl, label: Mine, source: folder, checkpoint: somewhere}\n")
    assert told(capsys, "check", mine)[0] == 0
    code, out, _ = told(capsys, "sites", "mine", mine)
    assert code == 0 and "(family qwen2_vl)" in out
    mine.write_text("models:\n  mine: {family: qwen9, label: Mine, checkpoint: somewhere}\n")
    code, _, err = told(capsys, "check", mine)
    assert code == 1 and "models.mine.family" in err and "qwen2_vl" in err
    mine.write_text("- a list\n")
    assert told(capsys, "check", mine)[0] == 1


def test_a_configuration_is_checked(capsys, tmp_path):
    (tmp_path / "good.yaml").write_text(config_files.default_text())
    assert told(capsys, "check", tmp_path / "good.yaml")[0] == 0
    (tmp_path / "bad.yaml").write_text(config_files.default_text().replace("scale: tiny", "scale: huge"))
    code, _, err = told(capsys, "check", tmp_path / "bad.yaml")
    assert code == 1 and "scale" in err and str(tmp_path / "bad.yaml") in err


def test_generated_files_are_written_where_the_user_stands(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told(capsys, "config")[0] == 0
    assert (tmp_path / "config.yaml").read_text() == config_files.default_text()
    assert (tmp_path / "config.schema.json").read_text() == config_files.schema_text()


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "vlmscope", "sites", "nope"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "no model family 'nope'" in done.stderr and "Traceback" not in done.stderr
    done = subprocess.run([sys.executable, "-m", "vlmscope"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "usage" in done.stderr
