"""What is planted is found: other seeds' latents, duplicates, absorption, families, vectors of words, neurons."""

from types import SimpleNamespace

import numpy as np
import pytest

from vlmscope import config
from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.beyond import (
    absorption,
    concepts,
    cosines,
    duplicates,
    families,
    neurons,
    probes,
    stability,
)
from vlmscope.multimodal_sae.beyond import job as beyond_job
from vlmscope.multimodal_sae.beyond.patch_files import Patches, Units
from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.settings.multimodal_sae.beyond import Stability
from vlmscope.show import latent_map
from vlmscope.stats import Draws

DRAWS = Draws(60, 0)
D, PICTURES, BASE = 16, 40, 16


def directions(count, seed=0, d=D):
    return cosines.unit(np.random.default_rng(seed).standard_normal((count, d)).astype(np.float32))


def of_values(values, looks=None):
    """Activations float [n, F] as a file has them."""
    idx = np.tile(np.arange(values.shape[1]), (len(values), 1))
    return Active(looks or [str(n) for n in range(len(values) // BASE)], values.shape[1], BASE, idx, values)


# ---- stability --------------------------------------------------------------------------------------------------


def test_a_planted_permutation_is_recovered():
    left, order = directions(30), np.random.default_rng(1).permutation(30)
    right = cosines.unit(left[order] + 0.02 * directions(30, 2))
    assert order[stability.assigned(left, right)].tolist() == list(range(30))
    found = stability.measured(left, right, matched=30)
    assert found["above_0.9"].all() and found["matched_above_0.9"].all() and found["max_cosine"].mean() > 0.99
    assert "matched_cosine" not in stability.measured(left, right, matched=29)


def test_other_directions_have_no_partner():
    found = stability.measured(np.eye(D, dtype=np.float32)[:8], np.eye(D, dtype=np.float32)[8:], matched=8)
    assert not found["above_0.7"].any() and found["matched_cosine"].max() == 0


def test_seeds_stand_beside_their_controls():
    rows = {name: cosines.unit(directions(30) + 0.05 * directions(30, seed)) for seed, name in enumerate("ab", 3)}
    fired = {"a": np.arange(30), "b": np.ones(30, np.int64)}
    fresh = {name: directions(30, seed) for seed, name in enumerate("ab", 8)}
    states = np.random.default_rng(0).standard_normal((200, D)).astype(np.float32)
    found = stability.table(rows, fired, fresh, states, 100, 0)
    mean = {(row["left"], row["right"], row["scope"]): row for row in found.filter(metric="max_cosine").to_dicts()}
    assert mean["a", "b", "all"]["low"] > max(mean["a", kind, "all"]["high"] for kind in ("untrained", "random", "pca"))
    assert (mean["a", "b", "all"]["latents"], mean["a", "b", "seen"]["latents"]) == (30, 29)
    assert mean["untrained", "untrained", "all"]["kind"] == "untrained"


@pytest.mark.parametrize("seeds", [[1, 1], [-1]])
def test_seeds_that_are_none_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds"):
        Stability(seeds=seeds)


# ---- duplicates -------------------------------------------------------------------------------------------------


def sparse_values(seed=0, latents=8, share=0.2):
    generator = np.random.default_rng(seed)
    shape = (PICTURES * BASE, latents)
    return (generator.random(shape) * (generator.random(shape) < share)).astype(np.float32)


def test_planted_duplicates_are_found_and_none_where_there_are_none():
    rows, values = np.eye(D, dtype=np.float32)[:8], sparse_values()
    told = {"least": 20, "pairs": 3}
    plain = {row["metric"]: row for row in duplicates.tables("c", rows, of_values(values), told, 0)[0]}
    assert plain["cosine_above_0.5"]["value"] == plain["jaccard_above_0.5"]["value"] == 0
    twins, same = rows.copy(), values.copy()
    twins[5] = cosines.unit(rows[2:3] + 0.1 * rows[7:8])[0]
    same[:, 6] = 2 * values[:, 1]
    summary, pairs = duplicates.tables("c", twins, of_values(same), told, 0)
    found = {row["metric"]: row for row in summary}
    assert found["cosine_above_0.9"]["value"] == found["jaccard_above_0.9"]["value"] == 2 / 8
    assert found["correlation_above_0.9"]["value"] == 2 / 8 and found["correlation_above_0.9"]["chance"] == 0
    first = {row["by"]: row for row in pairs if row["rank"] == 1}
    assert (first["cosine"]["latent"], first["cosine"]["other"]) == (2, 5)
    assert (first["jaccard"]["latent"], first["jaccard"]["other"], first["jaccard"]["jaccard"]) == (1, 6, 1.0)
    assert first["correlation"]["correlation"] == pytest.approx(1)


def test_numbers_of_pairs_are_those_of_single_pairs():
    values = sparse_values(3)
    jaccard, correlation = duplicates.together(of_values(values).matrix, 1)
    fires, both = values > 0, np.corrcoef(values.T)
    for latent in range(8):
        rest = [one for one in range(8) if one != latent]
        shares = [(fires[:, latent] & fires[:, one]).sum() / (fires[:, latent] | fires[:, one]).sum() for one in rest]
        assert jaccard.value[latent] == pytest.approx(max(shares))
        assert correlation.value[latent] == pytest.approx(both[latent, rest].max(), abs=1e-5)


def test_latents_that_fire_seldom_are_not_compared_by_firing():
    values = sparse_values()
    values[:, 4] = 0
    values[3, 4] = 1
    jaccard, _ = duplicates.together(of_values(values).matrix, 20)
    assert jaccard.other[4] == -1 and 4 not in jaccard.other


def test_moving_pictures_keeps_how_often_and_in_which_neighbours_a_latent_fires():
    own = of_values(sparse_values())
    found = duplicates.moved(own, np.random.default_rng(0)).toarray().reshape(PICTURES, BASE, 8)
    before = own.matrix.toarray().reshape(PICTURES, BASE, 8)
    assert not np.array_equal(found, before)
    for latent in range(8):
        assert sorted(map(tuple, found[..., latent])) == sorted(map(tuple, before[..., latent]))


# ---- absorption -------------------------------------------------------------------------------------------------


def absorbed(share, aligned=True):
    """Patches with a word, in some of which the word's latent 0 is silent and latent 1 writes the word instead."""
    generator, n = np.random.default_rng(0), PICTURES * BASE
    there, other = generator.random(n) < 0.4, generator.random(n) < share
    rows = np.eye(D, dtype=np.float32)[:6]
    # Latent 1 stands for the word together with something else; where it fires, latent 0 does not.
    rows[1] = cosines.unit((np.eye(D)[0] * aligned + np.eye(D)[1])[None].astype(np.float32))[0]
    values = np.zeros((n, 6), np.float32)
    values[there & ~other, 0] = 4
    values[there & other, 1] = 4
    values[:, 2:] = 0.5 * (generator.random((n, 4)) < 0.3)
    word = np.eye(D, dtype=np.float32)[0]
    states = values @ rows + 4 * (there & other)[:, None] * word + 0.05 * generator.standard_normal((n, D))
    told = {"words": {"car": "object"}, "shows": there.reshape(PICTURES, 1, BASE)}
    looks = [str(one) for one in range(PICTURES)]
    active = of_values(values, looks)
    held = Patches(looks, states.astype(np.float32).reshape(PICTURES, BASE, D), **told, coders={"c": active})
    own = {"jump": 0.5, "most": 3, "cosine": 0.025, "share": 0.2, "least_f1": 0.6, "least": 5}
    coders = {"c": (rows, np.zeros(D, np.float32))}
    found = absorption.table(coders, held, absorption.probes_of(held, 0), own, DRAWS, 10)
    return {row["word"]: row for row in found.to_dicts()}, there, other, held


def test_planted_absorption_is_found():
    found, there, other, held = absorbed(0.25)
    row, wanted = found["car"], (there & other & held.held).sum() / (there & held.held).sum()
    assert (row["own"], row["counts"], row["absorber"], row["absorber_share"]) == ("0", True, 1, 1.0)
    assert row["absorbed"] == row["silent"] == pytest.approx(wanted, abs=0.02)
    assert row["low"] <= row["absorbed"] <= row["high"] and row["probe_f1"] > 0.95
    assert found["mean"]["absorbed"] == row["absorbed"]


def test_a_silent_word_that_nobody_speaks_for_is_not_absorbed():
    row = absorbed(0.25, aligned=False)[0]["car"]
    assert row["silent"] > 0.15 and row["absorbed"] == 0 and row["absorber"] is None


def test_a_latent_that_always_fires_leaves_nothing_to_absorb():
    row = absorbed(0.0)[0]["car"]
    assert row["silent"] == row["absorbed"] == 0


def test_a_word_may_have_several_latents_of_its_own():
    generator = np.random.default_rng(0)
    there, first = generator.random(PICTURES * BASE) < 0.4, generator.random(PICTURES * BASE) < 0.5
    values = np.zeros((PICTURES * BASE, 4), np.float32)
    values[there & first, 2], values[there & ~first, 1] = 1, 1
    # A weak echo everywhere: the threshold tells it from the word.
    values[:, 3], values[there & first, 3] = 0.1, 0.2
    every = np.ones(len(there), bool)
    found, score = absorption.own_latents(of_values(values), there, every, 0.03, 5)
    assert sorted(found)[0] == 1 and len(found) == 2 and score == 1
    assert absorption.own_latents(of_values(values), there, every, 0.9, 5)[0] == []


# ---- families ---------------------------------------------------------------------------------------------------


def test_planted_families_are_found_and_pure():
    centers = np.eye(D, dtype=np.float32)[:5]
    rows = cosines.unit(np.repeat(centers, 12, 0) + 0.1 * directions(60, 1))
    order = np.random.default_rng(0).permutation(60)
    labels = families.groups(rows[order], 5, 6)
    truth = np.repeat(np.arange(5), 12)[order]
    assert families.purity(labels, truth) == 1 and labels.max() == 4
    assert families.silhouette(rows[order], labels, 0) > 0.8
    found = families.shuffled(labels, truth, families.purity, 50, 0)
    assert found["value"] == 1 and found["chance_high"] < 0.6 and found["p"] == pytest.approx(1 / 51)


def test_words_dealt_at_random_are_no_purer_than_chance():
    generator = np.random.default_rng(0)
    found = families.shuffled(np.arange(60) % 6, generator.integers(0, 5, 60), families.purity, 200, 1)
    assert found["chance_low"] <= found["value"] <= found["chance_high"] and found["p"] > 0.02


def test_families_and_map_of_patches(tmp_path):
    held, rows = worded()
    own = {"families": 3, "neighbours": 4, "least_iou": 0.05, "mapped": 10, "perplexity": 3.0}
    summary, places = families.tables(rows, held, own, 20, 0)
    assert {"silhouette", "purity_word", "map_neighbours"} <= set(summary["measure"])
    assert len(places) == 10 and places["latent"].is_sorted()
    assert places.filter(latent=0)["word"].item() == "car" and places.filter(latent=1)["word"].item() == "dog"
    latent_map.draw(places, "t", tmp_path / "a.svg", tmp_path / "a.png")
    text = (tmp_path / "a.svg").read_text()
    assert all(word in text for word in ("car", "dog", "things"))
    bare = places.with_columns(kind=families.pl.lit(""), word=families.pl.lit(""))
    latent_map.draw(bare, "t", tmp_path / "b.svg")
    assert "car" not in (tmp_path / "b.svg").read_text()


# ---- comparisons ------------------------------------------------------------------------------------------------


def worded(units=None):
    """Two words, each with a latent that writes it; ten further latents that say nothing."""
    generator, n = np.random.default_rng(0), PICTURES * BASE
    told = np.stack([generator.random(n) < 0.3, generator.random(n) < 0.3], 1)
    rows = np.concatenate([np.eye(D, dtype=np.float32)[:2], directions(10, 5)])
    values = np.concatenate([3 * told, generator.random((n, 10)) * (generator.random((n, 10)) < 0.2)], 1)
    states = (3 * told @ rows[:2] + generator.standard_normal((n, D))).astype(np.float32)
    shows = np.moveaxis(told.reshape(PICTURES, BASE, 2), 2, 1)
    looks = [str(one) for one in range(PICTURES)]
    active = of_values(values.astype(np.float32), looks)
    given = {"words": {"car": "object", "dog": "object"}, "shows": shows, "coders": {"trained": active}}
    return Patches(looks, states.reshape(PICTURES, BASE, D), **given, units=units), rows


def test_a_vector_of_a_word_is_the_latent_that_writes_it():
    held, rows = worded()
    found = concepts.table(rows, held, absorption.probes_of(held, 0), DRAWS, 50)
    by = {(row["against"], row["word"]): row for row in found.to_dicts()}
    for against in concepts.AGAINST:
        for place, word in enumerate(("car", "dog")):
            row = by[against, word]
            assert (row["latent"], row["own"], row["own_rank"], row["same"]) == (place, place, 1, 1.0)
            assert row["cosine"] > max(row["chance"] + 0.2, row["shuffled"] + 0.2) and row["p"] < 0.1
            assert row["area_latent"] == 1 and row["area_vector"] > 0.9 and row["behind"] <= 0
        assert by[against, "mean"]["more_low"] > 0
    # Held against the other word alone, the vector turns away from it.
    assert by["kind", "car"]["cosine"] < by["rest", "car"]["cosine"]


def test_patches_that_a_word_is_held_against():
    told = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    kinds = ["object", "object", "color"]
    assert concepts.others(told, kinds, "rest").tolist() == (~told).tolist()
    assert concepts.others(told, kinds, "kind").T.tolist() == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_means_and_probes_of_words():
    x = np.array([[2.0, 0], [4, 0], [0, 1], [0, 3], [9, 9]], np.float32)
    told, rest = np.array([[1], [1], [0], [0], [0]], bool), np.array([[0], [0], [1], [1], [0]], bool)
    assert probes.differences(x, told, rest).tolist() == [[3, -2]]
    there = np.arange(200) % 2 == 0
    states = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32) * np.float32([1, 50, 1, 1])
    states[:, 0] += 6 * there
    probe = probes.fit(states, there)
    assert probes.f1(probe.values(states) > 0, there) > 0.98 and abs(probe.direction[1]) < 0.01 * probe.direction[0]
    assert probes.area(states[:, 0], there) > 0.99 and np.isnan(probes.area(states[:, 0], there | True))


def test_a_neuron_that_writes_a_latent_and_fires_with_it_stands_out():
    held, rows = worded()
    generator, n = np.random.default_rng(1), PICTURES * BASE
    columns, values = directions(8, 7), generator.standard_normal((n, 8)).astype(np.float32)
    columns[0], values[:, 0] = -rows[1], 5 * held.told[:, 1]
    units = Units(["com", "ad", *[""] * 6], np.zeros(8, np.int64), np.arange(8), columns, values)
    summary, each = neurons.tables(rows, worded(units)[0], 5, DRAWS, 40)
    row = each.row(0, named=True)
    assert (row["latent"], row["fires_with"]) == (1, 1)
    assert row["cosine"] == pytest.approx(1, abs=1e-5) and row["correlation"] == pytest.approx(1, abs=1e-5)
    by = {(one["domain"], one["metric"]): one for one in summary.to_dicts()}
    assert by["com", "correlation"]["more_low"] > 0 and by["ad", "correlation"]["more"] < 0.2
    assert by["com", "cosine"]["value"] > by["com", "cosine"]["chance_high"] and by["all", "cosine"]["neurons"] == 2


def test_correlations_are_those_of_numpy_and_pictures_move_one_by_one():
    held, _ = worded()
    values = np.random.default_rng(2).standard_normal((PICTURES * BASE, 3)).astype(np.float32)
    values[:, 2] = 1
    active = held.coders["trained"]
    found = neurons.correlated(active, values, 5)
    whole = np.corrcoef(values[:, :2].T, active.matrix.toarray().T)[:2, 2:]
    np.testing.assert_allclose(found.value, [*np.abs(whole).max(1), 0], atol=1e-5)
    moved = neurons.moved(values, BASE, np.random.default_rng(0)).reshape(PICTURES, BASE, 3)
    pictures = values.reshape(PICTURES, BASE, 3)
    for unit in range(2):
        assert sorted(map(tuple, moved[..., unit])) == sorted(map(tuple, pictures[..., unit]))
        assert not np.array_equal(moved[..., unit], pictures[..., unit])


def test_without_words_and_neurons_tables_have_no_rows():
    held, rows = worded()
    bare = Patches(held.looks, held.states, shows=held.shows[:, :0], coders=held.coders)
    assert not len(concepts.table(rows, bare, {}, DRAWS, 10))
    assert not len(neurons.tables(rows, bare, 5, DRAWS, 10)[0])
    own = {"families": 3, "neighbours": 4, "least_iou": 0.05, "mapped": 12, "perplexity": 3.0}
    summary, places = families.tables(rows, bare, own, 10, 0)
    assert set(summary["measure"]) == {"silhouette", "map_neighbours"} and set(places["word"]) == {""}


# ---- rules ------------------------------------------------------------------------------------------------------


def test_neurons_are_asked_for_where_they_are_defined():
    tree = config.plain(config.default())
    wanted, path = SimpleNamespace(model="llava-next-llama3"), "results/mmneuron/llava-next-llama3/neurons.parquet"
    assert beyond_job.Inputs(config.resolve(tree), "h").neurons(wanted) == [path]
    assert beyond_job.Inputs(config.resolve(tree), "h").neurons(SimpleNamespace(model="idefics2")) == []
    tree["multimodal_sae"]["beyond"]["neurons"] = 0
    assert beyond_job.Inputs(config.resolve(tree), "h").neurons(wanted) == []


def test_a_seed_that_was_trained_already_is_refused():
    tree = config.plain(config.default())
    tree["multimodal_sae"]["beyond"]["stability"]["seeds"] = [1, 0]
    with pytest.raises(VlmscopeError, match=r"stability\.seeds has 0"):
        config.resolve(tree)
