"""What every model family promises: named sites exist, reading changes nothing, edits do, batches equal singles.

Families are found by their files. A new family adds one builder of a tiny, randomly initialised model in
`tiny_families.py`, from which its own processor makes the tensors.
"""

import contextlib
import re
from dataclasses import dataclass
from functools import cache

import families_page
import numpy as np
import pytest
import tiny_families
import torch
from PIL import Image

from vlmscope.capture import attention, plan, run, taps
from vlmscope.edits import silenced, zeroed
from vlmscope.errors import VlmscopeError
from vlmscope.models import answer, base, inputs
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded, slim_imports

QUESTIONS = (5, 12, 3, 8)


@dataclass(frozen=True)
class Bench:
    """A tiny model with four samples of different lengths, and of different numbers of tiles where there are tiles.

    loaded    model, processor, family
    sizes     (width, height) of the pictures
    """

    loaded: Loaded
    sizes: tuple

    def padded(self, numbers, side="right"):
        """Tensors of several samples, padded on a side."""
        numbers = list(numbers)
        prompts = [self.loaded.family.template.format(prompt=f"<image>\n{question(one)}") for one in numbers]
        return inputs.encode(self.loaded, prompts, [picture(self.sizes[one], one) for one in numbers], side)

    def one(self, number):
        """Tensors of one sample."""
        return self.padded([number])


def question(number):
    words = np.random.default_rng(100 + number).integers(0, tiny_families.WORDS, QUESTIONS[number])
    return " ".join(f"w{word}" for word in words)


def picture(size, number):
    noise = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(noise)


@cache
def bench(name):
    slim_imports()
    builder = tiny_families.BUILDERS[name]
    model, processor = tiny_families.build(base.family(name), builder)
    return Bench(Loaded(model, processor, base.family(name), {}), tuple(builder.pictures))


FAMILIES = base.names()
# Families that add image features to the placeholder's own embedding instead of putting them in its place.
ADDED = ("molmo",)
SITES = [(name, site) for name in FAMILIES for site in base.family(name).sites]
TEXT = [(name, site) for name, site in SITES if base.family(name).sites[site].stream == "text"]
# Attention probabilities can be read but not edited, and only where attention is computed step by step.
EDITED = [(name, site) for name, site in SITES if base.family(name).sites[site].stream != "attention"]
CUT = [(name, site) for name, site in SITES if base.family(name).sites[site].columns]
WRITERS = [name for name in FAMILIES if base.family(name).head]
every_writer = pytest.mark.parametrize("family", WRITERS)
every_family = pytest.mark.parametrize("family", FAMILIES)
every_site = pytest.mark.parametrize(("family", "site"), SITES)
every_edited_site = pytest.mark.parametrize(("family", "site"), EDITED)


@pytest.fixture
def set_up(family):
    return bench(family)


def logits(set_up, tensors):
    with torch.inference_mode():
        if set_up.loaded.family.head:
            return set_up.loaded.model(**tensors, use_cache=False).logits
        return set_up.loaded.model(**tensors).logits_per_image


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def positions(set_up, width, height):
    loaded = set_up.loaded
    return loaded.family.vision_positions(loaded.config, loaded.processor, width, height)


def computing(set_up, site):
    """The mode in which the model computes a site."""
    eager = set_up.loaded.family.site(site).stream == "attention"
    return attention.eager(set_up.loaded) if eager else contextlib.nullcontext()


def layers_of(set_up, site):
    return range(set_up.loaded.family.site(site).layers(set_up.loaded.config))


def test_every_family_has_a_tiny_model_here():
    assert set(tiny_families.BUILDERS) == set(FAMILIES)


def test_the_page_of_families_is_in_step():
    said = families_page.PAGE.read_text(encoding="utf-8")
    assert said == families_page.text(), "write it with: python tests/contract/families_page.py"


@every_family
def test_samples_differ_in_length(set_up):
    lengths = [set_up.one(number)["input_ids"].shape[1] for number in range(4)]
    assert len(set(lengths)) > 1
    assert set_up.padded(range(4))["input_ids"].shape[1] == max(lengths)


@every_writer
def test_image_positions_are_filled_with_image_embeddings(set_up):
    loaded, seen = set_up.loaded, {}
    tensors = set_up.one(1)
    with contextlib.ExitStack() as stack:
        for name in ("embeds", "image_embeds"):
            see = seen.setdefault(name, {}).__setitem__
            stack.enter_context(taps.reading(loaded, loaded.family.site(name), [0], see))
        logits(set_up, tensors)
    places = tensors["input_ids"] == loaded.family.image_token(loaded.config)
    filled, made = seen["embeds"][0][places], seen["image_embeds"][0].reshape(-1, seen["embeds"][0].shape[-1])
    if loaded.family.name in ADDED:
        filled = filled - loaded.model.get_input_embeddings()(tensors["input_ids"])[places]
    near = torch.cdist(made, filled, compute_mode="donot_use_mm_for_euclid_dist").min(1).values
    assert len(filled) > 0
    # Base view and tiles overlap in shape only: every row that is handed on lies somewhere among the positions.
    assert (near < 1e-4).float().mean() >= 0.5


@every_family
def test_vision_positions_are_those_the_tower_computes(set_up):
    loaded, seen = set_up.loaded, []
    site = loaded.family.site("vision_gate")
    for number, (width, height) in enumerate(set_up.sizes):
        with taps.reading(loaded, site, [0], lambda layer, value: seen.append(value.shape[:-1].numel())):
            logits(set_up, set_up.one(number))
        assert positions(set_up, width, height) == seen[-1]


# Settings of an image processor beside those of the builders: other pixel limits, tiles, splitting.
CUTTING = {
    "qwen2_vl": {"size": {"shortest_edge": 28 * 28 * 9, "longest_edge": 28 * 28 * 12}},
    "qwen2_5_vl": {"size": {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 4}},
    "idefics2": {"size": {"shortest_edge": 14, "longest_edge": 28}, "do_image_splitting": True},
    "idefics3": {"size": {"longest_edge": 56}},
    "internvl": {"max_patches": 3, "min_patches": 2},
}


@pytest.mark.parametrize("family", CUTTING)
def test_vision_positions_follow_the_settings_of_the_checkpoint(set_up, monkeypatch):
    loaded, seen = set_up.loaded, []
    processor = getattr(loaded.processor, "inner", loaded.processor)
    kind = type(processor.image_processor)
    usual = [positions(set_up, width, height) for width, height in set_up.sizes]
    settings = processor.image_processor.to_dict() | CUTTING[loaded.family.name]
    monkeypatch.setattr(processor, "image_processor", kind.from_dict(settings))
    for number, (width, height) in enumerate(set_up.sizes):
        site = loaded.family.site("vision_gate")
        with taps.reading(loaded, site, [0], lambda _, value: seen.append(value.shape[:-1].numel())):
            logits(set_up, set_up.one(number))
        assert positions(set_up, width, height) == seen[-1]
    assert seen != usual


@every_site
def test_a_site_exists_in_every_layer_with_its_width_and_reading_changes_no_logit(set_up, site):
    loaded, tensors, seen = set_up.loaded, set_up.one(0), {}
    place = loaded.family.site(site)
    with computing(set_up, site):
        before = logits(set_up, tensors)
        with taps.reading(loaded, place, layers_of(set_up, site), lambda layer, value: seen.setdefault(layer, value)):
            during = logits(set_up, tensors)
        assert torch.equal(before, during)
        assert torch.equal(before, logits(set_up, tensors))
    assert sorted(seen) == list(layers_of(set_up, site))
    for value in seen.values():
        width, (_, length) = place.width(loaded.config), tensors["input_ids"].shape
        if place.stream == "attention":
            assert value.shape == (1, width, length, length)
            continue
        assert value.shape[-1] == width
        if place.stream == "text":
            assert value.shape[:2] == tensors["input_ids"].shape
        elif place.stream == "vision":
            assert value.shape[:-1].numel() == positions(set_up, *set_up.sizes[0])


@every_family
def test_a_common_site_that_is_not_there_has_its_reason(set_up):
    family = set_up.loaded.family
    assert set(base.SITES) - set(family.sites) == set(family.without)
    for site, reason in family.without.items():
        assert reason
        with pytest.raises(VlmscopeError, match=re.escape(f"has no site '{site}': {reason}.")):
            family.site(site)


@every_site
def test_a_site_has_no_layer_beyond_the_last(set_up, site):
    loaded = set_up.loaded
    place = loaded.family.site(site)
    if "{l}" in place.path:
        with pytest.raises(AttributeError), taps.reading(loaded, place, [len(layers_of(set_up, site))], print):
            pass
    else:
        assert len(layers_of(set_up, site)) == 1


@pytest.mark.parametrize(("family", "site"), CUT)
def test_zeroed_columns_equal_silenced_units(set_up, site):
    loaded, tensors = set_up.loaded, set_up.padded([1, 0])
    width = loaded.family.site(site).width(loaded.config)
    units = {site: {layer: list(range(layer, width, 3)) for layer in layers_of(set_up, site)}}
    with zeroed(loaded, units):
        by_weight = logits(set_up, tensors)
    with silenced(loaded, units):
        by_value = logits(set_up, tensors)
    torch.testing.assert_close(by_weight, by_value, atol=1e-6, rtol=0)
    assert not torch.equal(by_weight, logits(set_up, tensors))


@pytest.mark.parametrize("cut", [zeroed, silenced])
@pytest.mark.parametrize(("family", "site"), CUT)
def test_an_edit_moves_the_logits_unless_the_layer_is_inert(set_up, site, cut):
    loaded, tensors = set_up.loaded, set_up.one(0)
    place, before = loaded.family.site(site), logits(set_up, set_up.one(0))
    inert = place.inert(loaded.config)
    for layer in layers_of(set_up, site):
        with cut(loaded, {site: {layer: range(place.width(loaded.config))}}):
            moved = not torch.equal(before, logits(set_up, tensors))
        assert moved == (layer not in inert), f"layer {layer}"


@pytest.mark.parametrize("cut", [zeroed, silenced])
@pytest.mark.parametrize(("family", "site"), CUT)
def test_a_null_edit_moves_nothing(set_up, site, cut):
    loaded, tensors = set_up.loaded, set_up.one(0)
    before = logits(set_up, tensors)
    for units in ({}, {site: {}}, {site: {layer: [] for layer in layers_of(set_up, site)}}):
        with cut(loaded, units):
            assert torch.equal(before, logits(set_up, tensors))


@every_edited_site
def test_silencing_a_site_moves_the_logits_unless_the_layer_is_inert(set_up, site):
    loaded, tensors = set_up.loaded, set_up.one(0)
    place, before = loaded.family.site(site), logits(set_up, set_up.one(0))
    for layer in layers_of(set_up, site):
        with silenced(loaded, {site: {layer: [0, 2, 3]}}):
            moved = not torch.equal(before, logits(set_up, tensors))
        assert moved == (layer not in place.inert(loaded.config)), f"layer {layer}"
    assert torch.equal(before, logits(set_up, tensors))


@every_edited_site
def test_a_capture_sees_silenced_units_as_zero_in_whatever_order_both_are_entered(set_up, site):
    loaded, tensors = set_up.loaded, set_up.one(0)
    place, seen = loaded.family.site(site), []
    for edit_first in (True, False):
        edit = silenced(loaded, {site: {0: [1]}})
        read = taps.reading(loaded, place, [0], lambda _, value: seen.append(value))
        with edit if edit_first else read, read if edit_first else edit:
            logits(set_up, tensors)
    assert len(seen) == 2
    for value in seen:
        assert not value[..., 1].any() and value[..., 2].any()


@every_family
def test_weights_come_back_bit_equal_after_nested_edits_and_an_exception(set_up):
    model = set_up.loaded.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = {"mlp_gate": {0: [1, 2], 3: [5]}}, {"mlp_gate": {0: [2, 3]}}
    with contextlib.suppress(ZeroDivisionError), zeroed(set_up.loaded, first), zeroed(set_up.loaded, second):
        changed = [name for name, value in model.state_dict().items() if not torch.equal(before[name], value)]
        assert len(changed) == 2
        raise ZeroDivisionError
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("place", ["inside", "in the forward pass"])
@every_family
def test_hooks_are_gone_after_an_exception(set_up, place):
    loaded, known = set_up.loaded, hooks(set_up.loaded.model)

    def broken(layer, value):
        raise ZeroDivisionError

    site = loaded.family.site("resid_post")
    reading = taps.reading(loaded, site, [0, 1], broken)
    with pytest.raises(ZeroDivisionError), silenced(loaded, {"mlp_gate": {0: [1]}}), reading:
        assert hooks(loaded.model) == known + 3
        if place == "inside":
            raise ZeroDivisionError
        logits(set_up, set_up.one(0))
    assert hooks(loaded.model) == known


@every_family
def test_a_layer_that_is_not_there_leaves_no_hooks_on_the_others(set_up):
    loaded, known = set_up.loaded, hooks(set_up.loaded.model)
    with pytest.raises(AttributeError), taps.reading(loaded, loaded.family.site("resid_post"), [0, 1, 99], print):
        pass
    assert hooks(loaded.model) == known


def in_turn(set_up, groups):
    """Batches of the listed samples."""
    return [Batch(tuple(rows), set_up.padded(rows)) for rows in groups]


def captured(set_up, takes, groups):
    loaded = set_up.loaded
    kept = run.capture(loaded, plan.resolve(takes, loaded.family, loaded.config), in_turn(set_up, groups))
    return [one.arrays for one in kept]


@every_family
def test_attention_probabilities_are_those_the_model_reports(set_up):
    loaded = set_up.loaded
    groups = ([0], [1], [2], [3]), ([2, 0], [1, 3])
    single, batched = (
        captured(set_up, [{"site": "attn_prob", "where": "all", "keep": "values"}], one) for one in groups
    )
    for key in ("sample", "position", "token", "key"):
        np.testing.assert_array_equal(single[0][key], batched[0][key])
    np.testing.assert_allclose(single[0]["values"], batched[0]["values"], atol=1e-5)
    for number in range(4):
        tensors = set_up.one(number)
        with attention.eager(loaded), torch.inference_mode():
            told = loaded.model(**tensors, output_attentions=True)
        # Two classes report them one floor down.
        part = {"clip": "text_model_output", "instructblip": "language_model_outputs"}.get(loaded.family.name)
        told = torch.stack((told[part] if part else told).attentions)[:, 0]
        rows = single[0]["sample"] == number
        length = tensors["input_ids"].shape[1]
        np.testing.assert_array_equal(single[0]["position"][rows], np.arange(length).repeat(length))
        np.testing.assert_array_equal(single[0]["key"][rows], np.tile(np.arange(length), length))
        found = single[0]["values"][rows].reshape(length, length, *told.shape[:2]).transpose(2, 3, 0, 1)
        np.testing.assert_allclose(found, told.cpu().numpy(), atol=1e-6)


@every_family
def test_eager_attention_is_for_the_decoder_alone_and_leaves_nothing_behind(set_up):
    loaded, tensors = set_up.loaded, set_up.padded(range(4))
    text = loaded.config.get_text_config()
    others = [getattr(loaded.config, key) for key in loaded.config.sub_configs]
    others = [one for one in others if one is not text]
    known = [one._attn_implementation for one in (loaded.config, text, *others)]
    before = logits(set_up, tensors)
    with contextlib.suppress(ZeroDivisionError), attention.eager(loaded):
        assert text._attn_implementation == "eager"
        assert [one._attn_implementation for one in others] == known[2:]
        torch.testing.assert_close(logits(set_up, set_up.one(2)), logits(set_up, set_up.one(2)), atol=0, rtol=0)
        raise ZeroDivisionError
    assert [one._attn_implementation for one in (loaded.config, text, *others)] == known
    assert torch.equal(before, logits(set_up, tensors))
    with (
        pytest.raises(VlmscopeError, match="without its probabilities"),
        taps.reading(loaded, loaded.family.site("attn_prob"), [0], print),
    ):
        logits(set_up, tensors)


@every_family
def test_attention_probabilities_cannot_be_edited(set_up):
    with pytest.raises(VlmscopeError, match="read, not edited"), silenced(set_up.loaded, {"attn_prob": {0: [1]}}):
        pass


@every_writer
def test_logits_are_computed_where_a_take_looks(set_up):
    loaded, tensors, rows = set_up.loaded, set_up.padded([1, 2]), []
    head = loaded.model.get_submodule(loaded.family.head)
    handle = head.register_forward_hook(lambda module, args, output: rows.append(output.shape[1]))
    takes = [{"site": "logits", "where": where, "keep": "values"} for where in ("last", "text")]
    takes.append({"site": "logits", "where": "text", "keep": "top(3)"})
    with handle:
        found = [captured(set_up, part, [[1, 2]]) for part in (takes[:1], takes)]
        captured(set_up, [{"site": "mlp_gate", "where": "all", "keep": "counts"}], [[1, 2]])
    whole = logits(set_up, tensors).cpu()
    real = tensors["attention_mask"].bool().cpu()
    text = real & (tensors["input_ids"].cpu() != loaded.family.image_token(loaded.config))
    ends = real.sum(1) - 1
    # Rows that end at different places; positions that are text in one of the samples; the last column alone.
    assert rows == [len(set(ends.tolist())), int(text.any(0).sum()), 1]
    expected = whole[torch.arange(2), ends]
    for one in (found[0][0], found[1][0]):
        np.testing.assert_allclose(one["values"][:, 0], expected, atol=1e-5)
        np.testing.assert_array_equal(one["position"], ends)
    np.testing.assert_allclose(found[1][1]["values"][:, 0], whole[text], atol=1e-5)
    np.testing.assert_array_equal(found[1][2]["units"][:, 0, 0], whole[text].argmax(-1))


@pytest.mark.parametrize(("family", "site"), TEXT)
def test_batched_values_equal_single_ones(set_up, site):
    loaded = set_up.loaded
    takes = [{"site": site, "where": where, "keep": "values"} for where in ("all", "image", "text", "last")]
    takes = plan.resolve(takes, loaded.family, loaded.config)
    single = run.capture(loaded, takes, [Batch((k,), set_up.one(k)) for k in range(4)])
    batched = run.capture(loaded, takes, [Batch((2, 0), set_up.padded([2, 0])), Batch((1, 3), set_up.padded([1, 3]))])
    for one, many in zip(single, batched, strict=True):
        for key in ("sample", "position", "token"):
            np.testing.assert_array_equal(one.arrays[key], many.arrays[key])
        np.testing.assert_allclose(one.arrays["values"], many.arrays["values"], atol=1e-5, rtol=1e-5)


@every_edited_site
def test_counts_do_not_depend_on_the_batch(set_up, site):
    loaded = set_up.loaded
    takes = plan.resolve([{"site": site, "where": "all", "keep": "counts"}], loaded.family, loaded.config)
    groups = ([[0], [1], [2], [3]], [[3, 1], [0, 2]], [[2, 3, 0, 1]])
    found = []
    for group in groups:
        batches = [Batch(tuple(rows), set_up.padded(rows)) for rows in group]
        found.append(run.capture(loaded, takes, batches)[0].arrays)
    for other in found[1:]:
        assert other["seen"] == found[0]["seen"]
        np.testing.assert_array_equal(other["fired"], found[0]["fired"])
        np.testing.assert_allclose(other["total"], found[0]["total"], atol=1e-3, rtol=1e-6)
    assert found[0]["fired"].max() > 0


@every_writer
def test_greedy_answers_in_a_left_padded_batch_equal_single_ones(set_up):
    single = [answer.new_tokens(set_up.loaded, set_up.one(k), 8)[0] for k in range(4)]
    assert answer.new_tokens(set_up.loaded, set_up.padded(range(4), side="left"), 8) == single
    assert len({tuple(one) for one in single}) > 1


@every_writer
def test_cached_decoding_equals_a_forward_pass_over_the_whole_text(set_up):
    model, tensors = set_up.loaded.model, set_up.one(1)
    told = {"return_dict_in_generate": True, "output_logits": True, "pad_token_id": 0, "eos_token_id": None}
    with torch.inference_mode():
        written = model.generate(**tensors, do_sample=False, max_new_tokens=6, **told)
    start = tensors["input_ids"].shape[1]
    whole = {key: longer(key, value, 6) for key, value in tensors.items()}
    whole["input_ids"][:, start:] = written.sequences[:, start:]
    forced = logits(set_up, whole)[:, start - 1 : -1]
    torch.testing.assert_close(torch.stack(written.logits, 1), forced, atol=1e-4, rtol=1e-5)
    assert torch.equal(forced.argmax(-1), written.sequences[:, start:])


def longer(key, value, more):
    """Inputs with room for more text tokens."""
    if key not in ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"):
        return value
    blank = value.new_full((len(value), more), 1 if key == "attention_mask" else 0)
    return torch.cat([value, blank], 1)


@every_writer
def test_norm_and_head_of_the_last_residual_give_the_logits(set_up):
    loaded, seen = set_up.loaded, {}
    last = len(layers_of(set_up, "resid_post")) - 1
    with taps.reading(loaded, loaded.family.site("resid_post"), [last], seen.__setitem__):
        whole = logits(set_up, set_up.one(1))
    norm, head = (loaded.model.get_submodule(path) for path in (loaded.family.norm, loaded.family.head))
    with torch.inference_mode():
        torch.testing.assert_close(head(norm(seen[last])), whole, atol=1e-6, rtol=0)


@every_family
def test_residual_streams_are_the_sum_of_their_branches(set_up):
    loaded, seen = set_up.loaded, {}
    with contextlib.ExitStack() as stack:
        for name in ("embeds", "resid_pre", "resid_post", "attn_out", "mlp_out"):
            see = seen.setdefault(name, {}).__setitem__
            stack.enter_context(taps.reading(loaded, loaded.family.site(name), layers_of(set_up, name), see))
        logits(set_up, set_up.one(2))
    assert torch.equal(seen["embeds"][0], seen["resid_pre"][0])
    for layer in layers_of(set_up, "resid_post"):
        parts = seen["resid_pre"][layer] + seen["attn_out"][layer] + seen["mlp_out"][layer]
        torch.testing.assert_close(parts, seen["resid_post"][layer], atol=1e-5, rtol=0)
        if layer:
            assert torch.equal(seen["resid_post"][layer - 1], seen["resid_pre"][layer])


@every_family
def test_the_gate_times_up_is_the_hidden_unit(set_up):
    loaded, seen = set_up.loaded, {}
    names = ("mlp_gate", "mlp_hidden", "mlp_out")
    with contextlib.ExitStack() as stack:
        for name in names:
            see = seen.setdefault(name, {}).__setitem__
            stack.enter_context(taps.reading(loaded, loaded.family.site(name), [1], see))
        logits(set_up, set_up.one(2))
    paths = [loaded.family.site("mlp_hidden").columns, loaded.family.site("mlp_out").path]
    value = seen["mlp_hidden"][1]
    with torch.inference_mode():
        # Down projection and, in families with a norm behind the branch, that norm.
        for path in dict.fromkeys(paths):
            value = taps.module_at(loaded.model, path, 1)(value)
    torch.testing.assert_close(value, seen["mlp_out"][1], atol=1e-6, rtol=0)
    # Both branches agree on which gates are shut: a gate of exactly zero gives a hidden unit of zero.
    with (
        silenced(loaded, {"mlp_gate": {1: [4]}}),
        taps.reading(
            loaded, loaded.family.site("mlp_hidden"), [1], lambda layer, value: seen.setdefault("shut", value)
        ),
    ):
        logits(set_up, set_up.one(2))
    assert not seen["shut"][..., 4].any() and seen["mlp_hidden"][1][..., 4].any()
