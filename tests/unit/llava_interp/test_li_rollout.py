"""Attention of the last token: rollout as a product of matrices, rank correlations, and what the object gets."""

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats as scipy_stats

from vlmscope import sweep
from vlmscope.capture import attention
from vlmscope.config import default, plain
from vlmscope.llava_interp.asking import experiments, prompts
from vlmscope.llava_interp.attention import rollout
from vlmscope.llava_interp.attention import run as attention_run
from vlmscope.llava_interp.attention import tables as attention_tables
from vlmscope.llava_interp.knockout import run as knockout_run
from vlmscope.llava_interp.schemas import KNOCKOUTS
from vlmscope.samples import SCHEMA, picture, table
from vlmscope.store import tables

TOLD = {"answers": "strict", "bootstrap": 50, "seed": 1}


@pytest.fixture(scope="module")
def settings():
    told = plain(default())["llava_interp"]
    told["attention"]["images"] = told["knockout"]["images"] = 8
    return told


def test_rollout_is_a_row_of_the_product():
    generator = torch.Generator().manual_seed(0)
    layers = torch.rand(3, 6, 6, generator=generator).tril()
    layers /= layers.sum(-1, keepdim=True)
    product = torch.eye(6)
    for layer in layers:
        product = (0.5 * layer + 0.5 * torch.eye(6)) @ product
    for query in (5, 2):
        torch.testing.assert_close(rollout.rolled(layers, query), product[query])
        torch.testing.assert_close(rollout.direct(layers, query), layers[:, query].mean(0))
    assert rollout.mass(rollout.rolled(layers, 5), range(6)) == pytest.approx(1)


def test_flow_is_that_of_networkx_and_at_least_the_rollout():
    networkx = pytest.importorskip("networkx", reason="the second search for a flow needs networkx")
    generator = np.random.default_rng(0)
    values = np.tril(generator.random((3, 6, 6)))
    layers = torch.from_numpy(values / values.sum(-1, keepdims=True))
    for query, keys in ((5, [1]), (5, [0, 2, 3]), (3, [3]), (5, range(6))):
        graph = networkx.DiGraph()
        for layer in range(3):
            for above in range(6):
                for below in range(6):
                    capacity = float(layers[layer, above, below] + (above == below)) / 2
                    graph.add_edge((layer + 1, above), (layer, below), capacity=capacity)
        for key in keys:
            graph.add_edge((0, key), "end", capacity=9.0)
        wanted = networkx.maximum_flow_value(graph, (3, query), "end")
        found = rollout.flow(layers, query, keys)
        assert found == pytest.approx(wanted, abs=1e-4)
        # What is mixed along the way is a flow too.
        assert found >= rollout.mass(rollout.rolled(layers, query), keys) - 1e-4


def test_attention_is_the_mean_of_the_model_s_heads(shipped, drawn, chosen, settings):
    text = prompts.text(shipped, settings["asking"], chosen[0].sample.question)
    asked = prompts.prepare(shipped, [text], [picture(chosen[0].sample, drawn[0] / "drawn")], 1)[0]
    before = shipped.config._attn_implementation
    found = rollout.heads(shipped, asked)
    assert shipped.config._attn_implementation == before
    with torch.inference_mode(), attention.eager(shipped):
        out = sweep.decoder(shipped)(inputs_embeds=asked.embeds[None], use_cache=False, output_attentions=True)
    expected = torch.stack([one[0].float().mean(0) for one in out.attentions])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:2]))


@pytest.mark.parametrize("n", [4, 5, 40])
def test_rank_correlations_are_scipy_s(n):
    values = np.random.default_rng(n)
    first, second = values.integers(0, 6, n).astype(float), values.normal(size=n)
    found = attention_tables.spearman(first, second)
    r = scipy_stats.spearmanr(first, second).statistic
    assert found["rank_correlation"] == pytest.approx(r) and found["n"] == n
    width = np.arctanh(found["rank_high"]) - np.arctanh(found["rank_low"])
    assert width == pytest.approx(2 * 1.959963984540054 * np.sqrt((1 + r**2 / 2) / (n - 3)))


def test_too_few_rows_or_no_spread_have_no_correlation():
    none = {"rank_correlation": None, "rank_low": None, "rank_high": None}
    assert attention_tables.spearman(np.arange(3.0), np.arange(3.0)) == {"n": 3} | none
    assert attention_tables.spearman(np.ones(9), np.arange(9.0)) == {"n": 9} | none
    perfect = attention_tables.spearman(np.arange(9.0), np.arange(9.0))
    assert perfect["rank_correlation"] == pytest.approx(1) and perfect["rank_low"] is None


def blocked(sample, source, log_prob, token=7):
    empty = dict.fromkeys(KNOCKOUTS)
    told = {"source": source, "target": "last" if source else "", "text": "cat", "first": "cat", "token": token}
    return (
        empty
        | told
        | {"sample": sample, "sort": "layer", "window": "layer_0", "right": [7]}
        | {"right_log_prob": log_prob}
    )


def test_the_table_follows_its_definitions():
    masses, records = [], []
    for n, (sample, own, random, drop) in enumerate(
        (("a", 0.1, 0.2, 1.0), ("b", 0.2, 0.1, 2.0), ("c", 0.3, 0.2, 4.0), ("d", 0.4, 0.1, 3.0), ("e", 0.9, 0, 9.0))
    ):
        place = {"sort": "layer", "window": "layer_0", "layer_first": 0, "layer_last": 0, "method": "direct", "keys": 4}
        named = {"sample": sample, "image_id": n, "ann_id": n, "class": "cat", "picture": 1.0}
        masses += [named | place | {"source": s, "mass": m} for s, m in (("object_1", own), ("random_1", random))]
        # The last picture's untouched answer is wrong: it plays no role.
        records += [blocked(sample, "", -1.0, 3 if sample == "e" else 7), blocked(sample, "object_1", -1.0 - drop)]
    found = attention_tables.table(
        pl.DataFrame(masses, schema=attention_tables.MASSES), pl.DataFrame(records, schema=KNOCKOUTS), TOLD
    )
    row = found.row(0, named=True)
    assert (row["n_images"], row["n"], row["mean_keys"]) == (4, 4, 4)
    assert (row["mass"], row["random_mass"], row["difference"]) == pytest.approx((0.25, 0.15, 0.1))
    # Ranks 1 2 3 4 against 1 2 4 3.
    assert row["knockout_drop"] == pytest.approx(2.5) and row["rank_correlation"] == pytest.approx(0.8)
    assert found["over"].to_list() == ["images", "windows"] and found["n"][1] == 1
    none = attention_tables.table(pl.DataFrame(schema=attention_tables.MASSES), pl.DataFrame(schema=KNOCKOUTS), TOLD)
    assert none.is_empty()


def test_the_last_token_looks_at_the_object(shipped, drawn, settings, tmp_path):
    folder, samples = drawn
    tables.write(table(samples), tmp_path / "samples.parquet", SCHEMA)
    files = {"raw": str(folder / "raw.json"), "samples": str(tmp_path / "samples.parquet"), "settings": settings}
    masses, funnel = experiments.run(attention_run.from_files, shipped, batch=1, **files)
    knockout, _ = experiments.run(knockout_run.from_files, shipped, batch=32, **files)
    assert funnel["with_question"] == 8 >= masses["sample"].n_unique() >= 6
    found = attention_tables.table(masses, knockout, TOLD)
    every = found.filter(window="all")
    assert every["method"].to_list() == ["direct", "rollout", "flow"]
    # Twenty tokens let nearly everything through: flow does not always tell the object from as many others.
    assert (every.filter(pl.col("method") != "flow")["difference_low"] > 0).all()
    assert (found["picture_mass"].drop_nulls() <= 1 + 1e-6).all()
    assert found.filter(over="windows")["n"].to_list() == [5, 5, 5]
    # Both know the same pictures and the same random tokens.
    assert set(masses["sample"]) == set(knockout.filter(pl.col("source") != "")["sample"])
    keys = knockout.filter(source="random_1", target="last", window="all").select("sample", "keys")
    assert keys.equals(masses.filter(source="random_1", method="direct", window="all").select("sample", "keys"))
