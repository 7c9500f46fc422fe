"""Which latents are steered, and what is counted in the answers."""

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder
from vlmscope.multimodal_sae.steer import answers as steer_answers
from vlmscope.multimodal_sae.steer import clamping
from vlmscope.multimodal_sae.steer import features as steer_features
from vlmscope.multimodal_sae.steer import tables as steer_tables
from vlmscope.multimodal_sae.steer.features import Feature, Pooled


def pooled(there, latents=12, seed=0):
    """Latent 4 fires where the thing is, the others anywhere."""
    rng = np.random.default_rng(seed)
    found = Pooled(latents)
    for one in there:
        idx = np.stack([rng.choice(np.delete(np.arange(latents), 4), 3, replace=False) for _ in range(9)])
        val = rng.uniform(0.5, 1, idx.shape).astype(np.float32)
        if one:
            idx[:2, 0], val[:2, 0] = 4, 2.0
        found.add(idx, val)
    return found


def test_the_latent_that_agrees_with_a_word_is_found_and_random_ones_stand_beside_it():
    there = [True, False] * 10
    texts = ["two red cats" if one else "a dog" for one in there]
    found, about = steer_features.choose(pooled(there), texts, ["red"], [Feature("dog", "given", 7)], 2, 0)
    assert [(one.kind, one.latent) for one in found[:2]] == [("given", 7), ("found", 4)]
    assert [one.kind for one in found[2:]] == ["random"] * 4 and not {one.latent for one in found[2:]} & {4, 7}
    row = about.filter(feature=4).row(0, named=True)
    assert row["auc"] == 1 and row["highest"] == 2 and row["density"] == pytest.approx(2 / 18)
    assert (row["n_with"], row["n_without"]) == (10, 10)
    assert about["kind"].to_list() == [one.kind for one in found]


def test_random_latents_are_those_of_similar_density():
    density = np.array([0, 0.5, 0.5, 0.4, 0.01, 0.011, 0.009, 0.012, 0.3, 0.2, 0.1, 0.012, 0.01])
    drawn = {
        one for seed in range(80) for one in steer_features.beside(density, 4, [4], 1, np.random.default_rng(seed))
    }
    assert drawn == {5, 6, 7, 11, 12}


def test_areas_are_shares_of_pairs_in_the_right_order():
    means, there = np.array([[0.0, 3], [1, 2], [1, 0], [2, 0]]), np.array([False, True, False, True])
    np.testing.assert_allclose(steer_features.auc(means, there), [3.5 / 4, 1.5 / 4])


def test_words_that_tell_no_pictures_apart_and_too_many_random_latents_are_refused():
    found = pooled([True] * 4)
    with pytest.raises(VlmscopeError, match="red"):
        steer_features.choose(found, ["red"] * 4, ["red"], [], 1, 0)
    with pytest.raises(VlmscopeError, match="beside"):
        steer_features.choose(found, ["red", "", "", ""], ["red"], [], 40, 0)


def test_texts_of_answers_without_names_of_fields():
    assert steer_features.said('{"caption": "a red dog", "red": ["cat", 3]}') == "a red dog | cat"
    assert steer_features.names("cat", ["two cats", "a catalogue", "Cat."]).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("steered", "wanted"), [("a dog", "same"), ("a red dog", "names"), ("a cat", "other"), ("", "other")]
)
def test_what_became_of_an_answer(steered, wanted):
    assert steer_answers.category("red", "a dog", steered) == wanted
    assert steer_answers.category("", "a dog", "a red dog") == "other"


def rows(word, kind, texts, value=50.0, mode="replace"):
    return [
        {"word": word, "kind": kind, "feature": 1, "prompt": "q", "image": f"i{k}", "value": value, "mode": mode}
        | {"positions": "prefill", "original": "a dog", "steered": text, "in_picture": k == 3, "category": ""}
        for k, text in enumerate(texts)
    ]


def test_effects_count_pictures_without_the_word_alone():
    found = rows("red", "found", ["a red dog", "a red cat", "a dog", "a red dog"])
    found += rows("red", "random", ["a dog", "a red dog", "a dog", "a red dog"])
    found += rows(None, "rebuilt", ["a red dog", "a dog", "a cat", "a dog"], value=None)
    table = steer_tables.effects(pl.DataFrame(found, schema=steer_answers.STEERING), 200, 0)
    by = {(row["word"], row["kind"]): row for row in table.iter_rows(named=True)}
    own = by["red", "found"]
    assert (own["n"], own["pictures"]) == (3, 3)
    assert own["named"] == pytest.approx(2 / 3) and own["more"] == pytest.approx(1 / 3)
    assert own["named_low"] <= own["named"] <= own["named_high"] and own["same"] == pytest.approx(1 / 3)
    assert by["red", "plain"]["named"] == 0 and by["red", "plain"]["same"] == 1
    assert by["red", "rebuilt"]["named"] == pytest.approx(1 / 3)
    assert by["all", "found"]["named"] == own["named"] and by["red", "random"]["more"] is None


def test_effects_of_nothing_are_an_empty_table():
    assert steer_tables.effects(pl.DataFrame(schema=steer_answers.STEERING), 20, 0).is_empty()


@pytest.mark.parametrize("variant", ["topk", "groupmax", "jumprelu"])
def test_states_are_changed_at_named_tokens_alone(variant):
    coder = SparseCoder(Config(8, 32, 4, variant), seed=1).requires_grad_(False).eval()
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    latent, value = torch.tensor([-1, 5, -1, 5, 9, -1]), torch.full((6,), 30.0)
    still = latent < 0
    plain = coder.decode(*coder.select(coder.pre(x)))
    found = {mode: clamping.changed(coder, x, latent, value, mode) for mode in ("replace", "keep_error", "add")}
    torch.testing.assert_close(found["replace"][still], plain[still])
    for mode in ("keep_error", "add"):
        torch.testing.assert_close(found[mode][still], x[still])
    torch.testing.assert_close(found["add"][~still], x[~still] + 30 * coder.W_dec[latent[~still]])
    torch.testing.assert_close(found["keep_error"][~still] - x[~still], (found["replace"] - plain)[~still])
    assert (found["replace"] - plain)[~still].norm(dim=1).min() > 10
