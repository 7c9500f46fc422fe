"""Changed neurons of nouns in the embedded models: what a batch finds is what changed weights give alone."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope import edits
from vlmscope.capture import taps
from vlmscope.capture.shard import prompts
from vlmscope.datasets import base
from vlmscope.mm_neurons.perturb import effects as perturb_effects
from vlmscope.mm_neurons.perturb import tables as perturb_tables
from vlmscope.mm_neurons.perturb import trials
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.runs import columns, passes
from vlmscope.mm_neurons.schemas import EFFECTS
from vlmscope.models import answer
from vlmscope.samples import picture
from vlmscope.stats import Draws
from vlmscope.store.spelling import spelling
from vlmscope.world.objects import EVERYDAY

TOKENS = 24
NOISE = {"kinds": ["noise"], "sigmas": [4.0], "k": [2, 20], "draws": 2, "noises": 1, "seed": 5}
SETTINGS = {**NOISE, "kinds": ["noise", "zero"]}
ZERO = {**NOISE, "kinds": ["zero"]}


@pytest.fixture(scope="module")
def told(shipped, scenes, manifest):
    """A function that gives a model, its captions with their nouns, and lists of their neurons."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = prepared(shipped(name), *scenes, spelling(manifest(name)))
        return known[name]

    return of


def prepared(loaded, samples, root, spelled):
    ask = prompts(loaded, base.load("sbu"), "chat")
    ready = passes.prepare(loaded, [ask(one) for one in samples], [picture(one, root) for one in samples], 4)
    ends, said = answer.ends(loaded), []
    for sample, prompt, tokens in zip(samples, ready, passes.write(loaded, ready, TOKENS), strict=True):
        nouns = [
            trials.Noun(noun, form[0], tokens.index(form[0]))
            for noun in EVERYDAY
            for form in spelled.spellings(noun)[:1]
            if form[0] in tokens
        ]
        said.append(trials.Said(sample.sample, prompt, (*tokens, ends[0]), tuple(nouns)))
    return loaded, said, contributions(loaded, said)


def contributions(loaded, said):
    """Contribution lists by the input of the down projection."""
    layers, units = columns.shape(loaded)
    head = taps.module_at(loaded.model, loaded.family.head).weight
    down = torch.stack([columns.weight(loaded, layer) for layer in range(layers)])
    site, found = loaded.family.site(columns.SITE), {}
    for one in said:
        seen = {}
        with taps.reading(loaded, site, range(layers), seen.__setitem__):
            passes.log_probs(loaded, [one.prompt], [one.tokens])
        z = torch.stack([seen[layer][0, -len(one.tokens) - 1 :] for layer in range(layers)], 1)
        for noun in one.nouns:
            scores = (z[noun.step] * torch.einsum("ldi,d->li", down, head[noun.token])).flatten()
            best = scores.argsort(descending=True)[:60].numpy()
            found[one.sample, noun.noun] = lists.Neurons(best // units, best % units, scores[best].numpy())
    return {("down_proj_input", "contribution"): found}


def effects(loaded, said, every, batch=16, relative=True):
    bench = perturb_effects.Bench(loaded, said, TOKENS, batch, relative)
    return pl.concat(bench.effects(every))


def test_every_noun_meets_every_set_and_size(told):
    loaded, said, found = told("llava-llama2")
    every = trials.trials(said, found, columns.shape(loaded), SETTINGS)
    table = effects(loaded, said, every)
    assert dict(table.schema) == EFFECTS
    nouns = sum(len(one.nouns) for one in said)
    counted = {key[0]: len(part) for key, part in table.group_by("set")}
    assert counted == {"contribution": nouns * 4, "random": nouns * 8, "random_layers": nouns * 8}
    keys = ["sample", "noun", "set", "activation", "draw", "kind", "k", "sigma"]
    assert table.select(keys).is_duplicated().sum() == 0
    assert table["changed"].any() and not table["changed"].all()


def test_a_trial_equals_a_model_with_changed_weights(told):
    loaded, said, found = told("llava-llama2")
    settings = {**NOISE, "sigmas": [8.0], "k": [20]}
    every = trials.trials(said[:2], found, columns.shape(loaded), settings)
    table = effects(loaded, said, every)
    bench = perturb_effects.Bench(loaded, said, TOKENS, 16, True)
    rows = iter(table.iter_rows(named=True))
    for trial in every:
        one = said[trial.said]
        untouched = passes.log_probs(loaded, [one.prompt], [one.tokens])[0]
        with columns.merged(loaded, [trial.noise(bench.d, bench.sizes)]):
            (written,) = passes.write(loaded, [one.prompt], TOKENS)
            values = passes.log_probs(loaded, [one.prompt], [one.tokens])[0]
        for noun in trial.nouns:
            row = next(rows)
            assert row["caption"] == answer.text_of(loaded, written)
            assert row["changed"] == (tuple(written) != one.tokens[:-1])
            assert row["gone"] == (noun.token not in written)
            change = float(values[noun.step, noun.token] - untouched[noun.step, noun.token])
            assert row["dlogp"] == pytest.approx(change, abs=1e-4)
    assert next(rows, None) is None


def test_a_trial_without_neurons_equals_a_model_whose_columns_are_zero(told):
    loaded, said, found = told("llava-llama2")
    every = trials.trials(said[:2], found, columns.shape(loaded), {**ZERO, "k": [20]})
    rows = iter(effects(loaded, said, every).iter_rows(named=True))
    for trial in every:
        one = said[trial.said]
        untouched = passes.log_probs(loaded, [one.prompt], [one.tokens])[0]
        layers, units = (places[:20] for places in trial.places)
        cut = {int(layer): units[layers == layer].tolist() for layer in layers}
        with edits.zeroed(loaded, {columns.SITE: cut}):
            (written,) = passes.write(loaded, [one.prompt], TOKENS)
            values = passes.log_probs(loaded, [one.prompt], [one.tokens])[0]
        for noun in trial.nouns:
            row = next(rows)
            assert (row["kind"], row["sigma"], row["caption"]) == ("zero", None, answer.text_of(loaded, written))
            assert row["gone"] == (noun.token not in written)
            change = float(values[noun.step, noun.token] - untouched[noun.step, noun.token])
            assert row["dlogp"] == pytest.approx(change, abs=1e-4)
    assert next(rows, None) is None


def test_noise_and_zeros_share_a_batch_and_neither_touches_the_other(told):
    loaded, said, found = told("llava-llama2")
    both = effects(loaded, said, trials.trials(said[:2], found, columns.shape(loaded), SETTINGS), 64)
    for kind, settings in (("noise", NOISE), ("zero", ZERO)):
        alone = effects(loaded, said, trials.trials(said[:2], found, columns.shape(loaded), settings), 64)
        own = both.filter(kind=kind)
        assert own.drop("dlogp").equals(alone.drop("dlogp"))
        np.testing.assert_allclose(own["dlogp"], alone["dlogp"], atol=1e-4)


def test_zeros_are_drawn_no_oftener_than_their_neurons(told):
    loaded, said, found = told("llava-llama2")
    every = trials.trials(said, found, columns.shape(loaded), {**SETTINGS, "noises": 3})
    counted = Counter((one.set, one.kind) for one in every)
    nouns = sum(len(one.nouns) for one in said)
    assert counted["contribution", "noise"] == 6 * nouns and counted["contribution", "zero"] == 2 * nouns
    assert counted["random_layers", "noise"] == counted["random_layers", "zero"] == 4 * nouns
    zero = [one for one in every if one.kind == "zero"]
    assert all(sum(map(len, one.zeroed().values())) == one.k and not len(one.noise(8, None).rows) for one in zero)
    assert not any(one.zeroed() for one in every if one.kind == "noise")


def test_captions_that_are_read_as_they_were_need_not_be_written_again(told, monkeypatch):
    loaded, said, found = told("llava-llama2")
    every = trials.trials(said, found, columns.shape(loaded), SETTINGS)
    asked = []
    write = perturb_effects.Bench._write
    monkeypatch.setattr(perturb_effects.Bench, "_write", lambda own, rows: asked.extend(rows) or write(own, rows))
    short = effects(loaded, said, every)
    saved = len(every) - len(asked)
    monkeypatch.setattr(perturb_effects.Bench, "_repeated", lambda own, rows, values: [False] * len(rows))
    assert effects(loaded, said, every).equals(short)
    assert saved > len(every) / 4 and len(asked) == len(every) + len(every) - saved


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_decides_nothing(told, batch):
    loaded, said, found = told("llava-llama2")
    every = trials.trials(said[:2], found, columns.shape(loaded), SETTINGS)
    alone, together = effects(loaded, said, every, batch), effects(loaded, said, every, 64)
    assert alone.drop("dlogp").equals(together.drop("dlogp"))
    np.testing.assert_allclose(alone["dlogp"], together["dlogp"], atol=1e-4)


def test_no_noise_changes_nothing(told):
    loaded, said, found = told("llava-llama2")
    every = trials.trials(said, found, columns.shape(loaded), {**NOISE, "sigmas": [0.0]})
    table = effects(loaded, said, every)
    assert not table["gone"].any() and not table["changed"].any()
    assert table["dlogp"].abs().max() < 1e-5


def test_noise_is_the_same_for_every_size_and_strength(told):
    loaded, said, found = told("llava-llama2")
    every = trials.trials(said[:1], found, columns.shape(loaded), {**NOISE, "sigmas": [1.0, 2.0]})
    first = [one for one in every if one.set == "contribution" and one.nouns == said[0].nouns[:1]]
    by = {(one.k, one.sigma): one.noise(8, None).rows for one in first}
    assert set(by) == {(2, 1.0), (2, 2.0), (20, 1.0), (20, 2.0)}
    np.testing.assert_array_equal(by[2, 1.0], by[20, 1.0][:2])
    np.testing.assert_array_equal(2 * by[20, 1.0], by[20, 2.0])


def test_without_its_own_neurons_a_word_is_less_likely_than_without_random_ones(told):
    loaded, said, found = told("llava-llama2")
    settings = {"kinds": ["zero"], "sigmas": [], "k": [50], "draws": 10, "noises": 1, "seed": 1}
    every = trials.trials(said, found, columns.shape(loaded), settings)
    table = perturb_tables.table(
        effects(loaded, said, every, 64).with_columns(bertscore=pl.lit(None, pl.Float64)), "", Draws(10_000, 0)
    )
    own = next(row for row in table.iter_rows(named=True) if row["set"] == "contribution")
    assert own["dlogp_more_high"] < 0 and own["layers_dlogp_more_high"] < 0


@pytest.mark.parametrize("name", ["llava-llama2", "mplug-owl2", "blip"])
def test_words_go_with_their_own_neurons_more_than_with_random_ones(told, name):
    loaded, said, found = told(name)
    settings = {"kinds": ["noise"], "sigmas": [8.0], "k": [10], "draws": 10, "noises": 4, "seed": 1}
    every = trials.trials(said, found, columns.shape(loaded), settings)
    table = perturb_tables.table(
        effects(loaded, said, every, 64).with_columns(bertscore=pl.lit(None, pl.Float64)), "", Draws(10_000, 0)
    )
    rows = {row["set"]: row for row in table.iter_rows(named=True)}
    own = rows["contribution"]
    assert own["n"] == sum(bool(one.nouns) for one in said)
    assert own["gone_more_low"] > 0 and own["layers_more_low"] > 0
    assert own["noun_gone"] > 3 * rows["random"]["noun_gone"]
    assert own["dlogp_more_high"] < 0
