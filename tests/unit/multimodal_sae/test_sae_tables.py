"""Right answers in the loop, answers about a white picture, and wrong answers under changed latents: the arithmetic."""

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.quality import downstream, loop
from vlmscope.multimodal_sae.schemas import LABELS
from vlmscope.multimodal_sae.steer import clamping
from vlmscope.multimodal_sae.tables import hallusion, hallusion_tables, white, white_tables
from vlmscope.multimodal_sae.tables.hallusion import Asked
from vlmscope.samples import Sample
from vlmscope.stats import Draws

DRAWS = Draws(200, 0)


def sample(number):
    return Sample(f"s{number}", "d", "val", number, f"s{number}", (), 8, 8, "is there a dog?", (), '{"answer": "yes"}')


# ---- in the loop -------------------------------------------------------------------------------------------------


def test_downstream_is_paired_with_the_model_as_it_is():
    said = {"clean": list("aabb"), "trained": list("aabc"), "zero": list("xxxx")}
    right = {"clean": np.array([1.0, 1, 1, 0]), "trained": np.array([1.0, 1, 1, 1]), "zero": np.zeros(4)}
    by = {row["coder"]: row for row in downstream.table(said, right, *DRAWS).to_dicts()}
    assert by["clean"]["exact"] == 0.75 and by["clean"]["more"] is None and by["clean"]["p"] is None
    assert (by["trained"]["more"], by["trained"]["same_answer"], by["trained"]["p"]) == (0.25, 0.75, 1.0)
    assert by["zero"]["more"] == -0.75 and by["zero"]["more_low"] <= -0.75 <= by["zero"]["more_high"]
    # Three of three lost: 2 / 2 ** 3.
    assert by["zero"]["p"] == 0.25


def test_the_first_position_is_that_of_the_text_whatever_side_is_padded():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    assert loop.first({"attention_mask": mask}).tolist() == [[False, False, True, False], [True, False, False, False]]


# ---- several latents at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["replace", "keep_error", "add"])
def test_several_latents_are_held_at_once(mode):
    coder = SparseCoder(Config(8, 32, 6), seed=1).requires_grad_(False).eval()
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    value = torch.full((3,), 30.0)
    both = torch.tensor([[5, 9], [5, -1], [-1, -1]])
    found = clamping.changed(coder, x, both, value, mode)
    single = clamping.changed(coder, x, torch.tensor([5, 5, -1]), value, mode)
    torch.testing.assert_close(found[1:], single[1:])
    if mode == "add":
        torch.testing.assert_close(found[0], single[0] + 30 * coder.W_dec[9])
    else:
        assert not torch.allclose(found[0], single[0])
        pre = coder.pre(x)
        pre[0, [5, 9]] = 30.0
        wanted = coder.decode(*coder.select(pre), x)[0]
        plain = coder.decode(*coder.select(coder.pre(x)), x)[0]
        torch.testing.assert_close(found[0], wanted if mode == "replace" else x[0] + wanted - plain)


def test_a_clamp_knows_all_its_latents():
    assert clamping.Clamp(3, more=(4, 5)).latents == (3, 4, 5)
    assert clamping.Clamp().latents == () and clamping.PLAIN.latents == ()


# ---- white picture -----------------------------------------------------------------------------------------------


def labels(rows):
    empty = {"pictures": [], "explanation": "", "coder": "trained", "explainer": "oracle"}
    return pl.DataFrame([empty | row for row in rows], schema=LABELS)


def test_latents_with_names_of_some_classes_are_held():
    table = labels(
        [
            {"latent": 1, "refined": "dog", "concept": "object"},
            {"latent": 2, "refined": "red", "concept": "color"},
            {"latent": 3, "refined": explain_prompts.REFUSAL, "concept": ""},
            {"latent": 4, "refined": "cat", "concept": "object"},
        ]
    )
    own = {"explainer": "oracle", "concepts": ["object"], "features": 5}
    assert [(one.word, one.latent) for one in white.named(table, own)] == [("dog", 1), ("cat", 4)]
    assert len(white.named(table, own | {"features": 1})) == 1
    with pytest.raises(VlmscopeError, match="named no latent of scene"):
        white.named(table, own | {"concepts": ["scene"]})


class Says:
    """A judge that always says the same."""

    def __init__(self, text):
        self.text, self.asked = text, []

    def say(self, system, parts, most=0):
        self.asked.append(parts)
        return self.text


def test_relevance_by_words_and_by_a_judge():
    assert white.relevance(None, "a red dog", "the dogs sleep") == 5  # one of two words: 1 + 4.5, to even
    assert white.relevance(None, "red dog", "a red dog") == 10 and white.relevance(None, "dog", "a cat") == 1
    assert white.relevance(None, "the", "the") is None
    assert white.relevance(Says("7 / 10"), "dog", "x") == 7
    assert white.relevance(Says("0"), "dog", "x") is None and white.relevance(Says("no idea"), "dog", "x") is None


def answers(rows):
    same = {"value": 50.0, "mode": "replace", "original": "a", "judge": "words", "relevance_before": 1}
    return pl.DataFrame([same | row for row in rows], schema=white_tables.ANSWERS)


def test_table_9_compares_a_name_with_its_random_latents():
    rows = []
    for latent, (steered, own) in enumerate([("b", 10), ("c", 4), ("a", 1)]):
        rows.append({"name": "n", "latent": latent, "kind": "steering", "feature": latent, "steered": steered})
        rows[-1]["relevance"] = own
        for other in (1, 3):
            about = {"name": "n", "latent": latent, "kind": "random", "feature": 90 + other, "steered": "z"}
            rows.append(about | {"relevance": other})
    by = {(row["among"], row["kind"]): row for row in white_tables.table9(answers(rows), DRAWS).to_dicts()}
    changed = by["changed", "steering"]
    assert (changed["relevance"], changed["n_features"], changed["n_asked"]) == (7.0, 2, 3)
    assert changed["paper_relevance"] == 6.36 and by["all", "steering"]["paper_relevance"] is None
    assert by["all", "steering"]["relevance"] == 5.0 and by["all", "random"]["relevance"] == 2.0
    assert by["all", white_tables.DIFFERENCE]["relevance"] == 3.0 and by["changed", "not steered"]["relevance"] == 1.0


def test_answers_that_no_judge_could_tell_are_counted_apart():
    rows = [
        {"name": "n", "latent": 0, "kind": "steering", "feature": 0, "steered": "b", "relevance": None},
        {"name": "n", "latent": 0, "kind": "random", "feature": 9, "steered": "b", "relevance": 2},
    ]
    by = {(row["among"], row["kind"]): row for row in white_tables.table9(answers(rows), DRAWS).to_dicts()}
    assert by["all", "steering"]["relevance"] is None and by["all", "steering"]["n_unclear"] == 1


# ---- wrong answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"), [("Yes, there is.", "yes"), ("no", "no"), ("nothing", ""), ("I know: no.", "no"), ("", "")]
)
def test_the_first_yes_or_no_counts(text, wanted):
    assert hallusion.verdict(text) == wanted


def test_what_became_of_an_answer():
    wrong, right = Asked(sample(0), "yes", "no"), Asked(sample(0), "yes", "yes")
    assert [hallusion.outcome(wrong, one) for one in ("yes", "no", "")] == [1, 0, 0]
    assert [hallusion.outcome(right, one) for one in ("yes", "no", "")] == [0, -1, -1]


def test_wrong_and_right_questions_are_studied_and_unclear_ones_are_not():
    found = [Asked(sample(k), "yes", said) for k, said in enumerate(("no", "yes", "", "no", "yes", "yes"))]
    assert [one.sample.index for one in hallusion.studied(found, 2)] == [0, 3, 1, 4]


def test_latents_against_the_truth_are_removed_and_those_for_it_held():
    sums = {1: -3.0, 2: -1.0, 3: 2.0, 4: 5.0, 5: 0.0, 6: 0.1, 7: -0.1}
    own = {"latents": 2, "value": 50.0, "random": 2, "seed": 0}
    found = hallusion.conditions(sums, False, own, 0)
    assert found["removed", 0] == ([1, 2], 0.0) and found["held", 0] == ([4, 3], 50.0)
    assert found["doubted", 0] == ([1, 2], 0.0)
    assert hallusion.conditions(sums, True, own, 0)["doubted", 0] == ([4, 3], 0.0)
    for draw in (0, 1):
        latents, value = found["removed, random", draw]
        assert len(set(latents)) == 2 and set(latents) <= {5, 6, 7} and value == 0.0
    # Nothing speaks against the truth: nothing is removed, at random neither.
    kind = hallusion.conditions({1: 2.0, 2: 1.0}, True, own, 0)
    assert kind["removed", 0][0] == [] and kind["removed, random", 0][0] == []


def outcomes(among, condition, values, draws=1):
    said = "no" if among == "wrong" else "yes"
    return [
        {"sample": f"{among}{k}", "truth": "yes", "said": said, "condition": condition, "draw": draw, "outcome": one}
        for k, one in enumerate(values)
        for draw in range(draws)
    ]


def test_table_11_weighs_wrong_and_right_questions_as_they_were_asked():
    rows = outcomes("wrong", "removed", [1, 1, 0, 0]) + outcomes("right", "removed", [-1, 0, 0, 0])
    rows += outcomes("wrong", "removed, random", [0, 0, 0, 1], 2) + outcomes("right", "removed, random", [0] * 4, 2)
    table = pl.DataFrame(rows, schema_overrides=hallusion_tables.ANSWERS)
    counts = {"asked": 120, "clear": 100, "wrong": 20}
    by = {(row["among"], row["condition"]): row for row in hallusion_tables.table11(table, counts, DRAWS).to_dicts()}
    wrong = by["wrong", "removed"]
    assert (wrong["better"], wrong["same"], wrong["net"], wrong["n"]) == (0.5, 0.5, 0.5, 4)
    # Two better, none worse: 2 / 2 ** 2. Against random ones: two better, one worse.
    assert (wrong["p"], wrong["random_p"], wrong["more"]) == (0.5, 1.0, 0.25)
    every = by["all", "removed"]
    assert every["better"] == pytest.approx(0.1) and every["worse"] == pytest.approx(0.2)
    assert every["net"] == pytest.approx(-0.1) and every["net_low"] <= -0.1 <= every["net_high"]
    published = by["published", None]
    assert (published["paper_better"], published["paper_same"], published["paper_worse"]) == (0.09, 0.89, 0.02)
    assert published["n_asked"] is None and every["n_wrong"] == 20


def test_a_model_that_never_errs_has_no_row_of_wrong_answers():
    rows = outcomes("right", "removed", [0, 0]) + outcomes("right", "removed, random", [0, 0])
    table = pl.DataFrame(rows, schema_overrides=hallusion_tables.ANSWERS)
    found = hallusion_tables.table11(table, {"asked": 2, "clear": 2, "wrong": 0}, DRAWS)
    assert set(found["among"]) == {"right", "published"}
