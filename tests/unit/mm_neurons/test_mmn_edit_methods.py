"""The closed form raises the margin as told, descent lowers its loss, neurons are those that write the word."""

import numpy as np
import pytest
import torch

from vlmscope.mm_neurons.edit import files as edit_files
from vlmscope.mm_neurons.edit import methods, optimise
from vlmscope.mm_neurons.edit.files import Edit
from vlmscope.mm_neurons.edit.optimise import Row
from vlmscope.mm_neurons.runs import columns, passes, readings
from vlmscope.mm_neurons.runs.readings import Place
from vlmscope.samples import picture

MODELS = ("llava-llama2", "mplug-owl2", "blip")
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def told(shipped, scenes):
    """A function that gives a model, its prompts and captions of six pictures."""
    known = {}

    def of(name):
        if name not in known:
            loaded, (samples, root) = shipped(name), scenes
            texts = [loaded.family.chat("<image>\ndescribe the image.")] * len(samples)
            ready = passes.prepare(loaded, texts, [picture(one, root) for one in samples], 6)
            known[name] = loaded, ready, [tuple(one) for one in passes.write(loaded, ready, 24)]
        return known[name]

    return of


def tokens_of(loaded):
    return tuple(
        loaded.processor.tokenizer.encode(f"a {word}", add_special_tokens=False)[-1] for word in ("red", "blue")
    )


def margin(loaded, x, size, tokens):
    """Logit of the target minus that of the source of states x, the norm's divisor held fixed."""
    head, gain = readings.head(loaded), readings.gain(loaded)
    return (x * gain / size[:, None]) @ (head[tokens[1]] - head[tokens[0]])


@every_model
def test_parts_of_the_norm_give_back_the_logits(name, told):
    loaded, ready, captions = told(name)
    found = readings.read(loaded, [Place(ready[0], captions[0], step) for step in range(4)], 8)
    gained = readings.gain(loaded)
    rebuilt = (found.x * gained / readings.sizes(loaded, found.x, gained)[:, None]) @ readings.head(loaded).T
    torch.testing.assert_close(rebuilt.log_softmax(-1), found.log_prob, atol=1e-4, rtol=1e-4)


@every_model
def test_places_of_one_caption_are_read_together_as_alone(name, told):
    loaded, ready, captions = told(name)
    places = [Place(ready[k], captions[k], step) for step in (0, 3) for k in (2, 0, 1)]
    together = readings.read(loaded, places, 2)
    for number, one in enumerate(places):
        alone = readings.read(loaded, [one], 1)
        for found, wanted in zip(together, alone, strict=True):
            torch.testing.assert_close(found[number], wanted[0], atol=1e-4, rtol=1e-4)
    some = np.array([0, 2]), np.array([5, 7])
    assert torch.equal(readings.read(loaded, places, 2, some).z, together.of(some).z)


@every_model
def test_the_closed_form_raises_the_margin_by_what_was_asked(name, told):
    loaded, ready, captions = told(name)
    tokens, last = tokens_of(loaded), columns.shape(loaded)[0] - 1
    place = Place(ready[0], captions[0], 1)
    at = readings.read(loaded, [place], 1)
    places = methods.best(loaded, at, tokens[0], k=12, first=-1)
    assert set(places[0]) == {last}
    made = methods.closed_form(loaded, at.of(places), None, tokens, places, torch.tensor([4.0]))
    with columns.added(loaded, [made]):
        after = readings.read(loaded, [place], 1)
    size = readings.sizes(loaded, at.x, readings.gain(loaded))
    rise = margin(loaded, after.x, size, tokens) - margin(loaded, at.x, size, tokens)
    assert float(rise) == pytest.approx(4.0, abs=1e-4)


def test_the_closed_form_is_the_least_change(told):
    loaded, ready, captions = told("llava-llama2")
    tokens = tokens_of(loaded)
    at = readings.read(loaded, [Place(ready[0], captions[0], 1)], 1)
    places = methods.best(loaded, at, tokens[0], k=12)
    made = methods.closed_form(loaded, at.of(places), None, tokens, places, torch.tensor([2.5]))
    z, gained = at.of(places).z[0].double(), readings.gain(loaded).double()
    head = readings.head(loaded).double()
    q = (head[tokens[1]] - head[tokens[0]]) * gained / float(readings.sizes(loaded, at.x, readings.gain(loaded)))
    wanted = 2.5 * z[:, None] * q / (q.square().sum() * z.square().sum())
    np.testing.assert_allclose(made.rows, wanted.float(), rtol=1e-4, atol=1e-7)


def test_several_places_each_get_their_rise_and_others_none(told):
    loaded, ready, captions = told("llava-llama2")
    tokens = tokens_of(loaded)
    spots = [Place(ready[k], captions[k], 1) for k in range(3)]
    others = [Place(ready[k], captions[k], step) for k in (3, 4) for step in (2, 3)]
    places = methods.best(loaded, readings.read(loaded, spots, 4), tokens[0], k=60, first=-1)
    at, kept = (readings.read(loaded, some, 4, places) for some in (spots, others))
    rises = torch.tensor([1.0, 2.0, 3.0])
    made = methods.closed_form(loaded, at, kept, tokens, places, rises, preserve=1.0)
    with columns.added(loaded, [made]):
        after = [readings.read(loaded, some, 4).x for some in (spots, others)]
    for before, x, wanted in ((at, after[0], rises), (kept, after[1], torch.zeros(4))):
        size = readings.sizes(loaded, before.x, readings.gain(loaded))
        rise = margin(loaded, x, size, tokens) - margin(loaded, before.x, size, tokens)
        torch.testing.assert_close(rise, wanted, atol=1e-3, rtol=0)


@every_model
def test_a_rise_of_nothing_changes_no_caption(name, told):
    loaded, ready, captions = told(name)
    tokens = tokens_of(loaded)
    at = readings.read(loaded, [Place(ready[0], captions[0], 1)], 1)
    places = methods.best(loaded, at, tokens[0], k=10)
    made = methods.closed_form(loaded, at.of(places), None, tokens, places, torch.tensor([0.0]))
    assert not made.rows.any()
    edit = Edit("rows", made.layer, made.unit, made.rows, {"model": loaded.about["fingerprint"]})
    for way in (edit_files.applied, edit_files.merged):
        with way(loaded, [edit]):
            assert [tuple(one) for one in passes.write(loaded, ready, 24)] == captions


def test_best_neurons_are_those_of_the_largest_part_of_the_logit(told):
    loaded, ready, captions = told("llava-llama2")
    tokens, (layers, units) = tokens_of(loaded), columns.shape(loaded)
    at = readings.read(loaded, [Place(ready[k], captions[k], 1) for k in range(2)], 2)
    direction = readings.head(loaded)[tokens[0]] * readings.gain(loaded)
    parts = torch.stack([columns.weight(loaded, layer).T @ direction for layer in range(layers)]) * at.z.mean(0)
    order = parts.flatten().argsort(descending=True)[:9]
    found = methods.best(loaded, at, tokens[0], k=9)
    assert (found[0] * units + found[1]).tolist() == order.tolist()
    early = methods.best(loaded, at, tokens[0], k=9, last=layers - 1)
    assert early[0].max() < layers - 1


def test_the_direction_leads_from_one_word_to_the_other(told):
    loaded, ready, captions = told("llava-llama2")
    tokens = tokens_of(loaded)
    source, target = (readings.read(loaded, [Place(ready[k], captions[k], 1)], 1) for k in (0, 1))
    places = methods.movers(loaded, source, target, tokens, 8)
    way = methods.direction(source, target, places)
    assert np.linalg.norm(way) == pytest.approx(1, abs=1e-5)
    gap = (target.z[0] - source.z[0])[places[0], places[1]].numpy()
    np.testing.assert_allclose(way, gap / np.linalg.norm(gap), rtol=1e-4)
    assert not methods.direction(source, source, places).any()


# ---- descent -----------------------------------------------------------------------------------------------------

DESCENT = {"steps": 30, "rate": 0.05, "stop": 0.9, "alpha": 1.0, "beta": 10.0, "gamma": 0.01}


def rows(loaded, ready, captions):
    target = tokens_of(loaded)[1]
    aimed = [Row(ready[k], (captions[k][0], target), (target,), (0,)) for k in range(2)]
    return [*aimed, Row(ready[3], captions[3], (), tuple(range(len(captions[3]) + 1)))]


@every_model
def test_descent_makes_the_target_likely_and_keeps_what_shall_stay(name, told):
    loaded, ready, captions = told(name)
    wanted = rows(loaded, ready, captions)
    at = readings.read(loaded, [Place(row.prompt, row.tokens, 1) for row in wanted[:2]], 2)
    places = methods.best(loaded, at, tokens_of(loaded)[0], k=20)
    made, ended = optimise.optimise(loaded, wanted, places, DESCENT, batch=4)
    assert 0 < ended["steps"] <= 30
    with columns.added(loaded, [made]):
        after = passes.log_probs(loaded, [row.prompt for row in wanted], [row.tokens for row in wanted])
    before = passes.log_probs(loaded, [row.prompt for row in wanted], [row.tokens for row in wanted])
    target = tokens_of(loaded)[1]
    assert (after[:2, 1, target] > before[:2, 1, target] + 1).all()
    assert float(after[:2, 1, target].exp().min()) == pytest.approx(ended["least"], abs=1e-3)
    again = after[:2, 2, target].exp().max()
    assert again < 0.2, "the target is not said twice"
    _, more = optimise.optimise(loaded, wanted, places, {**DESCENT, "alpha": 100.0, "stop": 1.0}, batch=4)
    assert more["steps"] == 30


@pytest.mark.parametrize("batch", [1, 4])
def test_gradients_are_added_up_whatever_the_batch(batch, told):
    loaded, ready, captions = told("llava-llama2")
    wanted = rows(loaded, ready, captions)
    places = np.array([2, 2, 1]), np.array([3, 4, 5])
    made, ended = optimise.optimise(loaded, wanted, places, {**DESCENT, "steps": 3}, batch)
    other, same = optimise.optimise(loaded, wanted, places, {**DESCENT, "steps": 3}, 2)
    np.testing.assert_allclose(made.rows, other.rows, atol=1e-3)
    assert ended["loss"] == pytest.approx(same["loss"], rel=1e-3) and ended["steps"] == 3


def test_a_goal_that_is_reached_needs_no_step(told):
    loaded, ready, captions = told("llava-llama2")
    own = Row(ready[0], captions[0][:2], captions[0][1:2], (0,))
    made, ended = optimise.optimise(loaded, [own], (np.array([0]), np.array([0])), {**DESCENT, "stop": 0.5}, 1)
    assert ended["steps"] == 0 and not made.rows.any()


def test_the_loss_is_the_sum_of_its_terms(told):
    """Zero change: no divergence, no size; the rest by hand."""
    loaded, ready, captions = told("llava-llama2")
    wanted = rows(loaded, ready, captions)
    _, ended = optimise.optimise(
        loaded, wanted, (np.array([0]), np.array([0])), {**DESCENT, "steps": 0, "stop": 1.0}, 4
    )
    values = passes.log_probs(loaded, [row.prompt for row in wanted], [row.tokens for row in wanted])
    target = tokens_of(loaded)[1]
    by_hand = 0.0
    for row in range(2):
        by_hand += -float(values[row, 1, target]) / 2 - 10 * float(torch.log1p(-values[row, 2, target].exp())) / 2
    assert ended["loss"] == pytest.approx(by_hand, rel=1e-4)
