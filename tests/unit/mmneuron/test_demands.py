"""Minutes of the jobs with a model at paper scale, reckoned here by hand from mmneuron.md 10."""

import copy
import math
from types import SimpleNamespace

import pytest

from vlmscope import config
from vlmscope.mmneuron.demands import MARGIN, ROWS, START, Demands
from vlmscope.workflow import Resources

# TF per picture, tera floating-point operations per second, seconds per token: LLaVA-NeXT in 16 bit.
LLAVA = (42, 156, 0.007)
# InstructBLIP in 32 bit: a sixteenth of the speed, twice the bytes.
BLIP = (1.8, 156 / 16, 0.014)


def demands(**sections):
    tree = copy.deepcopy(config.plain(config.default()))
    for name in ("llava", "llava15"):
        tree["models"][name]["dtype"] = "float16"
    for name in ("ad", "med", "rs", "com", "doc"):
        tree["datasets"][name]["limit"] = {"train": 10001, "val": 1001}
    tree["mmneuron"]["generate"]["max_new_tokens"] = 64
    for name, values in sections.items():
        tree["mmneuron"][name] |= values
    found = config.resolve(tree)
    return Demands(found, {"com": ["com"], "two": ["com", "ad"]})


def asked(seconds):
    return 10 * math.ceil((START + MARGIN * seconds / 60) / 10)


def job(model="llava", domain="com"):
    return SimpleNamespace(model=model, domain=domain, portion=domain)


@pytest.mark.parametrize(("model", "cost", "masks"), [("llava", LLAVA, 4), ("blip", BLIP, 5)])
def test_answers_are_as_many_as_samples_and_conditions(model, cost, masks):
    picture, speed, token = cost
    one = 1001 * (picture / speed + 64 * token / 8)
    assert demands().generate(job(model)) == asked(one)
    assert demands().generate_masked(job(model)) == asked(masks * one)


def test_a_domain_asks_less_where_it_has_fewer_samples():
    found = demands()
    found.config.datasets["ad"].limit["val"] = 10
    assert found.generate(job(domain="ad")) == 20 < found.generate(job(domain="com"))


def test_controls_count_own_and_random_masks_of_every_condition_and_the_other_domains():
    found = demands(effects={"samples": 1001, "random_seeds": [0, 1, 2]})
    # Untouched; four conditions with three draws beside each; four other domains.
    masks = 1 + 4 * (1 + 3) + 4
    assert found.perturb(job()) == asked(masks * 1001 * (42 / 156 + 64 * 0.007 / 8))
    assert found.perturb(job(domain="two")) == asked(2 * masks * 1001 * (42 / 156 + 64 * 0.007 / 8))


def test_variations_count_factors_and_shares_with_their_random_ones():
    found = demands(vary={"samples": 200, "rates": [0.001, 0.01, 0.05], "random_seeds": [0, 1], "scales": [0.5, 2.0]})
    # Untouched, zero, mean; two factors; three shares with two draws beside each.
    assert found.vary(job()) == asked((3 + 2 + 3 * 3) * 200 * (42 / 156 + 64 * 0.007 / 8))


def test_the_lens_reads_four_channels_through_the_head():
    assert demands(lens={"samples": 1000}).lens(job()) == asked(1000 * (42 + 4 * 25) / 156)
    assert demands(lens={"samples": 1000}).lens(job("blip")) == asked(1000 * (1.8 + 4 * 25 * 92 / 2900) / BLIP[1])


def test_the_page_zeroes_every_shown_neuron_by_itself():
    found = demands(examples={"neurons": 3, "samples": 1000, "zeroed": 8})
    # Three neurons of three modules and five domains.
    assert found.examples(job()) == asked((1000 + 8 * (1 + 45)) * 42 / 156)
    assert found.embed(job()) == asked(5 * 200 * 42 / 156)


def test_a_family_without_numbers_counts_like_the_larger_model():
    found = demands(lens={"samples": 1000})
    assert found.lens(job("llava15")) == found.lens(job("llava"))


def test_rows_are_decoded_together_as_the_jobs_do():
    assert Resources("paper").gpu(minutes=10)["batch"] == ROWS


def test_minutes_reach_the_engine_and_grow_with_the_attempt():
    found = Resources("paper").gpu(minutes=demands().generate)["runtime"]
    assert found(job(), 1) == demands().generate(job())
    assert found(job(), 3) == 3 * found(job(), 1)
    assert Resources("tiny").gpu(minutes=demands().generate)["runtime"](job(), 1) == 10
