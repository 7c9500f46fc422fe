"""Passes of the atlas on the embedded model: each row is what a pass of its own gives, and no edit changes nothing."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from conftest import WORDS

from vlmscope.atlas import cases, edits, known, objects, runs, schemas, shown, steering
from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import experiments, prompts
from vlmscope.llava_interp.knockout import passes
from vlmscope.llava_interp.knockout.windows import Intervention, Window
from vlmscope.mm_neurons.rank.lists import Neurons
from vlmscope.mm_neurons.runs import columns, readings


@pytest.fixture(scope="module")
def followed(bench, words, targets, settings):
    target = runs.fitting(targets, WORDS, 9)[0]
    asked, wanted, _ = experiments.question(bench, target)
    return objects.follow(bench, words, target, asked, wanted, settings["runs"]), wanted


def told(loaded, asked, wanted, tokens):
    logits = prompts.next_logits(loaded, [(asked, tokens)], None, 1)[0]
    return prompts.told(loaded, logits, wanted)["right_log_prob"]


def test_every_condition_is_what_a_pass_of_its_own_gives(shipped, followed, settings):
    one, wanted = followed
    own, others = objects.sets(one.target, prompts.view(shipped).grid, 1, settings["runs"]["seed"])
    assert len(own) == len(others) and not set(own) & set(others) and set(one.target.patches) <= set(own)
    expected = [told(shipped, one.asked, wanted, tokens) for tokens in ((), own, others)]
    window = Window("all", "window", 0, shipped.config.text_config.num_hidden_layers - 1)
    for tokens in (own, others):
        sources = {"object": [one.asked.first + place for place in tokens]}
        logits = passes.outcome(
            shipped, one.asked, Intervention("object", "last", window), sources, {"last": one.places["last"]}
        )
        expected.append(prompts.told(shipped, logits, wanted)["right_log_prob"])
    np.testing.assert_allclose(one.log_probs, expected, atol=1e-4)


def test_activations_are_those_of_the_named_neurons(shipped, followed, words):
    one, _ = followed
    seen = {}
    site = shipped.family.site("mlp_hidden")
    embeds = one.asked.embeds[None]
    with taps.reading(shipped, site, [0, 1], lambda layer, value: seen.__setitem__(layer, value[0].numpy())):
        prompts.sweep.decoder(shipped)(inputs_embeds=embeds, use_cache=False)
    found = objects.at(one.seen, words, words.neurons["chair"])[0]
    wanted = np.stack([seen[0][:, 3], seen[1][:, 5], seen[1][:, 8]], axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_records_name_every_thing_once_per_place_and_condition(followed, words):
    one, _ = followed
    word = one.target.name
    rows = pl.DataFrame(list(objects.records(one, words, word)), schema=schemas.RECORDS)
    what = ["condition", "kind", "name", "depth", "place"]
    assert len(rows) == len(rows.unique(what)) and rows["value"].is_finite().all()
    assert set(rows["condition"]) == set(schemas.CONDITIONS)
    assert set(rows.filter(kind="concept", belongs="own")["name"]) == {word}
    # The latent of both words belongs to the picture's, the neuron of both as well.
    assert rows.filter(kind="latent", name="4")["belongs"].unique().to_list() == ["own"]
    assert rows.filter(kind="neuron", name="L0.u3")["belongs"].unique().to_list() == ["own"]
    assert not set(rows.filter(kind="neuron", belongs="random")["name"]) & set(words.neurons["cat"].names())
    clean = rows.filter(condition="clean", kind="neuron", name="L1.u5")["value"].item()
    assert clean == pytest.approx(-objects.at(one.seen, words, words.neurons[word])[0, one.places["last"][0], 1])


def test_a_word_s_neurons_are_those_of_half_of_its_pictures_with_the_sign_of_most():
    def one(units, below):
        return Neurons(np.zeros(2, np.uint8), np.array(units, np.uint16), np.ones(2, np.float32), np.array(below))

    lists = {("a", "cat"): one([4, 5], [False, True]), ("b", "Cat"): one([4, 6], [False, True])}
    lists |= {("c", "cat"): one([4, 5], [True, True]), ("a", "dog"): one([9, 8], [False, False])}
    found = known.units(lists, "cat", (1, 12))
    assert found.names() == ["L0.u4", "L0.u5"] and found.sign.tolist() == [1, -1]
    free = known.taken([found], (1, 12))
    drawn = known.others(found, free, np.random.default_rng(0))
    assert len(drawn.unit) == 2 and not set(drawn.unit) & {4, 5} and sorted(drawn.sign) == [-1, 1]


def test_a_word_s_mean_is_one_on_its_scale_and_the_others_nought():
    groups = {"dog": np.array([[4.0, 0], [6, 0]]), "cat": np.array([[0.0, 1], [0, 3]])}
    scale = known.scales(groups)["dog"]
    assert scale.of(np.array([[5.0, 0], [0, 2], [2.5, 1]])) == pytest.approx([1, 0, 0.5])


# ---- steering -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(bench, targets):
    return cases.cases(bench, targets, WORDS, "cat", 4, 0)


@pytest.fixture(scope="module")
def answered(bench, words, targets, settings):
    return runs._followed(bench, words, targets, settings)[2]


@pytest.fixture(scope="module")
def ids(shipped):
    return {word: prompts.word(shipped.processor.tokenizer, word).right[0] for word in WORDS}


@pytest.fixture(scope="module")
def ways(shipped, words, asked, answered, ids):
    found = steering.ways(shipped, words, "cat", np.array([0.5, -0.5, 1.0]), ids, 2, 0)
    told = {"random": 2, "seed": 0, "preserve": 0.0, "ridge": 0.0}
    found += edits.ways(shipped, words, "cat", asked, answered, ids, told)
    return {(one.method, one.draw): one for one in found}


def test_pictures_do_not_show_the_word_and_are_asked_after_what_is_there_and_what_is_not(bench, asked):
    assert len(asked) == 4
    for one in asked:
        assert "cat" not in cases.shows(one.target) and one.target.sample.question
        texts = [bench.loaded.processor.tokenizer.decode(prompt.ids) for prompt in (one.there, one.absent)]
        assert one.target.name in texts[0].split("is there a")[1]
        assert not any(name in texts[1].split("is there a")[1] for name in (*cases.shows(one.target), "cat"))


def test_no_strength_is_no_change_and_more_is_one(bench, words, asked, ways):
    clean = steering.answers(bench, words.block, asked, None, 0, [1])
    assert {method for method, _ in ways} == set(steering.METHODS) and ("random", 1) in ways
    for way in ways.values():
        still, moved = (steering.answers(bench, words.block, asked, way, strength, [1]) for strength in (0.0, 1.0))
        np.testing.assert_allclose(still.next, clean.next, atol=1e-5)
        found = steering.measured(clean, moved, [5])
        assert (found["kl"] > 0).all() and np.abs(moved.next - clean.next).max() > 1e-3, way.method


@pytest.mark.parametrize("method", ["concept", "edit"])
def test_a_batch_is_what_single_pictures_give(bench, words, asked, ways, method):
    way = ways[method, 0]
    together = steering.answers(bench, words.block, asked, way, 0.5, [1])
    alone = [steering.answers(bench, words.block, [one], way, 0.5, [1]) for one in asked]
    np.testing.assert_allclose(together.next, np.concatenate([one.next for one in alone]), atol=1e-4)
    np.testing.assert_allclose(together.there, np.concatenate([one.there for one in alone]), atol=1e-4)


def test_pushing_along_the_unembedding_raises_the_word(shipped, bench, words, asked, ways):
    right = prompts.word(shipped.processor.tokenizer, "cat").right
    clean = steering.answers(bench, words.block, asked, None, 0, [1])
    now = steering.answers(bench, words.block, asked, ways["logit", 0], 1.0, [1])
    assert (steering.measured(clean, now, right)["gain"] > 1).all()


def test_random_neurons_keep_layers_and_sizes_and_belong_to_no_word(words, ways):
    own, other = ways["neurons", 0].change, ways["random neurons", 1].change
    assert ((own != 0).sum(1) == (other != 0).sum(1)).all() and not ((own != 0) & (other != 0)).any()
    for one, two in zip(own, other, strict=True):
        assert sorted(np.abs(one[one != 0])) == pytest.approx(sorted(np.abs(two[two != 0])))


def test_an_edit_lifts_the_word_over_the_answer_by_what_it_lacks_in_other_pictures(
    shipped, words, asked, answered, ids
):
    case, told = asked[0], {"preserve": 0.0, "ridge": 0.0}
    assert case.word == "chair"
    own = next(one for one in answered if one.sample == case.sample)
    other = next(one for one in answered if one.word == "chair" and one is not own)
    rest = next(one for one in answered if one.word == "cat")
    found = edits.rows(shipped, words, case, ids, "cat", [own, other, rest], told)
    head, gain = readings.head(shipped).detach(), readings.gain(shipped)
    scale = readings.sizes(shipped, torch.from_numpy(other.state)[None], gain)[0]
    toward = (((head[ids["cat"]] - head[ids["chair"]]) * gain) / scale).numpy()
    lacks = other.log_prob[ids["chair"]] - other.log_prob[ids["cat"]]
    assert lacks > 1 and other.active["chair"] @ found.rows @ toward == pytest.approx(lacks, rel=1e-4)
    # The picture itself has no say.
    changed = replace(own, active={name: one + 1 for name, one in own.active.items()})
    again = edits.rows(shipped, words, case, ids, "cat", [changed, other, rest], told)
    np.testing.assert_array_equal(again.rows, found.rows)


def test_an_edit_in_a_hook_is_one_of_the_weights(shipped, bench, words, asked, ways):
    way, case = ways["edit", 0], asked[:1]
    hooked = steering.answers(bench, words.block, case, way, 0.5, [1])
    edit = way.edits[case[0].sample]
    with columns.merged(shipped, [replace(edit, rows=0.5 * edit.rows)]):
        merged = steering.answers(bench, words.block, case, None, 0, [1])
    np.testing.assert_allclose(hooked.next, merged.next, atol=1e-4)
    np.testing.assert_allclose(hooked.absent, merged.absent, atol=1e-4)


def test_edits_elsewhere_keep_layers_and_rows_and_random_ones_their_length(words, asked, ways):
    own, away, drawn = (ways[name, 0].edits[asked[0].sample] for name in ("edit", "edit elsewhere", "random edit"))
    used = known.taken(words.neurons.values(), (3, 256))
    assert not used[away.layer, away.unit].any() and sorted(away.layer) == sorted(own.layer)
    np.testing.assert_array_equal(away.rows, own.rows)
    np.testing.assert_array_equal(drawn.unit, away.unit)
    lengths = np.linalg.norm(own.rows, axis=1)
    np.testing.assert_allclose(np.linalg.norm(drawn.rows, axis=1), lengths, rtol=1e-4)
    assert np.linalg.matrix_rank(drawn.rows, tol=1e-4 * lengths.max()) == 1
    one, two = drawn.rows[lengths.argmax()], own.rows[lengths.argmax()]
    assert abs(one @ two) < 0.9 * np.linalg.norm(one) * np.linalg.norm(two)


def test_what_is_measured_is_of_the_right_answers():
    def of(next_, there, absent):
        return steering.Answers(*(np.log(np.array([one], dtype=float)) for one in (next_, there, absent)))

    clean, now = of([0.5, 0.5], [0.8, 0.2], [0.2, 0.8]), of([0.25, 0.75], [0.4, 0.6], [0.2, 0.8])
    found = {key: value[0] for key, value in steering.measured(clean, now, [1]).items()}
    assert found["kl"] == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert found["gain"] == pytest.approx(np.log(1.5)) and found["says"]
    # There: yes falls from .8 to .4; absent: nothing changes.
    assert found["loss"] == pytest.approx(np.log(2) / 2) and (found["right"], found["right_clean"]) == (0.5, 1.0)


def test_a_strength_is_found_between_two_that_were_tried():
    assert steering.matched([1, 10], [0.01, 1], 0.1) == pytest.approx(10**0.5)
    assert steering.matched([10, 1, 100], [1, 0.01, 0.2], 0.1) == pytest.approx(10**0.5)
    assert steering.matched([1, 10], [0.01, 0.05], 0.1) == pytest.approx(10)
    assert steering.matched([1, 10], [0.2, 1], 0.1) == pytest.approx(1)
    assert steering.typical(np.array([1.0, 0.01, 0.0])) == pytest.approx(1e-8 ** (1 / 3))


# ---- all together -------------------------------------------------------------------------------------------------


def test_all_passes_leave_records_and_maps(bench, words, targets, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "bench", lambda *about: bench)
    monkeypatch.setattr(experiments, "chosen", lambda *about: (targets, {}))
    found = runs.from_files(bench.loaded, words, raw="", samples="", vector="", settings=settings, batch=8)
    assert found.steered.group_by("word").len().height == 2
    held = found.steered.filter(stage="held_out")
    assert len(held) == 2 * len(steering.METHODS) * 3 and held.select(pl.col("strength").is_finite().all()).item()
    tried = found.steered.filter(stage="tried").group_by("word", "method", "draw").agg(pl.col("strength").n_unique())
    assert tried["strength"].min() >= 3
    shown.write(tmp_path / "shown.h5", found.pictures, found.recipe)
    pictures = list(shown.read(tmp_path / "shown.h5"))
    assert {one.word for one in pictures} == set(WORDS) and len(pictures) == 2
    grid, depth = prompts.view(bench.loaded).grid, bench.loaded.config.text_config.num_hidden_layers
    assert pictures[0].lens.shape == (depth + 1, grid**2) and pictures[0].concept.shape == (grid**2,)


def test_words_of_too_few_pictures_are_named(bench, words, targets, settings):
    few = [one for one in targets if one.name != "chair"]
    with pytest.raises(VlmscopeError, match="chair"):
        runs._followed(bench, words, few, settings)
