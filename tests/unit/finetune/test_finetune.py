"""Fine-tunes: what is learnt, that the decoder alone changes, that a saved checkpoint is the model that was trained."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmscope import raw
from vlmscope.capture import batches, run, shard
from vlmscope.datasets import base, sbu
from vlmscope.errors import VlmscopeError
from vlmscope.finetune import examples, teach, weights
from vlmscope.models import inputs
from vlmscope.models.load import describe, load
from vlmscope.samples import table
from vlmscope.session import prepare_torch
from vlmscope.store import files, tables

SHIPPED = Path(__file__).parents[3] / "weights"
MODELS = {"llava15": "llava", "idefics2": "idefics2", "molmo": "molmo", "qwen2-vl": "qwen2_vl"}
SETTINGS = {
    **{"kind": "sbu", "words": ["red", "park"], "limit": 12, "prompt": "chat", "method": "lora", "rank": 4},
    **{"alpha": 8.0, "targets": [], "learning_rate": 2e-3, "steps": 3, "per_step": 12, "seed": 0, "saves": [1, 3]},
    **{"autocast": "none", "checkpointing": False},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Manifest and samples of drawn captions."""
    folder = tmp_path_factory.mktemp("data")
    scenes = list(raw.scenes("com", "train", 24))
    written = sbu.write(scenes, folder / "sbu", "train")
    digests = {str(path.relative_to(folder / "sbu")): files.digest(path) for path in written}
    files.write_json(raw.manifest("sbu", folder / "sbu", "drawn", digests), folder / "raw.json")
    found = table(sbu.read(folder / "sbu", "train", name="sbu", query="describe the image."))
    tables.write(found, folder / "train.parquet", dict(found.schema))
    return {"raw": str(folder / "raw.json"), "samples": str(folder / "train.parquet")}


def opened(name, tmp_path, folder=None):
    settings = {"family": MODELS[name], "checkpoint": name, "revision": "", "dtype": "float32"}
    manifest = tmp_path / f"{name}.json"
    files.write_json(describe(folder or SHIPPED / name, settings), manifest)
    return load(manifest)


def tuned(loaded, data, folder, **changes):
    prepare_torch(1, 0)
    return teach.finetune(loaded, **data, settings=SETTINGS | changes, batch=3, folder=str(folder))


def logits(loaded, data):
    """Of the last positions of a batch of prompts."""
    manifest = raw.read_manifest(data["raw"])
    some = teach.table.read(data["samples"])[:3]
    ask = shard.prompts(loaded, base.load("sbu"), "chat")
    batch = next(batches.prefill(loaded, some, ask, batches.picture_of(manifest["root"]), 3))
    with torch.inference_mode():
        return run.forward(loaded, batch, 2).logits.numpy()


@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_is_what_was_trained_and_the_base_is_another(name, data, tmp_path):
    before, loaded = opened(name, tmp_path), opened(name, tmp_path)
    made = tuned(loaded, data, tmp_path / "made")
    assert made["steps"] == [1, 3] and len(made["losses"]) == 3
    assert made["losses"][2] < made["losses"][0] < 0.5, made["losses"]
    saved = opened(name, tmp_path, tmp_path / "made" / "3")
    here, there = logits(loaded, data), logits(saved, data)
    # Stored in half precision, as the base is.
    np.testing.assert_allclose(there, here, atol=2e-2)
    assert np.abs(here - logits(before, data)).max() > 0.2
    assert not (tmp_path / "made" / "3" / "measured.json").exists()


def test_only_linear_layers_of_the_decoder_change(data, tmp_path):
    before, loaded = opened("llava15", tmp_path), opened("llava15", tmp_path)
    tuned(loaded, data, tmp_path / "made", targets=["q_proj", "down_proj"])
    after = opened("llava15", tmp_path, tmp_path / "made" / "3").model.state_dict()
    changed = {name for name, value in before.model.state_dict().items() if not torch.equal(value, after[name])}
    layers = [f"model.language_model.layers.{layer}" for layer in range(3)]
    assert changed == {f"{one}.{end}.weight" for one in layers for end in ("self_attn.q_proj", "mlp.down_proj")}


def test_full_fine_tuning_changes_all_of_the_blocks_and_nothing_else(data, tmp_path):
    before, loaded = opened("llava15", tmp_path), opened("llava15", tmp_path)
    tuned(loaded, data, tmp_path / "made", method="full", learning_rate=1e-2)
    after = opened("llava15", tmp_path, tmp_path / "made" / "3").model.state_dict()
    blocks = "model.language_model.layers."
    for name, value in before.model.state_dict().items():
        assert torch.equal(value, after[name]) != name.startswith(blocks), name


def test_saving_on_the_way_leaves_no_trace(data, tmp_path):
    for folder, saves in (("with", [1, 2, 3]), ("without", [3])):
        tuned(opened("llava15", tmp_path), data, tmp_path / folder, saves=saves)
    one, other = (tmp_path / folder / "3" / "model.safetensors" for folder in ("with", "without"))
    assert one.read_bytes() == other.read_bytes()
    assert (tmp_path / "with" / "1" / "model.safetensors").read_bytes() != one.read_bytes()


def test_memory_saved_by_computing_twice_costs_no_accuracy(data, tmp_path):
    plain = tuned(opened("llava15", tmp_path), data, tmp_path / "plain")["losses"]
    np.testing.assert_allclose(
        tuned(opened("llava15", tmp_path), data, tmp_path / "a", checkpointing=True)["losses"], plain, rtol=1e-4
    )
    mixed = tuned(opened("llava15", tmp_path), data, tmp_path / "b", autocast="bfloat16")["losses"]
    np.testing.assert_allclose(mixed, plain, rtol=0.2)
    assert mixed != plain


@pytest.mark.parametrize("name", ["llava15", "qwen2-vl"])
def test_the_loss_is_that_of_the_answer_s_tokens_alone(name, data, tmp_path):
    """The same from one sample after the other without padding, labels looked up one by one."""
    loaded = opened(name, tmp_path)
    benchmark, some = base.load("sbu"), teach.table.read(data["samples"])[:4]
    told = examples.lessons(loaded, some, *teach._prompts(loaded, benchmark, "chat"))
    words = loaded.processor.tokenizer
    picture = batches.picture_of(raw.read_manifest(data["raw"])["root"])
    sums = []
    for one in told:
        tensors = inputs.encode(loaded, [one.prompt], [picture(one.sample)], "right")
        batch = batches.appended(inputs.Batch((0,), tensors), [list(one.tokens)])
        with torch.inference_mode():
            scores = run.forward(loaded, batch, batch.inputs["input_ids"].shape[1]).logits[0].log_softmax(-1)
        start = batch.starts[0]
        sums.append(sum(-scores[start + place - 1, token].item() for place, token in enumerate(one.tokens)))
        assert words.decode(one.tokens[:-1]).strip() == examples.said(one.sample)
        assert one.tokens[-1] == words.eos_token_id
    total = 0.0
    for tensors, labels in examples.batched(loaded, told, picture, 3):
        total += teach._summed(loaded, tensors, labels).item()
    assert total == pytest.approx(sum(sums), rel=1e-4)


def test_every_sample_comes_once_before_one_comes_again():
    rows = np.concatenate(list(examples.order(10, 4, 5, seed=3)))
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert list(rows) == list(np.concatenate(list(examples.order(10, 4, 5, seed=3))))
    assert list(rows) != list(np.concatenate(list(examples.order(10, 4, 5, seed=4))))
    assert [len(one) for one in examples.order(3, 8, 2, seed=0)] == [8, 8]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"phrase": "a red dog", "region_id": 3}, "a red dog"),
        ({"caption": "a cat", "in_picture": None}, "a cat"),
        ({"captions": ["a bus", "two buses"], "split": "train"}, "a bus"),
        ("yes", "yes"),
    ],
)
def test_the_text_of_every_format_is_found(answer, text, data):
    one = dataclasses.replace(teach.table.read(data["samples"])[0], answer=json.dumps(answer))
    assert examples.said(one) == text


def test_words_are_met_whole_and_in_any_case(data):
    some = teach.table.read(data["samples"])
    told = [
        dataclasses.replace(one, answer=json.dumps(text))
        for one, text in zip(some, ("Red car", "covered", "a red.", "red"), strict=False)
    ]
    assert [examples.said(one) for one in examples.chosen(told, ["red"], 2)] == ["Red car", "a red."]
    assert len(examples.chosen(told, [], 9)) == 4
    with pytest.raises(VlmscopeError, match="None of 4 samples"):
        examples.chosen(told, ["violet"], 2)


def test_what_cannot_be_learnt_is_told(data, tmp_path):
    with pytest.raises(VlmscopeError, match="no text that could be learnt"):
        examples.said(dataclasses.replace(teach.table.read(data["samples"])[0], answer="{}"))
    with pytest.raises(VlmscopeError, match=r"(?s)No linear layer.*down_proj"):
        weights.targets(opened("llava15", tmp_path), ["c_attn"])
