import logging
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmscope import session
from vlmscope.errors import VlmscopeError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def restored():
    """Logging as it was: a job ends with its process, a test does not."""
    root, level = logging.getLogger(), logging.getLogger().level
    yield
    logging.captureWarnings(False)
    root.setLevel(level)


def test_messages_and_warnings_go_to_the_log_and_nowhere_afterwards(tmp_path):
    path = tmp_path / "deep" / "a.log"
    with warnings.catch_warnings(), session.logged(str(path)):
        warnings.simplefilter("always")
        session.log.info("half done")
        warnings.warn("odd", UserWarning, stacklevel=1)
    session.log.warning("later")
    text = path.read_text()
    assert "half done" in text and "odd" in text and "later" not in text
    assert not [
        one
        for one in logging.getLogger().handlers
        if isinstance(one, logging.FileHandler) and "a.log" in one.baseFilename
    ]


def test_a_user_s_error_ends_the_job_with_its_words_alone(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught, session.logged(str(tmp_path / "a.log")):
        raise VlmscopeError("No such model.", where="models.x", instead="llava")
    assert caught.value.code == 1
    shown = capsys.readouterr().err
    for words in ("No such model.", "where: models.x", "instead: llava", str(tmp_path / "a.log")):
        assert words in shown
    assert "Traceback" not in shown + (tmp_path / "a.log").read_text()
    assert "No such model." in (tmp_path / "a.log").read_text()


def test_any_other_error_leaves_its_traceback_in_the_log(tmp_path):
    with pytest.raises(ZeroDivisionError), session.logged(str(tmp_path / "a.log")):
        1 / 0  # noqa: B018
    assert "Traceback" in (tmp_path / "a.log").read_text()
    assert "ZeroDivisionError" in (tmp_path / "a.log").read_text()


def test_a_log_starts_anew(tmp_path):
    for words in ("first", "second"):
        with session.logged(str(tmp_path / "a.log")):
            session.log.info(words)
    assert "first" not in (tmp_path / "a.log").read_text()


def test_settings_come_back_from_their_text():
    assert session.settings('{"a":[1,{"b":null}]}') == {"a": [1, {"b": None}]}


def test_progress_hands_everything_through_and_tells_the_end(caplog):
    with caplog.at_level(logging.INFO):
        assert list(session.progress(iter("abc"), 3, "batches")) == ["a", "b", "c"]
    assert [record.message.split(",")[0] for record in caplog.records] == ["batches: 3 of 3"]


def test_progress_tells_every_step_when_asked_to(caplog):
    with caplog.at_level(logging.INFO):
        list(session.progress(range(4), 4, "rows", every=0))
    assert [record.message.split(",")[0] for record in caplog.records] == [f"rows: {n} of 4" for n in (1, 2, 3, 4)]


def test_progress_of_nothing_is_silent(caplog):
    with caplog.at_level(logging.INFO):
        assert list(session.progress([], 0, "rows")) == []
    assert not caplog.records


def test_all_generators_start_from_the_seed(monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    draws = []
    for seed in (3, 3, 4):
        session.prepare_torch(1, seed)
        draws.append((random.random(), np.random.random(), torch.rand(1).item()))
    assert draws[0] == draws[1] != draws[2]
    assert torch.get_num_threads() == 1


def test_without_a_gpu_the_cpu_is_used():
    assert session.device(0) == "cpu"
    assert session.device(1) == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("gpus", "wanted", "there", "place"),
    [
        (1, "auto", True, "cuda"),
        (1, "cuda", True, "cuda"),
        (2, "auto", True, "auto"),
        (4, "cuda", True, "auto"),
        (1, "cpu", True, "cpu"),
        (0, "auto", True, "cpu"),
        (1, "auto", False, "cpu"),
        (0, "cpu", False, "cpu"),
    ],
)
def test_a_model_goes_where_the_job_s_gpus_and_its_setting_say(monkeypatch, gpus, wanted, there, place):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert session.device(gpus, wanted) == place


@pytest.mark.parametrize(("gpus", "said"), [(1, "torch finds none"), (0, "given no GPU")])
def test_a_model_that_insists_on_a_gpu_does_not_fall_back(monkeypatch, gpus, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(VlmscopeError, match=said):
        session.device(gpus, "cuda")


def test_every_job_with_a_model_asks_for_both_the_gpus_and_the_setting():
    jobs = [path for path in sorted((ROOT / "scripts").glob("*.py")) if "models.load" in path.read_text()]
    loading = [path.name for path in jobs if re.search(r"load\((snakemake\.input|read)\.model", path.read_text())]
    both = "device(snakemake.resources.gpu, snakemake.resources.device)"
    assert "capture_shard.py" in loading
    assert loading == [path.name for path in jobs if both in path.read_text()]


def test_float32_is_not_rounded_in_convolutions():
    session.prepare_torch(1)
    assert torch.backends.cudnn.allow_tf32 is False


def test_importing_the_session_costs_no_torch():
    code = "import sys, vlmscope.session; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
