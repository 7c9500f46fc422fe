"""Attention probabilities: kept per query and key, stored ragged, read back as [layer, head, query, key]."""

import logging

import numpy as np
import pytest
import torch

from vlmscope.capture import attention, plan, run, taps
from vlmscope.capture.plan import Take
from vlmscope.errors import VlmscopeError
from vlmscope.store import shards

NAMES = ("values", "sample", "position", "token", "key")


def resolved(tiny, *takes):
    return plan.resolve(takes, tiny.family, tiny.config)


def take(where="all", site="attn_prob", **rest):
    return {"site": site, "where": where, "keep": "values", **rest}


@pytest.fixture(scope="module")
def kept(tiny, single):
    """Three samples of different lengths, every query."""
    return run.capture(tiny, resolved(tiny, take()), [single(number) for number in (2, 0, 1)])[0].arrays


def lengths(single):
    return [single(number).inputs["input_ids"].shape[1] for number in range(3)]


def test_every_query_meets_every_key_of_its_sample(kept, single):
    for number, length in enumerate(lengths(single)):
        rows = kept["sample"] == number
        np.testing.assert_array_equal(kept["position"][rows], np.arange(length).repeat(length))
        np.testing.assert_array_equal(kept["key"][rows], np.tile(np.arange(length), length))
        np.testing.assert_array_equal(kept["token"][rows], single(number).inputs["input_ids"][0].numpy().repeat(length))
    assert kept["values"].shape == (sum(one**2 for one in lengths(single)), 4, 4)


def test_probabilities_of_a_query_add_up_to_one_and_look_backwards(kept):
    later = kept["key"] > kept["position"]
    assert not kept["values"][later].any() and (kept["values"][~later] > 0).all()
    _, query = np.unique(kept["sample"] * 1000 + kept["position"], return_inverse=True)
    sums = np.zeros((query.max() + 1, 4, 4))
    np.add.at(sums, query, kept["values"])
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_a_shard_gives_back_layer_head_query_and_key(kept, tiny, single, tmp_path):
    (last,) = run.capture(tiny, resolved(tiny, take("last")), [single(number) for number in range(3)])
    stored = {"attn_prob.all.values": kept, "attn_prob.last.values": last.arrays}
    shards.write(tmp_path / "0.h5", ["a", "b", "c"], stored, {})
    for number, length in enumerate(lengths(single)):
        with attention.eager(tiny), torch.inference_mode():
            told = torch.stack(tiny.model(**single(number).inputs, output_attentions=True).attentions)[:, 0].numpy()
        queries, found = shards.read_attention(tmp_path / "0.h5", "attn_prob.all.values", number)
        assert found.shape == told.shape == (4, 4, length, length)
        np.testing.assert_array_equal(queries, np.arange(length))
        np.testing.assert_allclose(found, told, atol=1e-3)
        queries, found = shards.read_attention(tmp_path / "0.h5", "attn_prob.last.values", number)
        assert queries.tolist() == [length - 1]
        np.testing.assert_allclose(found, told[:, :, -1:], atol=1e-3)


def test_a_sample_without_queries_gives_nothing(kept, tmp_path):
    shards.write(tmp_path / "0.h5", ["a", "b", "c", "d"], {"attn_prob.all.values": kept}, {})
    queries, found = shards.read_attention(tmp_path / "0.h5", "attn_prob.all.values", 3)
    assert len(queries) == 0 and found.shape == (4, 4, 0, 0)
    with pytest.raises(VlmscopeError, match="no take 'attn_prob'") as caught:
        shards.read_attention(tmp_path / "0.h5", "attn_prob", 0)
    assert caught.value.instead == "one of: attn_prob.all.values"


def test_layers_heads_and_first_queries_are_selected(kept, tiny, single):
    wanted = [take("image", "attn_prob[2]", units=[3, 1]), take("image", keep="first")]
    stream = [single(number) for number in range(3)]
    some, first = (one.arrays for one in run.capture(tiny, resolved(tiny, *wanted), stream))
    is_image = kept["token"] == tiny.config.image_token_id
    np.testing.assert_array_equal(some["values"], kept["values"][is_image][:, [2]][..., [1, 3]])
    assert some["chosen"].tolist() == [1, 3]
    for number, length in enumerate(lengths(single)):
        mine = is_image & (kept["sample"] == number)
        rows = first["sample"] == number
        np.testing.assert_array_equal(first["values"][rows], kept["values"][mine][:length])


def test_padding_is_neither_query_nor_key(kept, tiny, single):
    parts = [single(number).inputs for number in range(3)]
    longest = max(lengths(single))

    def padded(name):
        return torch.cat([torch.nn.functional.pad(one[name], (0, longest - one[name].shape[1])) for one in parts])

    inputs = {name: padded(name) for name in ("input_ids", "attention_mask")}
    inputs |= {name: torch.cat([one[name] for one in parts]) for name in ("pixel_values", "image_sizes")}
    (found,) = run.capture(tiny, resolved(tiny, take()), [run.Batch((0, 1, 2), inputs)])
    for name in NAMES[1:]:
        np.testing.assert_array_equal(found.arrays[name], kept[name])
    np.testing.assert_allclose(found.arrays["values"], kept["values"], atol=1e-5)


def test_no_batch_gives_no_rows():
    found = attention.Attended(Take("attn_prob", "all", "values", (0, 1)), 4).result()
    assert found["values"].shape == (0, 2, 4)
    assert all(len(found[name]) == 0 for name in NAMES)


def test_the_run_says_that_it_uses_eager_attention_and_leaves_the_model_as_it_was(tiny, single, caplog):
    known = tiny.config.get_text_config()._attn_implementation
    caplog.set_level(logging.INFO)
    run.capture(tiny, resolved(tiny, take(site="resid_post")), [single(0)])
    assert "eager" not in caplog.text
    run.capture(tiny, resolved(tiny, take(), take(site="resid_post")), [single(0)])
    assert "The decoder computes eager attention in this run" in caplog.text
    assert known == "sdpa" == tiny.config.get_text_config()._attn_implementation


def test_outside_of_eager_attention_there_are_no_probabilities(tiny, single):
    site = tiny.family.site("attn_prob")
    with (
        pytest.raises(VlmscopeError, match="without its probabilities") as caught,
        taps.reading(tiny, site, [0], print),
    ):
        run.forward(tiny, single(0))
    assert "eager(loaded)" in caught.value.instead


@pytest.mark.parametrize("keep", ["counts", "mean", "top(2)"])
def test_probabilities_are_kept_as_they_are(tiny, keep):
    with pytest.raises(VlmscopeError, match="the probabilities themselves") as caught:
        resolved(tiny, {"site": "attn_prob", "where": "last", "keep": keep})
    assert caught.value.instead == "{site: attn_prob, where: last, keep: values}"
