"""Counts, sets, masked logits and greedy tokens against the official code on a tiny LLaVA-NeXT."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlmscope.capture import plan, run
from vlmscope.edits import silenced, zeroed
from vlmscope.mmneuron.identify import select
from vlmscope.models.answer import new_tokens
from vlmscope.models.base import family
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded, slim_imports

HERE = Path(__file__).parent / "mmneuron" / "tiny_llava_next"
DOMAINS = ("ad", "med", "rs", "com", "doc")
SITES = {"lang": "mlp_gate", "vision": "vision_gate", "mmproj": "projector_gate"}
TAKES = [{"site": site, "where": "all", "keep": "counts"} for site in SITES.values()]
CONDITIONS = {
    "none": [],
    "lang": ["lang"],
    "vision": ["vision", "mmproj"],
    "lang-vision-mmproj": ["lang", "vision", "mmproj"],
}


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def loaded():
    slim_imports()
    from transformers import LlavaNextForConditionalGeneration

    model = LlavaNextForConditionalGeneration.from_pretrained(HERE, dtype=torch.float32).eval()
    return Loaded(model, None, family("llava_next"), {})


def padded(golden, domain, numbers):
    """Samples as one right-padded batch, as the processor would hand them over."""
    parts = [
        {key: golden[f"inputs/{domain}/{k}/{key}"] for key in ("pixel_values", "image_size", "input_ids")}
        for k in numbers
    ]
    length = max(len(part["input_ids"]) for part in parts)
    tiles = max(len(part["pixel_values"]) for part in parts)
    ids = np.zeros((len(parts), length), dtype=np.int64)
    mask = np.zeros_like(ids)
    pixels = np.zeros((len(parts), tiles, *parts[0]["pixel_values"].shape[1:]), dtype=np.float32)
    for row, part in enumerate(parts):
        ids[row, : len(part["input_ids"])] = part["input_ids"]
        mask[row, : len(part["input_ids"])] = 1
        pixels[row, : len(part["pixel_values"])] = part["pixel_values"]
    sizes = np.stack([part["image_size"] for part in parts])
    tensors = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels, "image_sizes": sizes}
    return Batch(tuple(numbers), {key: torch.from_numpy(value) for key, value in tensors.items()})


def units(golden, kind, domain, modules):
    chosen = {}
    for module in modules:
        members = golden[f"{kind}/{domain}/{module}"]
        chosen[SITES[module]] = {layer: np.flatnonzero(row).tolist() for layer, row in enumerate(members) if row.any()}
    return chosen


@pytest.mark.parametrize("batch", [1, 3, 6])
@pytest.mark.parametrize("domain", DOMAINS)
def test_counts_equal_the_official_ones_whatever_the_batch(domain, batch, golden, loaded):
    takes = plan.resolve(TAKES, loaded.family, loaded.config)
    batches = [padded(golden, domain, range(start, min(start + batch, 6))) for start in range(0, 6, batch)]
    kept = run.capture(loaded, takes, batches)
    for module, one in zip(SITES, kept, strict=True):
        assert one.arrays["seen"] == golden[f"final/{domain}/{module}_tokens"]
        np.testing.assert_array_equal(one.arrays["fired"], golden[f"final/{domain}/{module}_count"])
        np.testing.assert_allclose(one.arrays["total"], golden[f"final/{domain}/{module}_sum"], atol=1e-3)


def test_sets_of_the_first_snapshot_equal_the_official_ones(golden):
    for module in SITES:
        fired = np.stack([golden[f"snap1/{domain}/{module}_count"] for domain in DOMAINS]).astype(np.int64)
        seen = np.array([golden[f"snap1/{domain}/{module}_tokens"] for domain in DOMAINS])
        selection = select(fired, seen, top_rate=0.1)
        for place, domain in enumerate(DOMAINS):
            np.testing.assert_array_equal(selection.members[place], golden[f"mask10/{domain}/{module}"])


def test_the_budget_stops_at_the_snapshot_that_identification_reads(golden, loaded):
    trace = json.loads((HERE / "golden.json").read_text())
    for domain in DOMAINS:
        positions = 0
        for step in trace["snapshots"][domain]:
            height, width = golden[f"inputs/{domain}/{step['image']}/image_size"].tolist()
            positions += loaded.family.vision_positions(loaded.config, None, width, height)
            assert positions == step["vision_len"]
            assert (positions >= trace["exp_token"]) == (step["vision_len"] >= trace["exp_token"])


@pytest.mark.parametrize("cut", [zeroed, silenced])
@pytest.mark.parametrize("condition", sorted(CONDITIONS))
@pytest.mark.parametrize("domain", DOMAINS)
def test_masked_logits_and_greedy_tokens_equal_the_official_ones(domain, condition, cut, golden, loaded):
    batch = padded(golden, domain, [0])
    with torch.inference_mode(), cut(loaded, units(golden, "maskhand", domain, CONDITIONS[condition])):
        logits = run.forward(loaded, batch).logits[0, -1]
        length = batch.inputs["input_ids"].shape[1]
        written = loaded.model.generate(**batch.inputs, do_sample=False, min_new_tokens=6, max_new_tokens=6)[0, length:]
    np.testing.assert_allclose(logits.numpy(), golden[f"masked/{domain}/{condition}/logits_last"], atol=1e-6)
    np.testing.assert_array_equal(written.numpy(), golden[f"masked/{domain}/{condition}/greedy6"])


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_projector_row_masks_something_unlike_the_released_code(domain, golden, loaded):
    batch = padded(golden, domain, [0])
    chosen = units(golden, "maskhand", domain, ["mmproj"])
    with torch.inference_mode(), zeroed(loaded, chosen):
        logits = run.forward(loaded, batch).logits[0, -1].numpy()
    assert np.abs(logits - golden[f"masked/{domain}/mmproj/logits_last"]).max() > 1e-3


@pytest.mark.parametrize("domain", DOMAINS)
def test_silenced_units_are_counted_as_zero(domain, golden, loaded):
    modules = CONDITIONS["lang-vision-mmproj"]
    takes = plan.resolve(TAKES, loaded.family, loaded.config)
    with silenced(loaded, units(golden, "maskhand", domain, modules)):
        kept = run.capture(loaded, takes, [padded(golden, domain, [0])])
    for module, one in zip(SITES, kept, strict=True):
        np.testing.assert_array_equal(one.arrays["fired"], golden[f"masked/{domain}/lang-vision-mmproj/{module}_count"])
        assert not one.arrays["fired"][golden[f"maskhand/{domain}/{module}"].astype(bool)].any()


def test_the_last_vision_layer_is_inert_and_known_to_be(golden, loaded):
    batch, site = padded(golden, "ad", [0]), loaded.family.site("vision_gate")
    inert = site.inert(loaded.config)
    assert inert == {2}
    with torch.inference_mode():
        before = run.forward(loaded, batch).logits
        with zeroed(loaded, {"vision_gate": {layer: range(site.width(loaded.config)) for layer in inert}}):
            assert torch.equal(before, run.forward(loaded, batch).logits)


def test_weights_come_back_bit_equal_even_after_an_error(golden, loaded):
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    chosen = units(golden, "maskhand", "ad", ["lang", "vision", "mmproj"])
    with pytest.raises(ZeroDivisionError), zeroed(loaded, chosen), zeroed(loaded, chosen):
        raise ZeroDivisionError
    assert all(torch.equal(before[name], value) for name, value in loaded.model.state_dict().items())


def test_generation_stops_before_the_end_token(golden, loaded):
    class Tokenizer:
        eos_token_id, pad_token_id = 0, 0

    batch = padded(golden, "ad", [0])
    free = golden["masked/ad/none/greedy6"].tolist()
    Tokenizer.eos_token_id = free[2]
    speaking = Loaded(loaded.model, type("P", (), {"tokenizer": Tokenizer})(), loaded.family, {})
    assert new_tokens(speaking, batch.inputs, 6) == [free[: free.index(free[2])]]
