import itertools

import numpy as np
import polars as pl
import pytest

from vlmscope.mmneuron import curves, schemas, stages
from vlmscope.store import files, tables

DOMAINS = ("ad", "med")
SETTINGS = {"segment": 2, "meaningful": 12, "resamples": 200, "seed": 0}


def steps(layers, points, heights):
    """A curve that changes its height at two layers."""
    return np.repeat(heights, np.diff([0, *points, layers])).astype(float)


def planted(layers=32, points=(9, 22), samples=30, noise=0.3, seed=1):
    """Neurons and lens sums of two domains with stages at known layers; samples differ."""
    generator = np.random.default_rng(seed)
    neurons = {domain: steps(layers, points, (40, 5, 20)) + generator.integers(0, 3, layers) for domain in DOMAINS}
    parts = {}
    for domain in DOMAINS:
        n = generator.integers(5, 20, (samples, 3)).astype(float)
        level = np.stack([steps(layers, points, heights) for heights in ((8, 5, 1), (6, 6, 2), (7, 3, 1))])
        means = level[None] + noise * generator.standard_normal((samples, 3, layers))
        words = steps(layers, points, (0.1, 0.5, 0.9)) * np.ones((samples, 3, 1))
        parts[domain] = curves.Sums(n, means * n[:, :, None], words * n[:, :, None])
    return neurons, parts


def squares(values, points):
    parts = np.split(stages.standardised(values), points, axis=1)
    return sum(((part - part.mean(axis=1, keepdims=True)) ** 2).sum() for part in parts)


@pytest.mark.parametrize("segment", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_cut_is_the_best_of_all(seed, segment):
    values = np.random.default_rng(seed).standard_normal((4, 13))
    found = stages.cut(values, segment)
    every = [pair for pair in itertools.combinations(range(1, 13), 2) if min(np.diff([0, *pair, 13])) >= segment]
    assert found.cuts == len(every)
    assert found.points == min(every, key=lambda pair: squares(values, pair))
    whole = (stages.standardised(values) ** 2).sum()
    assert found.explained == pytest.approx(1 - squares(values, found.points) / whole)


@pytest.mark.parametrize("points", [(2, 4), (9, 22), (28, 30), (2, 30)])
def test_planted_steps_are_found_exactly(points):
    values = np.stack([steps(32, points, heights) for heights in ((0, 1, 2), (5, 1, 1), (3, 3, 0))])
    found = stages.cut(values, 2)
    assert found.points == points and found.explained == pytest.approx(1.0)


def test_planted_stages_are_found_through_noise_with_intervals_around_them():
    neurons, parts = planted()
    table = stages.stages(neurons, parts, **SETTINGS)
    assert table["scope"].to_list() == ["all", "all", "ad", "ad", "med", "med"]
    assert table["layer"].to_list() == [9, 22] * 3
    assert (table["ci_low"] <= table["layer"]).all() and (table["ci_high"] >= table["layer"]).all()
    assert table["meaningful"].all() and (table["agreement"] > 0.9).all()
    assert (table["explained"] <= 1).all() and (table["explained"] > 0.9).all()


def test_noisy_samples_make_wide_intervals():
    """Without neurons or words that hold it, a weak step moves between resamples."""
    _, parts = planted(noise=40, samples=8)
    parts = {domain: curves.Sums(one.n, one.entropy, 0 * one.words) for domain, one in parts.items()}
    table = stages.stages({domain: np.zeros(32) for domain in DOMAINS}, parts, **SETTINGS)
    assert (table["ci_high"] - table["ci_low"]).max() >= 4
    assert table["agreement"].min() < 0.7


def test_resampling_is_the_same_in_every_run_and_follows_the_seed():
    neurons, parts = planted(noise=8, samples=5)
    first, again = (stages.stages(neurons, parts, **SETTINGS) for _ in range(2))
    assert first.equals(again)
    assert not first.equals(stages.stages(neurons, parts, **{**SETTINGS, "seed": 5}))


def test_three_layers_have_one_way_and_the_table_pretends_no_certainty():
    neurons, parts = planted(layers=3, points=(1, 2))
    table = stages.stages(neurons, parts, **SETTINGS)
    assert table["layer"].to_list() == [1, 2] * 3
    assert table["cuts"].to_list() == [1] * 6 and table["segment"].to_list() == [1] * 6
    assert not table["meaningful"].any()
    for column in ("ci_low", "ci_high", "agreement"):
        assert table[column].null_count() == 6
    assert "Not meaningful: 3 layers, only one way" in stages.verdict(3, 1, 12)


@pytest.mark.parametrize("layers", [1, 2])
def test_too_few_layers_have_no_change_points(layers):
    found = stages.cut(np.arange(2.0 * layers).reshape(2, layers), 2)
    assert found.points is None and found.cuts == 0
    assert "cannot be cut" in stages.verdict(layers, found.cuts, 12)


def test_flat_curves_have_no_change_points():
    found = stages.cut(np.full((3, 12), 0.1) + 1e-17, 2)
    assert found.points is None and found.explained is None


def test_the_segment_length_gives_way_before_the_layers_run_out():
    assert [stages.cut(np.random.default_rng(0).random((2, layers)), 4).segment for layers in (5, 8, 11, 12, 30)] == [
        1, 2, 3, 4, 4,
    ]  # fmt: skip


def test_a_domain_with_more_positions_weighs_no_more():
    neurons, parts = planted(noise=0)
    heavy = {
        **parts,
        "ad": curves.Sums(*(100 * one for one in (parts["ad"].n, parts["ad"].entropy, parts["ad"].words))),
    }
    for name, curve in curves.named(neurons, parts).items():
        np.testing.assert_allclose(curves.named(neurons, heavy)[name], curve)


def test_a_kind_of_position_that_is_not_there_gives_no_curve():
    neurons, parts = planted()
    n = parts["ad"].n.copy()
    n[:, 1] = 0
    entropy = parts["ad"].entropy * (n > 0)[:, :, None]
    named = curves.named(neurons, {**parts, "ad": curves.Sums(n, entropy, parts["ad"].words)})
    assert "entropy_text" not in named and "entropy_image" in named


# ---- from the lens's sums ----------------------------------------------------------------------------------------


def lens_rows(layers=3):
    rows = []
    for sample, shift in (("s0", 0.0), ("s1", 1.0)):
        for layer in range(layers):
            for kind, values in (("image", [1.0, 3.0]), ("text", [2.0]), ("last", [0.5])):
                own = [value + shift + layer for value in values]
                rows.append((sample, "block", layer, kind, len(own), sum(own), sum(one**2 for one in own), 1))
                rows.append((sample, "mlp", layer, kind, 9, 99.0, 999.0, 9))
    return pl.DataFrame(rows, schema=schemas.CURVES, orient="row")


def test_entropy_by_layer_is_the_mean_over_positions_of_the_block_output():
    table = curves.entropy_table({"ad": lens_rows(), "med": lens_rows()})
    assert table.columns == ["layer", "domain", "token_type", "mean_entropy", "std", "n"]
    row = table.row(
        by_predicate=(pl.col("domain") == "med") & (pl.col("token_type") == "image") & (pl.col("layer") == 2)
    )
    values = [3.0, 5.0, 4.0, 6.0]
    assert row[3:] == (np.mean(values), pytest.approx(np.std(values), abs=1e-9), 4)
    assert table["token_type"].to_list()[:9] == ["image"] * 3 + ["text"] * 3 + ["last"] * 3


def test_everything_comes_from_files(tmp_path):
    neurons = pl.DataFrame(
        [("lang", 1, 3, "ad", 0.5, 0.1, 0.2), ("vision", 0, 3, "ad", 0.5, 0.1, 0.2)],
        schema=schemas.neurons(DOMAINS),
        orient="row",
    )
    tables.write(neurons, tmp_path / "neurons.parquet", schemas.neurons(DOMAINS))
    files.write_json({"lang": {"shape": [3, 8]}, "vision": {"shape": [9, 8]}}, tmp_path / "neurons.json")
    for domain in DOMAINS:
        tables.write(lens_rows(), tmp_path / f"{domain}.parquet", schemas.CURVES)
    paths = [str(tmp_path / f"{domain}.parquet") for domain in DOMAINS]
    found, meta = stages.from_files(
        paths, str(tmp_path / "neurons.parquet"), str(tmp_path / "neurons.json"), DOMAINS, SETTINGS
    )
    own = found.curves.filter((pl.col("scope") == "ad") & (pl.col("curve") == "neurons_ad"))
    assert own["value"].to_list() == [0.0, 1.0, 0.0]
    assert meta["layers"] == 3 and meta["samples"] == {"ad": 2, "med": 2} and "Not meaningful" in meta["verdict"]
    assert dict(found.stages.schema) == stages.STAGES and dict(found.curves.schema) == stages.CURVE
