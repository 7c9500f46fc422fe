"""Changes laid along the batch axis give what each gives alone, in every family that mmneuron knows."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vlmscope import sweep
from vlmscope.capture import run, taps
from vlmscope.edits import Change, changed, zeroed
from vlmscope.mmneuron import modules
from vlmscope.models import answer, inputs
from vlmscope.models.inputs import Batch

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

import tiny_families

PROMPTS = ["<image>\nw1 w2 w3", "<image>\nw4 w5 w6 w7 w8 w9", "<image>\nw10"]
TOKENS = 5


@pytest.fixture(scope="module", params=sorted(modules.MODULES))
def loaded(request):
    return tiny_families.loaded(request.param)


@pytest.fixture(scope="module")
def tensors(loaded):
    generator = np.random.default_rng(3)
    pictures = [Image.fromarray(generator.integers(0, 256, (28, 28, 3), dtype=np.uint8)) for _ in PROMPTS]
    return inputs.encode(loaded, PROMPTS, pictures, side="left")


@pytest.fixture(scope="module")
def changes(loaded):
    """One of every sort: nothing, decoder alone, before it alone, both, means, scaling."""
    sites, drawn = modules.sites(loaded.family.name), np.random.default_rng(5)

    def some(names):
        found = {}
        for name in names:
            site = loaded.family.site(sites[name])
            layers, width = site.layers(loaded.config), site.width(loaded.config)
            found[sites[name]] = {
                layer: sorted(drawn.choice(width, width // 3, replace=False).tolist()) for layer in range(layers)
            }
        return found

    first = [name for name in sites if name != "lang"]
    means = {
        site: drawn.normal(
            size=(loaded.family.site(site).layers(loaded.config), loaded.family.site(site).width(loaded.config))
        )
        for site in sites.values()
    }
    return {
        "none": Change({}),
        "lang": Change(some(["lang"])),
        "lang twice": Change(some(["lang"]), 2.0),
        **{name: Change(some([name])) for name in first},
        "all": Change(some(sites)),
        "means": Change(some(sites), 0.0, means),
        "scaled": Change(some(sites), 1.7),
    }


def alone(loaded, tensors, change, row):
    """One sample under one change, without the sweep: answer, last states, next logits."""
    one = {key: value[row : row + 1] for key, value in tensors.items()}
    keep = tensors["attention_mask"][row].bool()
    states = []
    with torch.inference_mode(), changed(loaded, [change]):
        written = answer.new_tokens(loaded, one, TOKENS)
        # A plain forward has no padding: the family's own positions hold.
        bare = {key: value[:, keep] if key in ("input_ids", "attention_mask") else value for key, value in one.items()}
        site = loaded.family.site("resid_post")
        last = site.layers(loaded.config) - 1
        with taps.reading(loaded, site, [last], lambda layer, value: states.append(value[0])):
            logits = run.forward(loaded, Batch((row,), bare)).logits[0, -1]
    return written[0], states[0], logits


@pytest.mark.parametrize("rows", [1, 4, 64])
def test_a_sweep_equals_one_change_and_one_sample_at_a_time(loaded, tensors, changes, rows):
    seen = set()
    head, norm = (taps.module_at(loaded.model, path) for path in (loaded.family.head, loaded.family.norm))
    writing = sweep.Writing(TOKENS)
    for one in sweep.passes(loaded, tensors, list(changes.values()), rows, writing, states=True):
        assert len(one.pairs) <= rows
        for place, (number, sample) in enumerate(one.pairs):
            written, states, logits = alone(loaded, tensors, list(changes.values())[number], sample)
            keep = tensors["attention_mask"][sample].bool()
            assert one.written[place] == written
            torch.testing.assert_close(one.states[place][keep], states, atol=5e-5, rtol=1e-4)
            with torch.inference_mode():
                torch.testing.assert_close(head(norm(one.states[place, -1])), logits, atol=1e-5, rtol=1e-5)
            seen.add((number, sample))
    assert seen == {(number, sample) for number in range(len(changes)) for sample in range(len(PROMPTS))}


def test_every_change_of_the_list_moves_the_states(loaded, tensors, changes):
    (one,) = sweep.passes(loaded, tensors, list(changes.values()), 64, None, states=True)
    none = {sample: one.states[place] for place, (number, sample) in enumerate(one.pairs) if number == 0}
    moved = [
        not torch.allclose(one.states[place], none[sample], atol=1e-4) for place, (_, sample) in enumerate(one.pairs)
    ]
    assert moved == [number > 0 for number, _ in one.pairs]


def test_pictures_are_embedded_once_for_changes_that_do_not_touch_them(loaded, tensors, changes):
    seen = []
    tower = taps.module_at(loaded.model, loaded.family.site("vision_gate").path)
    handle = tower.register_forward_hook(lambda *_: seen.append(1))
    few = [changes[name] for name in ("none", "lang", "lang twice")]
    list(sweep.passes(loaded, tensors, few, 2, sweep.Writing(2)))
    handle.remove()
    assert len(seen) == 1


def test_zeroing_by_factor_equals_zeroing_by_columns_and_leaves_no_trace(loaded, tensors, changes):
    batch = Batch((0, 1, 2), tensors)
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    with torch.inference_mode():
        untouched = run.forward(loaded, batch).logits
        for name in ("lang", "all"):
            with changed(loaded, [changes[name]]):
                by_factor = run.forward(loaded, batch).logits
            with zeroed(loaded, changes[name].units):
                torch.testing.assert_close(run.forward(loaded, batch).logits, by_factor, atol=1e-6, rtol=0)
        with changed(loaded, [Change({"mlp_gate": {}})]):
            assert torch.equal(run.forward(loaded, batch).logits, untouched)
        assert torch.equal(run.forward(loaded, batch).logits, untouched)
    assert all(torch.equal(before[name], value) for name, value in loaded.model.state_dict().items())


def test_the_means_stand_in_the_units(loaded, tensors, changes):
    change, seen = changes["means"], {}
    for name in changes["means"].units:
        site = loaded.family.site(name)
        with torch.inference_mode(), changed(loaded, [change]), taps.reading(loaded, site, [0], seen.__setitem__):
            run.forward(loaded, Batch((0, 1, 2), tensors))
        members = change.units[name][0]
        wanted = torch.as_tensor(change.means[name][0])[members].float()
        torch.testing.assert_close(seen[0][..., members], wanted.expand_as(seen[0][..., members]))


def test_units_of_inert_layers_change_nothing_and_the_others_do(loaded, tensors):
    sites = [loaded.family.site(name) for name in modules.sites(loaded.family.name).values()]
    dead, live = {}, {}
    for name, site in zip(modules.sites(loaded.family.name).values(), sites, strict=True):
        every = list(range(site.width(loaded.config)))
        inert = site.inert(loaded.config)
        dead[name] = dict.fromkeys(inert, every)
        live |= {name: {layer: every for layer in range(site.layers(loaded.config)) if layer not in inert}}
    assert sum(map(len, dead.values())) == 1
    given = [Change({}), Change(dead), *(Change({name: layers}) for name, layers in live.items())]
    (one,) = sweep.passes(loaded, tensors, given, 99, None, states=True)
    states = dict(zip(one.pairs, one.states, strict=True))
    for sample in range(len(PROMPTS)):
        torch.testing.assert_close(states[1, sample], states[0, sample], atol=1e-5, rtol=1e-5)
        for number in range(2, len(given)):
            assert (states[number, sample] - states[0, sample]).abs().max() > 1e-3
