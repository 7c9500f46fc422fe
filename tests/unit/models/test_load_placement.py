"""How weights are stored and where they go, as far as a machine without a GPU can tell."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from vlmscope import edits
from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.models import base, load, placement

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "weights" / "llava"
SETTINGS = {"family": "llava_next", "checkpoint": "weights/llava", "revision": ""}
GB = 10**9


def manifest(folder, **precision):
    """A manifest of the shipped model."""
    path = folder / "model.json"
    path.write_text(json.dumps(load.describe(SHIPPED, SETTINGS | {"dtype": "float32"} | precision)))
    return path


def about(**precision):
    return placement.precision(precision)


# ---- the manifest ------------------------------------------------------------------------------------------------


def test_the_manifest_holds_what_decides_numbers_and_no_device(tmp_path):
    chosen = {"dtype": "bfloat16", "quantize": "8bit", "attention": "eager"}
    found = json.loads(manifest(tmp_path, **chosen, device="cuda").read_text())
    assert {key: found[key] for key in chosen} == chosen
    assert "device" not in found


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_model_is_loaded_in_its_precision(tmp_path, dtype):
    loaded = load.load(manifest(tmp_path, dtype=dtype))
    assert {one.dtype for one in loaded.model.parameters()} == {getattr(torch, dtype)}
    assert not loaded.model.training and not any(one.requires_grad for one in loaded.model.parameters())
    assert loaded.device == torch.device("cpu")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_the_one_that_was_asked_for(tmp_path, attention):
    loaded = load.load(manifest(tmp_path, attention=attention))
    assert loaded.config.text_config._attn_implementation == attention


# ---- how large, and where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "size"),
    [({"dtype": "float32"}, 4), ({"dtype": "bfloat16"}, 2), ({"dtype": "float16", "quantize": "4bit"}, 0.5)],
)
def test_the_weights_are_as_large_as_loaded_not_as_stored(precision, size):
    with safe_open(SHIPPED / "model.safetensors", framework="pt") as tensors:
        numbers = sum(tensors.get_tensor(name).numel() for name in tensors.keys())  # noqa: SIM118
    assert placement.weight_bytes(SHIPPED, about(**precision)) == int(size * numbers)


@pytest.mark.parametrize(
    ("need", "free", "every", "spread"),
    [
        (14 * GB, [80 * GB], False, False),
        (14 * GB, [80 * GB], True, False),
        (14 * GB, [80 * GB, 80 * GB], False, False),
        (14 * GB, [80 * GB, 80 * GB], True, True),
        (26 * GB, [24 * GB, 24 * GB], False, True),
        (23 * GB, [24 * GB, 24 * GB], False, True),
    ],
)
def test_weights_go_to_one_gpu_unless_it_is_too_small_or_more_were_asked_for(need, free, every, spread):
    found = placement.places(need, free, every)
    assert found["device_map"] == ("auto" if spread else {"": 0})
    # Nothing is said of the host, so nothing may go there.
    assert set(found.get("max_memory", {})) == (set(range(len(free))) if spread else set())


@pytest.mark.parametrize("free", [[24 * GB], [16 * GB, 12 * GB]])
def test_weights_that_fit_nowhere_are_refused_with_the_remedy(free):
    with pytest.raises(VlmscopeError, match=r"take 26.0 GB(?s:.*)gpu=2") as error:
        placement.places(26 * GB, free, every=True)
    assert f"{0.9 * sum(free) / GB:.1f}" in str(error.value)


def test_a_job_with_gpus_spreads_by_what_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (10 * GB * (number + 1), 80 * GB))
    found = placement.arguments(SHIPPED, about(dtype="bfloat16"), "auto")
    assert found == {"dtype": torch.bfloat16, "device_map": "auto", "max_memory": {0: 9 * GB, 1: 18 * GB}}
    assert placement.arguments(SHIPPED, about(), "cuda")["device_map"] == {"": 0}


@pytest.mark.parametrize("away", ["cpu", "disk"])
def test_a_model_that_lies_partly_elsewhere_is_refused(away):
    model = SimpleNamespace(hf_device_map={"layers.0": 0, "layers.1": away}, device="cuda:0")
    with pytest.raises(VlmscopeError, match=rf"would lie on: {away}(?s:.*)gpu=2"):
        placement.check_on_gpus(model)


# ---- packed weights ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_packed_weights_are_refused_on_the_cpu(tmp_path, kind):
    with pytest.raises(VlmscopeError, match=rf"{kind} need a GPU(?s:.*)quantize: none"):
        load.load(manifest(tmp_path, quantize=kind))


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_without_bitsandbytes_the_package_is_named(monkeypatch, kind):
    with pytest.raises(VlmscopeError, match=r"bitsandbytes, which is not installed(?s:.*)pip install bitsandbytes"):
        placement.arguments(SHIPPED, about(quantize=kind), "cuda")


def test_with_bitsandbytes_its_settings_are_handed_over(monkeypatch):
    found, version = importlib.util.find_spec, importlib.metadata.version
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "bitsandbytes" or found(name))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0" if name == "bitsandbytes" else version(name))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (80 * GB, 80 * GB))
    eight = placement.arguments(SHIPPED, about(dtype="float16", quantize="8bit"), "cuda")["quantization_config"]
    four = placement.arguments(SHIPPED, about(dtype="float16", quantize="4bit"), "cuda")["quantization_config"]
    assert (eight.load_in_8bit, eight.load_in_4bit) == (True, False)
    assert (four.load_in_4bit, four.bnb_4bit_quant_type, four.bnb_4bit_compute_dtype) == (True, "nf4", torch.float16)


# ---- several devices ---------------------------------------------------------------------------------------------


def test_a_class_that_may_be_cut_loads_the_same_model(tmp_path):
    about = json.loads(manifest(tmp_path).read_text())
    kind = base.family(about["family"])
    plain = load.model_class(kind)
    cut = placement.cuttable(plain, kind, SHIPPED)
    one, other = (kind.from_pretrained(SHIPPED, device_map={"": "cpu"}) for kind in (plain, cut))
    assert {"LlamaDecoderLayer", "CLIPVisionModel"} <= other._no_split_modules
    assert "logits_to_keep" in other._skip_keys_device_placement
    values = other.state_dict()
    assert all(torch.equal(value, values[name]) for name, value in one.state_dict().items())
    assert type(one).__name__ == type(other).__name__


def test_units_of_an_offloaded_model_are_zeroed_all_the_same(tmp_path):
    from accelerate import cpu_offload

    one, other = load.load(manifest(tmp_path)), load.load(manifest(tmp_path))
    cpu_offload(other.model, execution_device=torch.device("cpu"))
    ids = torch.tensor([[1, 40, 41, 42, 43]])
    units, seen = {"mlp_gate": {0: [1, 5], 2: [7]}}, {}
    assert taps.module_at(other.model, "model.language_model.layers.{l}.mlp.down_proj").weight.is_meta
    with torch.inference_mode():
        before = other.model(input_ids=ids).logits
        with edits.zeroed(one, units):
            expected = one.model(input_ids=ids).logits
        site = other.family.site("mlp_hidden")
        with edits.zeroed(other, units), taps.reading(other, site, [0], seen.__setitem__):
            assert torch.equal(other.model(input_ids=ids).logits, expected)
        # Captures see the units before the cut, and nothing of it stays.
        assert seen[0][..., [1, 5]].all()
        assert torch.equal(other.model(input_ids=ids).logits, before)
    assert not torch.equal(before, expected)
