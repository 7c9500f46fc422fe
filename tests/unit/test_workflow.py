import json
import os
import re
import sys
from types import SimpleNamespace

import pytest
from configured import changed

from vlmscope import config, workflow
from vlmscope.errors import VlmscopeError

NAMES = SimpleNamespace(model="llava", domain="ad", dataset="rs")


# ---- settings ----------------------------------------------------------------------------------------------------

SETTINGS = workflow.Settings(config.default())


def test_settings_hold_the_named_keys_alone():
    text = SETTINGS(rate="mmneuron.identify.top_rate", kind="datasets.{domain}.kind")(NAMES)
    assert text == '{"kind":"lingoqa","rate":0.2}'


def test_settings_change_with_a_value_they_hold_and_with_no_other():
    other = workflow.Settings(changed(mmneuron__identify__top_rate=0.1))
    for path, same in (("mmneuron.identify", False), ("mmneuron.generate", True)):
        assert (other(x=path)(NAMES) == SETTINGS(x=path)(NAMES)) == same


def test_the_whole_configuration_comes_back():
    assert json.loads(SETTINGS.all(NAMES)) == config.plain(config.default())


@pytest.mark.parametrize("path", ["mmneuron.identfy", "models.lava.family", "scale.x"])
def test_a_path_that_leads_nowhere_is_named(path):
    with pytest.raises(VlmscopeError, match=f"no '{path}'"):
        SETTINGS(x=path)(NAMES)


def test_patterns_are_filled_from_the_wildcards():
    assert workflow.fill("a.{model}.{dataset}.{model}", NAMES) == "a.llava.rs.llava"


# ---- wildcards, resources, environment ---------------------------------------------------------------------------


def test_a_constraint_meets_its_names_alone():
    pattern = re.compile(workflow.one_of(["a.b", "c+"]))
    assert [bool(pattern.fullmatch(text)) for text in ("a.b", "c+", "axb", "cc", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    nothing = re.compile(workflow.one_of([]))
    assert not any(nothing.fullmatch(text) for text in ("", "a"))


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_demands_grow_with_the_attempt(attempt):
    found = workflow.Resources("paper").gpu(minutes=30, mem_gb=40, batch=4)
    assert (found["gpu"](NAMES), found["device"](NAMES), found["batch"]) == (1, "auto", 4)
    assert found["mem_mb"](NAMES, attempt) == 40_000 * attempt
    assert found["runtime"](NAMES, attempt) == 30 * attempt
    assert workflow.Resources("paper").cpu(mem_gb=1.5)["mem_mb"](NAMES, attempt) == 1500 * attempt


def test_tiny_models_ask_for_little_but_still_for_a_gpu():
    found = workflow.Resources("tiny").gpu(minutes=300)
    assert found["gpu"](NAMES) == 1 and found["mem_mb"](NAMES, 1) <= 4000 and found["runtime"](NAMES, 1) <= 10
    assert (workflow.Resources("tiny").threads(8), workflow.Resources("paper").threads(8)) == (1, 8)


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1), ("auto", 1)])
def test_a_model_that_is_to_run_on_the_cpu_asks_for_no_gpu(device, gpus):
    found = workflow.Resources("paper", {NAMES.model: device, "other": "auto"}).gpu(minutes=30)
    assert (found["gpu"](NAMES), found["device"](NAMES)) == (gpus, device)
    assert found["gpu"](SimpleNamespace(model="other")) == found["gpu"](SimpleNamespace(dataset="ad")) == 1


def test_the_library_is_found_by_jobs_once(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", "/other")
    monkeypatch.setattr(sys, "path", ["/first"])
    workflow.expose(tmp_path)
    workflow.expose(tmp_path)
    assert os.environ["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/other"
    assert sys.path == [str(tmp_path), "/first"]
