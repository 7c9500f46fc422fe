"""Answers and deviations of the embedded model: what masks change, and what batches must not change."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope import raw
from vlmscope.capture import batches, run
from vlmscope.datasets import base
from vlmscope.edits import Change, zeroed
from vlmscope.mmneuron import generate, identify, masks, perturb, schemas, vary
from vlmscope.mmneuron.schemas import ANSWERS, PERTURBED
from vlmscope.samples import SCHEMA
from vlmscope.samples import table as sample_table
from vlmscope.store import files, tables
from vlmscope.store.shards import DomainCounts

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

CHANGES = [
    perturb.UNTOUCHED,
    perturb.Mask("own", "all", "", Change(MASK)),
    perturb.Mask("random", "all", "0", Change({"mlp_gate": {0: [70, 71], 1: [70]}})),
]


@pytest.fixture(scope="module")
def measured(shipped, asked):
    samples, root = asked

    def rows(batch):
        parts = perturb.rows(shipped, samples, prompt, batches.picture_of(root), CHANGES, GREEDY, batch)
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
    own = deviations.filter(pl.col("kind") == "own")
    assert own["deviation"].min() > 0 and own["kl_next"].min() > 0 and own["one_minus_cos"].min() > 0
    assert set(own["units"]) == {428} and set(own["kind"]) == {"own"}


def test_deviations_do_not_depend_on_the_batch(deviations, measured):
    single = measured(1)
    keys = ["mask", "kind", "condition", "variant", "sample", "group", "units", "prediction"]
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
    row = deviations.row(by_predicate=(pl.col("kind") == "own") & (pl.col("sample") == samples[0].sample), named=True)
    lengths = np.linalg.norm(h, axis=1), np.linalg.norm(moved, axis=1)
    assert row["deviation"] == pytest.approx((100 * np.linalg.norm(moved - h, axis=1) / lengths[0]).mean(), rel=1e-4)
    cosine = (h * moved).sum(1) / lengths[0] / lengths[1]
    assert row["one_minus_cos"] == pytest.approx((100 * (1 - cosine)).mean(), rel=1e-3)
    assert row["kl_next"] == pytest.approx((odds[0] * np.log(odds[0] / odds[1])).sum(), rel=1e-3)


def test_answers_of_a_measurement_are_those_of_the_table(deviations, one_by_one):
    for kind, condition in (("none", "none"), ("own", "masked")):
        said = deviations.filter(pl.col("kind") == kind).select("sample", "prediction")
        wanted = one_by_one.filter(pl.col("condition") == condition).select("sample", "prediction")
        assert said.sort("sample").equals(wanted.sort("sample"))


def test_deviations_without_answers_are_the_same(shipped, asked, deviations):
    samples, root = asked
    whole = {one.sample: shipped.family.template.replace("{prompt}", prompt(one)) for one in samples}
    sets = {mask.name: (mask.kind, mask.change.units) for mask in CHANGES}
    for batch in batches.prefill(shipped, samples, lambda one: whole[one.sample], batches.picture_of(root), 6):
        part = [samples[row] for row in batch.rows]
        found = pl.concat(perturb.deviations(shipped, batch, part, sets))
        both = found.join(deviations, on=["mask", "sample"])
        assert len(both) == len(found) == 3 * len(part)
        for column in ("deviation", "one_minus_cos", "kl_next"):
            np.testing.assert_allclose(both[column], both[f"{column}_right"], rtol=1e-3, atol=1e-4)


def test_rows_stand_by_domain_sample_and_mask_whatever_shares_a_pass(shipped, asked, tmp_path):
    samples, root = asked
    raw_file, table = str(tmp_path / "raw.json"), str(tmp_path / "val.parquet")
    files.write_json(raw.manifest("docvqa", root, "drawn", {}), raw_file)
    tables.write(sample_table(samples), table, SCHEMA)
    tower = {"vision_gate": {0: [1, 2, 3]}}
    masked = [perturb.Mask("own", name, "", Change(units)) for name, units in (("a", tower), ("b", MASK), ("c", tower))]
    given = ({"doc": "docvqa"}, [raw_file], [table], GREEDY, lambda domain: [perturb.UNTOUCHED, *masked])
    found = perturb.over_domains(shipped, *given, 3, 4)
    names = [sample.sample for sample in generate.questions(samples)[:3]]
    assert found.select("domain", "sample", "mask").rows() == [
        ("doc", name, mask) for name in names for mask in ("none", "own:a", "own:b", "own:c")
    ]
    same = [found.filter(pl.col("mask") == mask)["deviation"].to_numpy() for mask in ("own:a", "own:c")]
    np.testing.assert_allclose(*same, rtol=1e-4)


def test_every_domain_has_its_controls():
    rows = [("lang", 0, unit, domain, 0.5, 0.4, 0.3, 0.1) for unit, domain in ((1, "a"), (2, "a"), (3, "b"), (1, "c"))]
    neurons = pl.DataFrame(rows, schema=schemas.neurons(["a", "b", "c"]), orient="row")
    conditions = {"lang": ["lang"], "both": ["lang", "mmproj"]}
    given = ("llava_next", "a", ["a", "b", "c"], conditions, "both", {"mlp_gate": 9, "projector_gate": 9}, [0, 7])
    found = {mask.name: mask for mask in perturb.mask_list(neurons, *given)}
    assert list(found) == [
        *("none", "own:lang", "random:lang:0", "random:lang:7", "own:both", "random:both:0", "random:both:7"),
        *("other:both:b", "other:both:c"),
    ]
    assert found["own:both"].change.units == {"mlp_gate": {0: [1, 2]}, "projector_gate": {}}
    assert found["other:both:b"].change.units["mlp_gate"] == {0: [3]}
    for name in ("random:lang:0", "random:both:7"):
        drawn = found[name].change.units["mlp_gate"][0]
        assert len(drawn) == 2 and not {1, 2} & set(drawn)


# ---- variations --------------------------------------------------------------------------------------------------


def counted(seed, layers=2, width=40):
    drawn = np.random.default_rng(seed)
    fired = drawn.integers(0, 101, size=(3, layers, width))
    return DomainCounts(("a", "b", "c"), fired, fired * 0.5, np.array([100, 100, 200]), (10, 10, 20))


def test_variations_are_of_the_domain_s_own_neurons():
    counts = {"lang": counted(1), "mmproj": counted(2, 1)}
    sites = {"lang": "mlp_gate", "mmproj": "projector_gate"}
    identified = {"top_rate": 0.2, "filter_rate": 0.5, "bar_rate": 0.5}
    chosen = {"rates": [0.1, 0.2, 0.4], "scales": [0.5, 2.0], "random_seeds": [3]}
    settings = {"identify": identified, "vary": chosen}
    given = (counts, sites, "b", "all", settings, {"mlp_gate": 40, "projector_gate": 40})
    found = {mask.name: mask.change for mask in vary.mask_list(*given)}
    assert list(found) == [
        *("none", "zero:all", "mean:all", "scale:all:0.5", "scale:all:2"),
        *("dose:all:0.1", "dose_random:all:0.1:3", "dose:all:0.2", "dose_random:all:0.2:3"),
        *("dose:all:0.4", "dose_random:all:0.4:3"),
    ]
    wanted = identify.select(counts["lang"].fired, counts["lang"].seen, **identified).members[1]
    for name in ("zero:all", "mean:all", "scale:all:2", "dose:all:0.2"):
        units = found[name].units["mlp_gate"]
        assert {(layer, unit) for layer, row in units.items() for unit in row} == set(
            zip(*np.nonzero(wanted), strict=True)
        )
    assert (found["zero:all"].factor, found["scale:all:2"].factor) == (0.0, 2.0)
    sizes = [masks.size(found[f"dose:all:{rate}"].units) for rate in ("0.1", "0.2", "0.4")]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]
    assert [masks.size(found[f"dose_random:all:{rate}:3"].units) for rate in ("0.1", "0.2", "0.4")] == sizes


def test_the_mean_weighs_domains_alike():
    counts = counted(1)
    wanted = (counts.total[0] / 100 + counts.total[1] / 100 + counts.total[2] / 200) / 3
    np.testing.assert_allclose(vary.mean_activation(counts), wanted)
