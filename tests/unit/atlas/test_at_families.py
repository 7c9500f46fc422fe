"""Of which embedded models there is an atlas: those that all of its systems can look at."""

import pytest
from conftest import WEIGHTS
from PIL import Image

from vlmscope import config, targets
from vlmscope.atlas import plan
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import prompts
from vlmscope.mmneuron import modules
from vlmscope.models.load import describe, load
from vlmscope.store import files

EMBEDDED = ("llava", "blip", "llava-llama2", "llava15", "llava-next-llama3", "llava-phi")


@pytest.mark.parametrize("name", EMBEDDED)
def test_families_of_the_atlas_are_those_whose_objects_can_be_followed_and_whose_neurons_have_domains(name, tmp_path):
    one = config.default().models[name]
    told = {"family": one.family, "checkpoint": name, "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS / name, told), tmp_path / "model.json")
    loaded = load(tmp_path / "model.json")
    try:
        asked = prompts.prepare(loaded, [loaded.family.chat("<image>\nwhat?")], [Image.new("RGB", (64, 64))], 1)
        square = asked[0].visual == prompts.view(loaded).grid ** 2
    except VlmscopeError:
        square = False
    assert (one.family in plan.FAMILIES) == (square and one.family in modules.MODULES)


@pytest.mark.parametrize("name", ["blip", "qwen2-vl", "clip"])
def test_a_page_of_another_model_is_refused_before_anything_runs_with_models_instead(name):
    with pytest.raises(VlmscopeError, match=f"no atlas of '{name}'") as caught:
        targets.check([f"results/atlas/{name}/index.html"], config.default())
    assert f"models.{name}.family: " in caught.value.where and "results/atlas" in caught.value.where
    assert caught.value.instead.startswith("one of: llava15, llava-phi")


def test_a_page_of_a_fitting_model_is_not_refused():
    targets.check(["results/atlas/llava-phi/index.html", "atlas"], config.default())
