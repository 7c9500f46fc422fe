"""Latents beside concepts: a planted match is found, and states without one are no better than random directions."""

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.atlas import depth, directions, latents, states
from vlmscope.atlas.directions import Draws
from vlmscope.atlas.states import States
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.knockout import tables as knockout_tables
from vlmscope.llava_interp.lens import tables as lens_tables
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder

WIDTH, LATENTS = 12, 30
WORDS = ("dog", "cat", "bird")
TOLD = Draws(60, 40, 0)


def coder_of(rows):
    """An autoencoder that reads along the rows that it writes."""
    coder = SparseCoder(Config(WIDTH, len(rows), 4))
    with torch.no_grad():
        coder.W_dec.copy_(torch.as_tensor(rows))
        coder.encoder.weight.copy_(torch.as_tensor(rows))
    return coder


@pytest.fixture(scope="module")
def planted():
    """Words that differ along axes 0, 1 and 2, and an autoencoder one of whose latents is the dog's direction."""
    generator = np.random.default_rng(0)
    sides = []
    for count in (60, 30):
        side = {}
        for axis, word in enumerate(WORDS):
            side[word] = generator.normal(size=(count, WIDTH)).astype(np.float32)
            side[word][:, axis] += 8
        sides.append(side)
    found = States(*sides)
    rows = states.unit(generator.normal(size=(LATENTS, WIDTH)))
    rows[7] = states.directions(found.train)["dog"]
    own = directions.bench(coder_of(rows), *(np.concatenate(list(side.values())) for side in found))
    return found, own


def rows_of(planted):
    return pl.DataFrame(list(directions.of_words(*planted, TOLD)))


def test_directions_point_from_the_others_to_the_word(planted):
    found = states.directions(planted[0].train)
    assert all(np.linalg.norm(one) == pytest.approx(1) for one in found.values())
    assert found["dog"][0] > 0.7 and found["dog"][1] < -0.2 and abs(found["dog"][5]) < 0.1


def test_the_planted_latent_is_the_words(planted):
    row = rows_of(planted).filter(word="dog", match="cosine").row(0, named=True)
    assert row["latent"] == 7 and row["value"] == pytest.approx(1, abs=1e-6) and row["n"] == 180
    assert row["value"] > row["random_high"] and row["random_p"] < 0.05
    assert 0.9 < row["low"] <= row["high"] <= 1


def test_the_planted_latent_is_active_with_the_word(planted):
    row = rows_of(planted).filter(word="dog", match="coactivation").row(0, named=True)
    assert row["latent"] == 7 and row["value"] > 0.9 > row["shuffled_high"] and row["shuffled_p"] < 0.05
    assert row["low"] <= row["value"] <= row["high"] and row["n"] == 90


def test_a_direction_without_a_latent_is_no_better_than_random_ones(planted):
    own = planted[1]
    direction = states.random(own.train, 1, np.random.default_rng(5))[0]
    concept = directions.Concept(direction, own.train @ direction, own.test @ direction)
    assert directions.by_cosine(concept, own, TOLD)["random_p"] > 0.05
    assert directions.by_coactivation(concept, own, TOLD)["random_p"] > 0.05


def test_a_latent_is_chosen_on_training_states_alone(planted):
    own = planted[1]
    noise = np.random.default_rng(3).normal(size=(len(own.train), 1))
    latent, value = directions.together(noise, np.zeros((len(own.test), 1)), own)
    assert value[0] == 0 and 0 <= latent[0] < LATENTS


def test_activations_are_those_of_the_autoencoder():
    rows = np.eye(WIDTH)[:5]
    found = latents.active(coder_of(rows), np.array([[0, 2, -1, 0.5] + [0] * 8], np.float32))
    assert found.tolist() == [[0, 2, 0, 0.5, 0]]
    own, others = np.array([[0, 2], [0, 3], [0, 4]], np.float32), np.array([[1, 0], [2, 0]], np.float32)
    assert latents.telling(own, others, 1) == [(1, 1.0)]


def test_words_that_too_few_states_wrote_are_named(monkeypatch):
    few = type("Set", (), {"values": np.zeros((2, WIDTH))})
    monkeypatch.setattr(states.vectors, "read", lambda path, module: few)
    with pytest.raises(VlmscopeError, match=r"dog \(2\)"):
        states.read(["a"], ["b"], {"dog": "dog"}, "block.1")


# ---- depth --------------------------------------------------------------------------------------------------------


def test_words_that_differ_are_told_apart_and_dealt_ones_are_not(planted):
    found = planted[0]
    own = np.stack(list(states.directions(found.train).values()))[None]
    assert depth.areas(own, found.test)[0] > 0.99
    dealt = depth.areas(states.shuffled(found.train, 200, np.random.default_rng(0)), found.test)
    assert dealt.mean() == pytest.approx(0.5, abs=0.1)


def test_half_of_the_effect_is_reached_where_it_first_is():
    assert depth.half([0.1, 0.3, 0.5, 0.45]) == 1 and depth.half([-1, 0]) is None and depth.half([]) is None


def test_shares_of_layers_add_up():
    own = np.zeros((3, 8), bool)
    own[0, :2] = own[2, :6] = True
    found = depth.of_domain_neurons(own)
    assert [one.value for one in found] == [0.25, 0, 0.75] and [one.depth for one in found] == [1, 2, 3]
    assert found[0].control == pytest.approx(1 / 3) and found[0].low < 0.25 < found[0].high


def test_layers_of_lens_and_blocked_attention_are_put_on_one_scale():
    rates = pl.DataFrame([[1, "strict", 1, 0.5, 0.4, 0.6, 0.1, 9]], schema=lens_tables.RATE, orient="row")
    assert depth.of_lens(rates) == [(1, 0.5, 0.4, 0.6, 0.1, 9)]
    empty = dict.fromkeys(knockout_tables.SWEEP)
    rows = [
        empty
        | {"sort": "layer", "source": source, "target": "last", "layer_first": 0, "n": 5}
        | {"correct_prob_drop": drop, "drop_low": 0.1, "drop_high": 0.9}
        for source, drop in (("object_1", 0.5), ("random_1", 0.0), ("object_0", 0.7))
    ]
    found = depth.of_blocked(pl.DataFrame(rows, schema=knockout_tables.SWEEP), 1)
    assert found == [(1, 0.5, 0.1, 0.9, 0.0, 5)]
    table = depth.table({depth.LENS: depth.of_lens(rates), depth.BLOCKED: found})
    assert table["half"].to_list() == [True, True] and table["controlled"].null_count() == 0
