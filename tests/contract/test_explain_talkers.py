"""The embedded model that explains: several pictures in one turn, words alone, and who is asked what."""

import json
from pathlib import Path

import pytest
from PIL import Image

from vlmscope.models import load
from vlmscope.multimodal_sae.explain import talkers as explain_talkers

WEIGHTS = Path(__file__).parents[2] / "weights/llava-onevision"
NOBODY = {"by": "none", "url": "", "model": "", "key": ""}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    about = {"family": "llava_onevision", "checkpoint": "tiny", "revision": "", "dtype": "float32", "quantize": "none"}
    path = tmp_path_factory.mktemp("model") / "model.json"
    path.write_text(json.dumps(load.describe(WEIGHTS, about | {"attention": "auto"})))
    return str(path)


@pytest.fixture(scope="module")
def local(manifest):
    settings = dict.fromkeys(("explainer", "refiner", "labeller", "judge"), NOBODY)
    return explain_talkers.of(settings | {"refiner": NOBODY | {"by": "local"}}, [manifest], None, "cpu")


def test_the_local_model_is_loaded_once_and_asked_in_its_roles(local):
    assert local("local") is local("refiner")
    assert local("labeller") is None and local("judge") is None


def test_several_pictures_in_one_turn_all_count(local):
    red, blue = (Image.new("RGB", (64, 64), color) for color in ((214, 40, 40), (44, 84, 214)))
    question = "describe the picture."
    given = explain_talkers.inputs.encode(local("local").loaded, ["<image> <image> what"], [red, blue], side="left")
    token = local("local").loaded.family.image_token(local("local").loaded.config)
    single = explain_talkers.inputs.encode(local("local").loaded, ["<image> what"], [red], side="left")
    assert (given["input_ids"] == token).sum() > (single["input_ids"] == token).sum()
    said = [local("local").say("", [question, *some], 8) for some in ([red, red], [red, red])]
    assert said[0] == said[1] and len(said[0].split()) <= 8


def test_words_alone_are_answered(local):
    assert isinstance(local("refiner").say("be short", ["what is red?"], 4), str)


def test_a_server_is_made_of_its_settings():
    made = []
    role = {"by": "server", "url": "http://u", "model": "m", "key": "K"}
    talkers = explain_talkers.of({"explainer": role, "judge": role}, [], lambda *told: made.append(told) or "S", "cpu")
    assert talkers("server") == "S" and talkers("judge") == "S" and made == [("http://u", "m", "K")] * 2
