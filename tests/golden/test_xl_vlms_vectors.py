"""States of chosen tokens against the official code: rules on given states, and a tiny LLaVA through the capture."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vlmscope.capture import batches, plan, run
from vlmscope.models.base import family
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded, slim_imports
from vlmscope.store import shards
from vlmscope.store.shards import Answer
from vlmscope.xl_vlms.sets import needs, select, select_files

HERE = Path(__file__).parent / "xl_vlms"
MODULES = {"block.1": "model.language_model.layers.1", "final_norm": "model.language_model.norm"}
END = 102


# ---- rules on given states ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rules():
    with np.load(HERE / "toi_extraction.npz") as file:
        return dict(file), json.loads((HERE / "toi_extraction.json").read_text())


WORDED = ["gen_only_first_match", "whole_sequence_match_in_prompt", "scalar_id", "last_only_module_whole_sequence"]
WORDED += ["more_states_than_ids", "more_states_than_ids_gen_only", "gen_only_absent"]


@pytest.mark.parametrize("case", WORDED)
def test_the_first_token_of_interest_is_that_of_the_released_code(rules, case):
    arrays, told = rules
    states, ids = arrays[f"{case}/tokens"][0], arrays[f"{case}/pred"][0].tolist()
    wanted = np.atleast_1d(told[case]["token_of_interest_idx"]).tolist()
    begin = told[case]["token_of_interest_start_token"]
    if begin:
        states, ids = states[begin:], ids[begin:]
    # States belong to the tokens that they predicted: both end with the last one.
    kept = min(len(states), len(ids))
    states, ids = states[-kept:], ids[-kept:]
    place = select.first_of(ids, wanted)
    assert (place is not None) == arrays[f"{case}/mask"][0]
    assert np.array_equal(states[place or 0], arrays[f"{case}/selected"][0, 0])


@pytest.mark.parametrize("case", ["before_eos_gen_only", "before_eos_absent_gen_only", "before_eos_first_token"])
def test_the_mean_before_the_end_is_that_of_the_released_code(rules, case):
    arrays, told = rules
    begin = told[case]["token_of_interest_start_token"]
    states, ids = arrays[f"{case}/tokens"][0][begin:], arrays[f"{case}/pred"][0, begin:].tolist()
    # The end token of these cases is number 2; the stored mask says whether it is absent.
    end = ids.index(2) if 2 in ids else None
    assert (end is None) == arrays[f"{case}/mask"][0]
    count = select.before_end(len(ids) if end is None else end, -1 if end is None else 2)
    selected = arrays[f"{case}/selected"][0, 0]
    if np.isnan(selected).all():
        said = select.Written([], [], 2)
        assert count == 0 and select.spans(needs.filled({"rule": "before_end"}), said, None) == []
    else:
        np.testing.assert_allclose(states[:count].mean(0), selected, atol=1e-6)


# ---- a tiny LLaVA ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "tiny_llava" / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def loaded():
    slim_imports()
    from transformers import LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(HERE / "tiny_llava", dtype=torch.float32).eval()
    return Loaded(model, SimpleNamespace(tokenizer=None), family("llava"), {})


@pytest.fixture(scope="module", params=["ended", "cut"])
def captured(request, golden, loaded, tmp_path_factory):
    """A shard of one sample, as if its answer ended with a token, or was cut at the limit."""
    ids = torch.from_numpy(golden["input_ids"])
    written = golden["sequences"][0, ids.shape[1] :].tolist()
    stop = written.index(END) if request.param == "ended" else len(written)
    tensors = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch = Batch((0,), tensors | {"pixel_values": torch.from_numpy(golden["pixel_values"])})
    batch = batches.appended(batch, [written[:stop]])
    takes = [
        {"site": site, "where": where, "keep": "values"}
        for site in ("resid_post", "final_norm", "logits")
        for where in ("emitting", "all")
    ]
    kept = run.capture(loaded, plan.resolve(takes, loaded.family, loaded.config, "generate"), [batch])
    path = tmp_path_factory.mktemp(request.param) / "00000.h5"
    shards.write(path, ["one"], {one.take.name: one.arrays for one in kept}, {"settings": {"take": takes}})
    answer = Answer(written[:stop], END if request.param == "ended" else -1)
    return path, takes, answer, request.param


def vectors(captured, **chosen):
    path, takes, answer, _ = captured
    settings = needs.filled({"capture": "x", "dataset": "x", **chosen})
    with shards.open_shard(path) as file:
        sources = select_files.sources_in(file, needs.check(takes, settings, "set"), settings)
        return select_files.gathered(file, sources, {0}, [answer], settings, None)


def agree(found, golden, key):
    assert set(found.values) == {"block.0", "block.1", "block.2", "final_norm", "lm_head"}
    for name, official in MODULES.items():
        expected = golden[f"{key}/{official}"][0]
        # Captures are kept in half precision.
        np.testing.assert_allclose(found.values[name], expected, atol=2e-3 * np.abs(expected).max())


def test_a_token_of_interest_among_what_was_written(captured, golden):
    found = vectors(captured, rule="word_official", ids=golden["toi_id"].tolist())
    agree(found, golden, "toi_generated")


def test_the_whole_sequence_stops_in_the_prompt(captured, golden):
    found = vectors(captured, rule="word_official", ids=golden["toi_id"].tolist(), search="whole")
    agree(found, golden, "toi_whole_sequence_prompt_hit")


def test_numbers_count_over_all_states(captured, golden):
    agree(vectors(captured, rule="range", search="whole", start=2, end=7, keep="all"), golden, "token_start_end_2_7")
    mean = vectors(captured, rule="range", search="whole", start=2, end=7).values["final_norm"]
    expected = golden[f"token_start_end_2_7/{MODULES['final_norm']}"][0].mean(0)
    np.testing.assert_allclose(mean[0], expected, atol=5e-3)
    if captured[3] == "cut":
        agree(vectors(captured, rule="index", search="whole", index=-1), golden, "token_idx_-1")


def test_the_mean_before_the_end(captured, golden):
    found = vectors(captured, rule="before_end")
    if captured[3] == "ended":
        agree(found, golden, "before_special")
    else:
        states = golden[f"all/{MODULES['final_norm']}"][0, 12:17]
        np.testing.assert_allclose(found.values["final_norm"][0], states.mean(0), atol=5e-3)


def test_final_states_times_the_unembedding_are_the_logits(captured, golden, loaded):
    states = vectors(captured, rule="range", keep="all").values["final_norm"].astype(np.float32)
    logits = states @ loaded.model.lm_head.weight.detach().numpy().T
    np.testing.assert_allclose(logits, golden["logits"][0, : len(states)], atol=2e-2)
    assert logits.argmax(1).tolist() == captured[2].tokens
    official = golden[f"all/{MODULES['final_norm']}"][0, 12 : 12 + len(states)]
    exact = official @ loaded.model.lm_head.weight.detach().numpy().T
    np.testing.assert_allclose(exact, golden["logits"][0, : len(states)], atol=1e-5)


def test_states_in_single_precision_are_the_official_ones(golden, loaded):
    ids = torch.from_numpy(golden["sequences"])
    mask = torch.ones_like(ids)
    pixels = torch.from_numpy(golden["pixel_values"])
    batch = Batch((0,), {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels})
    takes = [{"site": site, "where": "all", "keep": "values"} for site in ("resid_post[1]", "final_norm")]
    kept = run.capture(loaded, plan.resolve(takes, loaded.family, loaded.config), [batch])
    for one, name in zip(kept, MODULES.values(), strict=True):
        # The last generated token is never fed back.
        np.testing.assert_allclose(one.arrays["values"][:-1, 0], golden[f"all/{name}"][0], atol=1e-5)
