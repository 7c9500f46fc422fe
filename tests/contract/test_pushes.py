"""Vectors added to the residual stream, in every family that writes: rows do not meet, padding does not matter."""

import pytest
import test_families
import torch

from vlmscope import replay
from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.models import answer, inputs
from vlmscope.pushes import Push, pushed

POSITIONS = (("all", 0), ("generated", 0), ("last_prompt", 0), ("from", 3))
NEW = 4


@pytest.fixture
def set_up(family):
    return test_families.bench(family)


def vector(loaded, seed=0, scale=3.0):
    width = loaded.family.site("resid_post").width(loaded.config)
    return scale * torch.randn(width, generator=torch.Generator().manual_seed(seed))


def encoded(bench, numbers):
    """Samples whose pictures may share a batch, of different lengths."""
    pictures = [test_families.picture(bench.sizes[0], 0)] * len(numbers)
    template = bench.loaded.family.template
    texts = [template.format(prompt=f"<image>\n{test_families.question(number)}") for number in numbers]
    return inputs.encode(bench.loaded, texts, pictures, "left")


def alike(bench):
    """Three such samples, each alone and all together."""
    return [encoded(bench, [number]) for number in range(3)], encoded(bench, range(3))


def write(loaded, tensors, rows):
    with pushed(loaded, rows, tensors["attention_mask"]):
        return answer.new_tokens(loaded, tensors, NEW)


def last_logits(loaded, tensors, rows):
    """Those behind the prompt; `generate` numbers the positions of padded rows as the system does."""
    with pushed(loaded, rows, tensors["attention_mask"]):
        return first_logits(loaded, tensors)


def first_logits(loaded, tensors):
    options = {"return_dict_in_generate": True, "output_logits": True, "pad_token_id": 0, "do_sample": False}
    with torch.inference_mode():
        return loaded.model.generate(**tensors, max_new_tokens=1, **options).logits[0]


@test_families.every_writer
def test_rows_of_a_left_padded_batch_are_pushed_as_they_are_alone(set_up):
    loaded = set_up.loaded
    layers = loaded.family.site("resid_post").layers(loaded.config)
    singles, batch = alike(set_up)
    plain = last_logits(loaded, batch, [[]])
    for layer in range(layers):
        for positions, start in POSITIONS:
            rows = [[Push(layer, vector(loaded, row), 1.0 + row, positions, start)] for row in range(2)] + [[]]
            found = last_logits(loaded, batch, rows)
            for row, tensors in enumerate(singles):
                own = last_logits(loaded, tensors, [rows[row]])[0]
                assert torch.allclose(found[row], own, atol=1e-4 * float(own.abs().max())), (layer, positions, row)
            if positions == "generated":
                assert torch.equal(found, plain)
            else:
                moved = (found - plain).abs().amax(1) > 1e-6
                assert moved.tolist() == [True, True, False], (layer, positions)


@test_families.every_writer
def test_answers_with_a_cache_are_those_of_whole_passes(set_up):
    loaded = set_up.loaded
    layers = loaded.family.site("resid_post").layers(loaded.config)
    singles, batch = alike(set_up)
    changed = 0
    plain = write(loaded, batch, [[]])
    for layer in (layers // 2, layers - 1):
        for positions, start in POSITIONS:
            rows = [[Push(layer, vector(loaded, row, 5.0), 1.0, positions, start)] for row in range(3)]
            found = write(loaded, batch, rows)
            assert found == [write(loaded, one, [row])[0] for one, row in zip(singles, rows, strict=True)]
            changed += found != plain
    assert changed >= 4


@test_families.every_writer
def test_no_strength_is_no_push_and_hooks_are_gone(set_up):
    loaded = set_up.loaded
    _, batch = alike(set_up)
    layers = loaded.family.site("resid_post").layers(loaded.config)
    plain, before = last_logits(loaded, batch, [[]]), test_families.hooks(loaded.model)
    for positions, start in POSITIONS:
        rows = [[Push(layer, vector(loaded), 0.0, positions, start) for layer in range(layers)]]
        assert torch.equal(last_logits(loaded, batch, rows), plain)
    with pytest.raises(VlmscopeError, match="width"), pushed(loaded, [[Push(0, [1.0, 2.0])]], batch["attention_mask"]):
        pass
    with (
        pytest.raises(AttributeError),
        pushed(loaded, [[Push(0, vector(loaded)), Push(99, vector(loaded))]], batch["attention_mask"]),
    ):
        pass
    assert test_families.hooks(loaded.model) == before
    assert torch.equal(last_logits(loaded, batch, [[]]), plain)


@test_families.every_writer
def test_replayed_prompts_are_continued_as_prompts_that_are_read_anew(set_up):
    loaded = set_up.loaded
    layers = loaded.family.site("resid_post").layers(loaded.config)
    _, batch = alike(set_up)
    known = replay.prefix(loaded, batch, range(layers))
    before = test_families.hooks(loaded.model)
    samples = [2, 0, 0, 1, 2]
    whole = encoded(set_up, samples)
    for layer in range(layers):
        for positions, start in POSITIONS:
            pushes = [[Push(layer, vector(loaded, row, 4.0), 1.0, positions, start)] for row in range(4)] + [[]]
            expected, logits = write(loaded, whole, pushes), last_logits(loaded, whole, pushes)
            with replay.replayed(loaded, known, layer, samples):
                assert write(loaded, known.rows(samples), pushes) == expected
                found = last_logits(loaded, known.rows(samples), pushes)
            assert torch.allclose(found, logits, atol=1e-4 * float(logits.abs().max()))
    assert test_families.hooks(loaded.model) == before
    assert not [module for module in loaded.model.modules() if "forward" in vars(module)]
    assert torch.equal(known.ends(layers - 1), known.states[layers - 1][:, -1])


@test_families.every_writer
def test_replayed_blocks_are_not_computed(set_up):
    loaded = set_up.loaded
    layers = loaded.family.site("resid_post").layers(loaded.config)
    _, batch = alike(set_up)
    known = replay.prefix(loaded, batch, range(layers))
    seen = []
    reading = taps.reading(
        loaded, loaded.family.site("attn_out"), range(layers), lambda layer, value: seen.append(layer)
    )
    with reading, replay.replayed(loaded, known, layers - 2, [0, 1]):
        last_logits(loaded, known.rows([0, 1]), [[]])
    assert seen == [layers - 1]


@pytest.mark.parametrize("family", sorted(replay.INSISTING))
def test_families_that_insist_on_pictures_do(set_up):
    _, batch = alike(set_up)
    with pytest.raises((TypeError, VlmscopeError)):
        answer.new_tokens(set_up.loaded, {key: one for key, one in batch.items() if key not in replay.PIXELS}, NEW)
