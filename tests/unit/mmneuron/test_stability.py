"""Neuron sets over shards, budgets and kinds of positions, on shards written here."""

import numpy as np
import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import identify, modules, stability
from vlmscope.show import effects as figures
from vlmscope.store import shards

DOMAINS = ["a", "b", "c"]
SETTINGS = {"top_rate": 0.3, "filter_rate": 0.5, "bar_rate": 0.5}
TAKES = {need["site"] + "." + need["where"] + ".counts": need for need in modules.needs("instructblip")}


def written(folder, count, takes=TAKES):
    """Index per domain of `count` shards with random counts, 10 samples and 100 positions each."""
    indices = {}
    for place, domain in enumerate(DOMAINS):
        paths = []
        for shard in range(count):
            drawn = np.random.default_rng([place, shard])
            kept = {}
            for name in takes:
                fired = drawn.integers(0, 101, size=(2, 30))
                kept[name] = {"fired": fired, "total": fired * 1.0, "seen": 100}
            paths.append(folder / domain / f"{shard:05d}.h5")
            shards.write(paths[-1], [f"{domain}{shard}-{k}" for k in range(10)], kept, {"inert": {}})
        indices[domain] = str(folder / domain / "index.json")
        shards.close_index(indices[domain], [str(path) for path in paths], {})
    return indices


def test_pairs_of_shards_and_budgets_are_compared(tmp_path):
    indices = written(tmp_path, 3)
    table = stability.over_shards(indices, "instructblip", SETTINGS)
    assert table.schema == pl.Schema(stability.STABILITY)
    lang = table.filter((pl.col("module") == "lang") & (pl.col("domain") == "a"))
    assert lang.select("comparison", "a", "b", "samples_a", "samples_b").rows() == [
        ("disjoint", "0", "1", 10, 10),
        ("disjoint", "0", "2", 10, 10),
        ("disjoint", "1", "2", 10, 10),
        ("budget", "1/3", "all", 10, 30),
        ("budget", "2/3", "all", 20, 30),
    ]
    assert table["module"].unique(maintain_order=True).to_list() == list(modules.sites("instructblip"))
    assert table["domain"].unique(maintain_order=True).to_list() == [*DOMAINS, "any"]
    # Counts without any signal: halves agree no better than chance, a larger part agrees better with the whole.
    either = table.filter(pl.col("domain") == "any").group_by("comparison", "a").agg(pl.mean("jaccard"))
    means = {row[:2]: row[2] for row in either.rows()}
    assert means["budget", "1/3"] < means["budget", "2/3"] < 1
    assert means["disjoint", "0"] < means["budget", "2/3"]


def test_the_sets_are_those_of_identification(tmp_path):
    indices = written(tmp_path, 2)
    table = stability.over_shards(indices, "instructblip", SETTINGS)
    takes = modules.take_name("instructblip", "query")
    whole, first = (shards.read_counts(indices, takes, part) for part in (None, [0]))
    assert whole.samples == (20, 20, 20) and first.samples == (10, 10, 10)
    a, b = (identify.select(one.fired, one.seen, **SETTINGS).members[1] for one in (first, whole))
    row = table.row(
        by_predicate=(pl.col("module") == "query") & (pl.col("domain") == "b") & (pl.col("comparison") == "budget"),
        named=True,
    )
    assert (row["size_a"], row["size_b"], row["intersection"]) == (a.sum(), b.sum(), (a & b).sum())
    assert row["jaccard"] == pytest.approx((a & b).sum() / (a | b).sum())


def test_one_shard_leaves_nothing_to_compare_and_the_figure_says_so(tmp_path):
    table = stability.over_shards(written(tmp_path, 1), "instructblip", SETTINGS)
    assert table.is_empty()
    figures.stability(table, "none", tmp_path / "s.svg")
    assert "one shard: nothing to compare" in (tmp_path / "s.svg").read_text()


def test_sets_of_image_and_text_positions_overlap_in_part(tmp_path):
    indices = written(tmp_path, 2)
    table = stability.over_positions(indices, "instructblip", SETTINGS)
    assert table.schema == pl.Schema(stability.POSITIONS)
    pairs = table.filter(pl.col("domain") == "any").select("a", "b", "positions_a").rows()
    assert pairs == [("all", "image", 600), ("all", "text", 600), ("image", "text", 600)]
    assert 0 < table.filter(pl.col("domain") == "any")["jaccard"].max() < 1


def test_counts_without_kinds_of_positions_are_refused_with_the_take_to_add(tmp_path):
    few = [name for name in TAKES if ".all." in name]
    with pytest.raises(VlmscopeError, match=r"no take 'mlp_gate\.image\.counts'") as caught:
        stability.over_positions(written(tmp_path, 1, few), "instructblip", SETTINGS)
    assert "{site: mlp_gate, where: image, keep: counts}" in caught.value.instead


def test_empty_sets_have_no_index():
    nothing = np.zeros((2, 3), dtype=bool)
    assert stability.overlap(nothing, nothing)["jaccard"] is None
    assert stability.overlap(~nothing, nothing) == {"size_a": 6, "size_b": 0, "intersection": 0, "jaccard": 0.0}
