"""Released checkpoints keep the names that their classes had then; every weight must still find its place.

The library renames on loading what it renamed since (xl_vlms.md 4.1, llava_interp.md 4). A rule of it that went missing
would leave random weights behind, which `load` refuses.
"""

import re

import pytest
import tiny_families
import torch
from safetensors.torch import save_file

from vlmscope.errors import VlmscopeError
from vlmscope.models import base, load

LLAVA = (
    (r"^model\.language_model\.", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
    (r"^model\.vision_tower\.", "vision_tower.vision_model."),
    (r"^model\.(multi_modal_projector|image_newline)", r"\1"),
)
QWEN = ((r"^model\.language_model\.", "model."), (r"^model\.visual\.", "visual."))
# Names of today -> names in the released files; families that are not listed kept theirs.
RELEASED = {
    "llava": LLAVA,
    "llava_phi": LLAVA,
    "llava_next": LLAVA,
    "llava_next_llama3": LLAVA,
    "llava_onevision": LLAVA,
    "qwen2_vl": QWEN,
    "qwen2_5_vl": QWEN,
    "instructblip": (),
    "idefics2": (),
    "molmo": (),
}


def renamed(name, rules):
    for pattern, then in rules:
        if re.search(pattern, name):
            return re.sub(pattern, then, name)
    return name


@pytest.fixture(params=RELEASED)
def released(request, tmp_path):
    """Family, model, and a folder with its weights under the released names."""
    kind = base.family(request.param)
    model, _ = tiny_families.build(kind, tiny_families.BUILDERS[request.param])
    weights = {renamed(name, RELEASED[request.param]): value.clone() for name, value in model.state_dict().items()}
    model.config.save_pretrained(tmp_path)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return kind, model, tmp_path


def test_every_weight_finds_its_place(released):
    kind, model, folder = released
    found, told = load.model_class(kind).from_pretrained(folder, output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
    state = found.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_names_that_fit_no_place_are_refused(tmp_path):
    kind = base.family("llava")
    model, _ = tiny_families.build(kind, tiny_families.BUILDERS["llava"])
    model.config.save_pretrained(tmp_path)
    save_file({"strange": torch.ones(2)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    about = {"family": "llava", "checkpoint": "x", "revision": "", "dtype": "float32"}
    manifest = load.describe(tmp_path, about)
    load.files.write_json(manifest, tmp_path / "about" / "model.json")
    with pytest.raises(VlmscopeError, match=r"lacks \d+ weights of its model class"):
        load.load(tmp_path / "about" / "model.json")
