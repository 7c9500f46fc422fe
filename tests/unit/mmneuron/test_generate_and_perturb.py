"""Answers and deviations of the embedded model: what masks change, and what batches must not change."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.capture import batches, run
from vlmscope.datasets import base
from vlmscope.edits import zeroed
from vlmscope.mmneuron import generate, perturb, schemas
from vlmscope.mmneuron.schemas import ANSWERS, PERTURBED

GREEDY = generate.Decoding("greedy", 6, 0)
MASK = {"mlp_gate": {0: list(range(200)), 1: list(range(100)), 2: list(range(0, 256, 2))}}


def prompt(sample):
    return base.load("docvqa").prompt(sample, "full")


@pytest.fixture(scope="module")
def answered(shipped, asked):
    samples, root = asked

    def answers(batch, decoding=GREEDY, some=samples):
        conditions = {"none": {}, "masked": MASK}
        parts = list(generate.answers(shipped, some, prompt, batches.picture_of(root), conditions, decoding, batch))
        return generate.arranged(parts, some, list(conditions))

    return answers


@pytest.fixture(scope="module")
def one_by_one(answered):
    return answered(1)


def test_answers_stand_by_condition_and_in_the_order_of_samples(one_by_one, asked):
    assert one_by_one.schema == pl.Schema(ANSWERS)
    names = [sample.sample for sample in asked[0]]
    assert one_by_one.select("condition", "sample").rows() == [(c, s) for c in ("none", "masked") for s in names]
    assert one_by_one["tokens"].max() <= 6


@pytest.mark.parametrize("batch", [2, 6])
def test_answers_do_not_depend_on_the_batch(answered, one_by_one, batch):
    assert answered(batch).equals(one_by_one)


def test_a_mask_changes_answers_and_leaves_no_trace(answered, one_by_one, shipped):
    none, masked = (one_by_one.filter(pl.col("condition") == name)["prediction"] for name in ("none", "masked"))
    assert none.to_list() != masked.to_list()
    before = {name: value.clone() for name, value in shipped.model.state_dict().items()}
    again = answered(6).filter(pl.col("condition") == "none")["prediction"]
    assert again.to_list() == none.to_list()
    assert all(torch.equal(before[name], value) for name, value in shipped.model.state_dict().items())


def test_sampled_answers_depend_on_the_seed_and_the_sample_but_not_on_the_company(answered, asked):
    drawn = generate.Decoding("sampling", 6, 1)
    whole = answered(6, drawn)
    alone = answered(1, drawn, asked[0][3:4])
    assert whole.equals(answered(2, drawn))
    shared = whole.filter(pl.col("sample") == asked[0][3].sample)
    assert shared.equals(alone)
    others = [answered(6, generate.Decoding("sampling", 6, seed)) for seed in (2, 3, 4)]
    assert any(not whole.equals(one) for one in others)


def test_a_question_with_two_references_is_asked_once(asked):
    first, second, third = asked[0][:3]
    rows = [replace(first, group="q"), replace(second, group="q"), third]
    assert generate.questions(rows) == [rows[0], third]


def test_answers_of_nothing_are_an_empty_table():
    assert generate.arranged([], [], ["none"]).schema == pl.Schema(ANSWERS)


# ---- deviations --------------------------------------------------------------------------------------------------

SETS = {"none": ("none", {}), "own": ("own", MASK)}
SETS["random:0"] = ("random", {"mlp_gate": {0: [70, 71], 1: [70]}})


@pytest.fixture(scope="module")
def measured(shipped, asked):
    samples, root = asked

    def rows(batch):
        parts = perturb.rows(shipped, samples, prompt, batches.picture_of(root), SETS, GREEDY, batch)
        return pl.concat(parts).sort("mask", "sample")

    return rows


@pytest.fixture(scope="module")
def deviations(measured):
    return measured(3)


def test_without_a_mask_nothing_deviates(deviations):
    none = deviations.filter(pl.col("mask") == "none")
    assert deviations.schema == pl.Schema(PERTURBED)
    assert none["deviation"].to_list() == [0.0] * 6
    np.testing.assert_allclose(none.select("one_minus_cos", "kl_next").to_numpy(), 0, atol=1e-4)


def test_a_mask_moves_states_and_says_how_large_it_is(deviations):
    own = deviations.filter(pl.col("mask") == "own")
    assert own["deviation"].min() > 0 and own["kl_next"].min() > 0 and own["one_minus_cos"].min() > 0
    assert set(own["units"]) == {428} and set(own["kind"]) == {"own"}


def test_deviations_do_not_depend_on_the_batch(deviations, measured):
    single = measured(1)
    keys = ["mask", "kind", "sample", "group", "units", "prediction"]
    assert single.select(keys).equals(deviations.select(keys))
    for column in ("deviation", "one_minus_cos", "kl_next"):
        np.testing.assert_allclose(single[column], deviations[column], rtol=1e-3, atol=1e-4)


def test_a_deviation_is_the_one_computed_from_the_model_s_own_outputs(shipped, asked, deviations):
    samples, root = asked
    whole = shipped.family.template.replace("{prompt}", prompt(samples[0]))
    (batch,) = batches.prefill(shipped, samples[:1], lambda sample: whole, batches.picture_of(root), 1)
    states, odds = [], []
    for units in ({}, MASK):
        found = []
        handle = shipped.model.model.language_model.norm.register_forward_pre_hook(
            lambda module, args, found=found: found.append(args[0][0].double().numpy())
        )
        with torch.inference_mode(), zeroed(shipped, units):
            odds.append(run.forward(shipped, batch).logits[0, -1].double().softmax(-1).numpy())
        handle.remove()
        states.append(found[0])
    h, moved = states
    row = deviations.row(by_predicate=(pl.col("mask") == "own") & (pl.col("sample") == samples[0].sample), named=True)
    lengths = np.linalg.norm(h, axis=1), np.linalg.norm(moved, axis=1)
    assert row["deviation"] == pytest.approx((100 * np.linalg.norm(moved - h, axis=1) / lengths[0]).mean(), rel=1e-4)
    cosine = (h * moved).sum(1) / lengths[0] / lengths[1]
    assert row["one_minus_cos"] == pytest.approx((100 * (1 - cosine)).mean(), rel=1e-3)
    assert row["kl_next"] == pytest.approx((odds[0] * np.log(odds[0] / odds[1])).sum(), rel=1e-3)


def test_every_domain_has_its_controls():
    rows = [("lang", 0, unit, domain, 0.5, 0.4, 0.3, 0.1) for unit, domain in ((1, "a"), (2, "a"), (3, "b"), (1, "c"))]
    neurons = pl.DataFrame(rows, schema=schemas.neurons(["a", "b", "c"]), orient="row")
    given = ("llava_next", "a", ["a", "b", "c"], ["lang", "mmproj"], {"mlp_gate": 9, "projector_gate": 9}, [0, 7])
    sets = perturb.mask_sets(neurons, *given)
    assert {name: kind for name, (kind, _) in sets.items()} == {
        "none": "none",
        "own": "own",
        "other:b": "other",
        "other:c": "other",
        "random:0": "random",
        "random:7": "random",
    }
    assert sets["own"][1] == {"mlp_gate": {0: [1, 2]}, "projector_gate": {}}
    assert sets["other:b"][1]["mlp_gate"] == {0: [3]}
    for name in ("random:0", "random:7"):
        assert len(sets[name][1]["mlp_gate"][0]) == 2 and not {1, 2} & set(sets[name][1]["mlp_gate"][0])
