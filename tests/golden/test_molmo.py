"""Molmo: every stage, greedy tokens and the cutting of pictures against the official code on a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from vlmscope.errors import VlmscopeError
from vlmscope.models import molmo
from vlmscope.models.load import slim_imports
from vlmscope.models.molmo_hf import names
from vlmscope.models.molmo_hf.geometry import NOWHERE, PATCH, Geometry

HERE = Path(__file__).parent / "xl_vlms" / "molmo_tiny"
CUTS = json.loads((HERE / "image_preprocessing.json").read_text())
GEOMETRY = Geometry(size=336, patch=14, margins=(4, 4), max_crops=12)
every_size = pytest.mark.parametrize("size", sorted(CUTS))


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def classes():
    slim_imports()
    from vlmscope.models.molmo_hf import configuration, modeling

    return configuration, modeling.MolmoForConditionalGeneration


@pytest.fixture(scope="module")
def folder(classes, tmp_path_factory):
    """The official weights beside a configuration made from the official settings."""
    path = tmp_path_factory.mktemp("molmo")
    classes[0].from_official(json.loads((HERE / "config.json").read_text())).save_pretrained(path)
    weights = load_file(HERE / "model.safetensors")
    save_file(names.from_official(weights), path / "model.safetensors", metadata={"format": "pt"})
    return path


@pytest.fixture(scope="module")
def model(classes, folder):
    return classes[1].from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def inputs(golden):
    named = {"input_ids": "input_ids", "pixel_values": "images"}
    named |= {"image_masks": "image_masks", "image_input_idx": "image_input_idx"}
    return {ours: torch.from_numpy(golden[theirs]) for ours, theirs in named.items()}


def close(found, wanted, tolerance):
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=tolerance, rtol=0)


def drawn(size):
    """The picture of the golden file: red grows downwards, green to the right, blue along the diagonal."""
    height, width = CUTS[size]["height"], CUTS[size]["width"]
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], -1)
    return Image.fromarray(pixels.astype(np.uint8))


# ---- the network -------------------------------------------------------------------------------------------------


def test_every_intermediate_tensor_equals_the_official_one(golden, model, inputs):
    seen = {}
    backbone, decoder = model.model.vision_backbone, model.model.transformer
    watched = {
        "vit_hidden_-2": backbone.image_vit.transformer.resblocks[-2],
        "vit_hidden_-9": backbone.image_vit.transformer.resblocks[-9],
        "pooling_out": backbone.image_pooling_2d,
        "projected": backbone.image_projector,
        "block0_out": decoder.blocks[0],
        "block2_out": decoder.blocks[2],
        "ln_f_out": decoder.ln_f,
    }
    handles = [
        module.register_forward_hook(lambda m, args, out, name=name: seen.update({name: out}))
        for name, module in watched.items()
    ]
    before = decoder.blocks[0].register_forward_pre_hook(
        lambda m, args: seen.update({"embeddings_after_image": args[0]})
    )
    with torch.inference_mode():
        seen["logits"] = model(**inputs, attention_mask=torch.ones_like(inputs["input_ids"])).logits
    for handle in (*handles, before):
        handle.remove()
    seen["projected"] = seen["projected"][None]
    assert set(seen) | {"greedy_new_tokens", "input_ids"} == set(golden) - {"images", "image_masks", "image_input_idx"}
    for name, value in seen.items():
        assert value.shape == golden[name].shape, name
        close(value, golden[name], 2e-5)


def test_hidden_states_are_those_of_the_blocks_and_the_norm(golden, model, inputs):
    with torch.inference_mode():
        states = model(**inputs, output_hidden_states=True).hidden_states
    wanted = ("embeddings_after_image", "block0_out", None, "ln_f_out")
    assert len(states) == len(wanted)
    for state, name in zip(states, wanted, strict=True):
        if name:
            close(state, golden[name], 1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_both_kinds_of_attention_agree(golden, model, inputs, attention):
    before = model.config._attn_implementation
    model.set_attn_implementation(attention)
    with torch.inference_mode():
        found = model(**inputs, output_attentions=attention == "eager")
    model.set_attn_implementation(before)
    close(found.logits, golden["logits"], 2e-5)
    if attention == "eager":
        assert [one.shape for one in found.attentions] == [(1, 4, 60, 60)] * 3


@pytest.mark.parametrize("cache", [True, False])
def test_greedy_tokens_equal_the_official_ones(golden, model, inputs, cache):
    mask = torch.ones_like(inputs["input_ids"])
    written = model.generate(**inputs, attention_mask=mask, max_new_tokens=5, do_sample=False, use_cache=cache)
    assert written[0, 60:].tolist() == golden["greedy_new_tokens"].tolist()


def test_cached_steps_equal_the_teacher_forced_pass(golden, model, inputs):
    written = torch.from_numpy(golden["greedy_new_tokens"])[None]
    whole_inputs = inputs | {"input_ids": torch.cat([inputs["input_ids"], written], 1)}
    with torch.inference_mode():
        whole = model(**whole_inputs, use_cache=False).logits
        step = model(**inputs, use_cache=True)
        close(step.logits, whole[:, :60].numpy(), 1e-5)
        for number, token in enumerate(written[0]):
            step = model(input_ids=token.view(1, 1), past_key_values=step.past_key_values, use_cache=True)
            close(step.logits[:, -1], whole[:, 60 + number].numpy(), 1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_rows_equal_single_ones(model, inputs, side):
    """The second row has fewer tokens and one crop less."""
    short = {"input_ids": inputs["input_ids"][:, :53]}
    short |= {name: inputs[name][:, :2] for name in ("pixel_values", "image_masks", "image_input_idx")}
    gap = torch.zeros(1, 7, dtype=torch.long)
    shift = 7 if side == "left" else 0
    missing = {"pixel_values": -1.0, "image_masks": -1.0, "image_input_idx": NOWHERE}
    moved = short["image_input_idx"] + shift * (short["image_input_idx"] >= 0)
    both = {}
    for name, value in {**short, "image_input_idx": moved}.items():
        if name in missing:
            value = torch.cat([value, torch.full_like(value[:, :1], missing[name])], 1)
        else:
            value = torch.cat([gap, value] if side == "left" else [value, gap], 1)
        both[name] = torch.cat([inputs[name], value])
    ones = torch.ones_like(short["input_ids"])
    row = torch.cat([gap, ones] if side == "left" else [ones, gap], 1)
    both["attention_mask"] = torch.cat([torch.ones(1, 60, dtype=torch.long), row])
    crops = []
    block = model.model.vision_backbone.image_vit.transformer.resblocks[0]
    hook = block.register_forward_hook(lambda m, args, out: crops.append(len(out)))
    with torch.inference_mode():
        found = model(**both).logits
        hook.remove()
        assert crops == [5], "crops that only fill up the batch are left out"
        close(found[:1], model(**inputs).logits.numpy(), 1e-5)
        real = slice(shift, shift + 53)
        close(found[1:, real], model(**short).logits.numpy(), 1e-5)
        if side == "left":
            many = model.generate(**both, max_new_tokens=5, do_sample=False)[1, 60:]
            one = model.generate(**short, attention_mask=ones, max_new_tokens=5, do_sample=False)[0, 53:]
            assert many.tolist() == one.tolist()


def test_official_names_load_without_a_missing_or_unexpected_one(classes, folder):
    official = load_file(HERE / "model.safetensors")
    loaded, about = classes[1].from_pretrained(folder, output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"] and not about["mismatched_keys"]
    ours = loaded.state_dict()
    assert set(ours) == set(official)
    back = names.to_official(ours)
    assert all(torch.equal(back[name], value) for name, value in official.items())
    with pytest.raises(VlmscopeError, match="lm_head"):
        names.from_official({"lm_head.weight": torch.ones(1)})


def test_a_saved_model_comes_back_the_same(model, classes, tmp_path, inputs):
    model.save_pretrained(tmp_path)
    again = classes[1].from_pretrained(tmp_path).eval()
    assert again.config.vision_config.feature_layers == [-2, -9]
    assert again.config.image_token_id == 98
    # Rotary frequencies are in no file.
    assert torch.equal(again.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)
    with torch.inference_mode():
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float16, 0.005), (torch.bfloat16, 0.05)])
def test_half_precision_stays_close(golden, classes, folder, inputs, kind, tolerance):
    half = classes[1].from_pretrained(folder, dtype=kind).eval()
    assert half.get_output_embeddings().weight.dtype == kind
    assert half.model.rotary_emb.inv_freq.dtype == torch.float32
    with torch.inference_mode():
        found = half(**inputs).logits.float().numpy()
    assert np.abs(found - golden["logits"]).mean() < tolerance * np.abs(golden["logits"]).mean()


def test_defaults_are_those_of_the_published_model(classes):
    config = classes[0].MolmoConfig()
    with torch.device("meta"):
        model = classes[1](config)
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    assert round(sum(sizes.values()) / 1e9, 1) == 8.0
    language = sum(size for name, size in sizes.items() if ".transformer." in name and "vision" not in name)
    assert round(language / 1e9, 2) == 7.62
    assert config.image_token_id == 152_066
    assert config.geometry == GEOMETRY
    assert config.rope_parameters["rope_theta"] == 1e6
    assert molmo.vision_positions(config, None, 640, 480) == 7 * 577
    assert molmo.unused_vision_layers(config) == {22}


def test_the_published_file_is_flat_and_the_defaults_fill_in_the_tower(classes, tmp_path):
    said = {"model_type": "molmo", "hidden_size": 32, "num_attention_heads": 4, "rope_theta": 5e5, "norm_after": False}
    (tmp_path / "config.json").write_text(json.dumps(said))
    config = classes[0].MolmoConfig.from_pretrained(tmp_path)
    assert (config.hidden_size, config.rope_parameters["rope_theta"]) == (32, 5e5)
    assert config.vision_config.num_hidden_layers == 23


def test_variants_that_are_not_computed_are_refused(classes):
    with pytest.raises(VlmscopeError, match="norm_after"):
        classes[0].MolmoConfig(norm_after=True)


def test_new_rows_of_the_table_are_used_and_the_unembedding_lacks_them(model):
    table = model.get_input_embeddings()
    joined = torch.cat([table.embedding, table.new_embedding])
    ids = torch.tensor([[0, 95, 96, 103]])
    assert torch.equal(table(ids), joined[ids])
    assert model.get_output_embeddings().weight.shape == (96, 32)


def test_a_picture_beyond_the_prompt_is_an_error(model, inputs):
    with pytest.raises(VlmscopeError, match="token 33 of 30"):
        model(**inputs | {"input_ids": inputs["input_ids"][:, :30]})
    with pytest.raises(ValueError, match="together"):
        model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"])


# ---- pictures and prompts ----------------------------------------------------------------------------------------


@every_size
def test_tokens_and_places_equal_the_official_ones(size):
    cut = CUTS[size]
    tiling = GEOMETRY.tiling(cut["width"], cut["height"])
    assert list(tiling) == cut["tiling"]
    with np.load(HERE / "image_preprocessing.npz") as file:
        tokens, places = file[f"{size}/tokens_minus_152064"], file[f"{size}/image_input_idx"]
    found = GEOMETRY.tokens(*tiling)
    np.testing.assert_array_equal(found, tokens)
    assert (len(found), (found == PATCH).sum()) == (cut["n_image_tokens"], cut["n_patch_tokens"])
    # Both count from the first image token; the processor adds the beginning token.
    np.testing.assert_array_equal(GEOMETRY.places(*tiling), places)


@every_size
def test_crops_and_masks_equal_the_official_ones(size, classes):
    from vlmscope.models.molmo_hf.processing import look

    cut, seen = CUTS[size], look(drawn(size), GEOMETRY)
    assert list(seen.pixels.shape) == cut["crops_shape"]
    assert list(seen.masks.shape) == cut["mask_shape"]
    np.testing.assert_allclose(seen.pixels.mean((1, 2)), cut["crop_means"], atol=2e-6)
    np.testing.assert_allclose(seen.pixels[:, 0, :3], cut["crop_first_patch_first3"], atol=2e-6)
    np.testing.assert_allclose(seen.masks.mean(1), cut["mask_row_means"], atol=1e-6)


@pytest.mark.parametrize(
    ("width", "height", "tiling"),
    [(112, 112, (1, 1)), (112, 900, (4, 1)), (1000, 80, (1, 1)), (10_000, 10_000, (3, 3)), (1, 1, (1, 1))],
)
def test_tilings_at_the_edges(width, height, tiling):
    found = GEOMETRY.tiling(width, height)
    assert found == tiling
    assert GEOMETRY.crops(width, height) == 1 + tiling[0] * tiling[1]


@every_size
def test_every_patch_token_is_filled_once(size):
    cut = CUTS[size]
    tiling = GEOMETRY.tiling(cut["width"], cut["height"])
    places = GEOMETRY.places(*tiling)
    filled = np.sort(places[places >= 0])
    np.testing.assert_array_equal(filled, np.flatnonzero(GEOMETRY.tokens(*tiling) == PATCH))


@pytest.fixture
def processor(tmp_path):
    """A word tokenizer without a beginning token, as Molmo's."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<|endoftext|>", " User", ":", " What", " is", " it", "?", " Assistant", "\n", "What"]
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token=words[0]))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|\n|[:?]"), "isolated")
    end = words[0]
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=end, pad_token=end).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "molmo"}')
    from vlmscope.models.molmo_hf.configuration import MolmoConfig

    return molmo.processor(tmp_path, MolmoConfig())


def test_image_tokens_stand_behind_the_beginning_wherever_the_marker_was(processor):
    text = molmo.MOLMO.format(prompt="<image>\nWhat is it?")
    found = processor(images=[drawn("336x336")], text=[text])
    ids = found["input_ids"][0].tolist()
    assert len(ids) == 1 + CUTS["336x336"]["n_image_tokens"] + len([" User", ":", " ", "\n", "What", 1, 1, 1, 1, 1])
    assert ids[:3] == [0, 152_064, 152_066]
    assert ids[-9:] == [2, 0, 8, 9, 4, 5, 6, 7, 2]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_pads_tokens_and_crops_and_moves_the_places(processor, side):
    sizes = ["336x336", "640x480"]
    text = " User: <image> What is it? Assistant:"
    singles = [processor(images=[drawn(size)], text=[text]) for size in sizes]
    both = processor(images=[drawn(size) for size in sizes], text=[text] * 2, padding_side=side)
    assert both["pixel_values"].shape == (2, 7, 576, 588)
    for row, single in enumerate(singles):
        real, crops = both["attention_mask"][row].bool(), single["pixel_values"].shape[1]
        assert torch.equal(both["input_ids"][row][real], single["input_ids"][0])
        assert torch.equal(both["pixel_values"][row, :crops], single["pixel_values"][0])
        assert (both["pixel_values"][row, crops:] == -1).all() and (both["image_masks"][row, crops:] == -1).all()
        places = both["image_input_idx"][row]
        assert (places[crops:] < 0).all()
        assert (both["input_ids"][row, places[places >= 0]] == 152_066).all()
        assert (places >= 0).sum() == (both["input_ids"][row] == 152_066).sum()


def test_pictures_and_markers_must_be_as_many(processor):
    with pytest.raises(VlmscopeError, match="0 pictures"):
        processor(images=[], text=["<image> What"])
    with pytest.raises(VlmscopeError, match="one picture per prompt"):
        processor(images=[drawn("100x80")] * 2, text=["<image><image> What"])
    assert set(processor(images=[], text=[" What"])) == {"input_ids", "attention_mask"}
