"""The generate pass: one plain pass over prompt and answer reads what the decoding steps computed."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from vlmscope.capture import batches, places, plan, run, shard, taps
from vlmscope.errors import VlmscopeError
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded

NEW = 5


@pytest.fixture(scope="module")
def speaking(tiny):
    """The golden model with as much of a tokenizer as decoding asks for; id 2 ends an answer."""
    tokenizer = SimpleNamespace(eos_token_id=2, pad_token_id=0)
    return Loaded(tiny.model, SimpleNamespace(tokenizer=tokenizer), tiny.family, {})


@pytest.fixture(scope="module")
def prompts(single):
    """Three golden prompts of different lengths in one right-padded batch."""
    parts = [single(number).inputs for number in range(3)]
    length = max(part["input_ids"].shape[1] for part in parts)

    def padded(name):
        return torch.cat([torch.nn.functional.pad(part[name], (0, length - part[name].shape[1])) for part in parts])

    tokens = {name: padded(name) for name in ("input_ids", "attention_mask")}
    pictures = {name: torch.cat([part[name] for part in parts]) for name in ("pixel_values", "image_sizes")}
    return Batch((0, 1, 2), {**tokens, **pictures})


def decoded(loaded, batch):
    """Token by token with a cache: written ids and the last block's state behind each of them."""
    states, written = [], []
    with (
        torch.inference_mode(),
        taps.reading(loaded, loaded.family.site("resid_post"), [3], lambda _, h: states.append(h)),
    ):
        output = loaded.model(**batch.inputs, use_cache=True)
        for _ in range(NEW):
            written.append(int(output.logits[0, -1].argmax()))
            if written[-1] == 2:
                return written[:-1], [state[0, -1] for state in states][: len(written) - 1]
            step = torch.tensor([[written[-1]]])
            output = loaded.model(input_ids=step, past_key_values=output.past_key_values, use_cache=True)
    return written, [state[0, -1] for state in states][:NEW]


def test_emitting_states_are_those_of_the_decoding_steps(speaking, prompts, single):
    takes = plan.resolve(
        [{"site": "resid_post[3]", "where": "emitting", "keep": "values"}], speaking.family, speaking.config, "generate"
    )
    (kept,) = run.capture(speaking, takes, batches.answered(speaking, [prompts], NEW))
    expected = [decoded(speaking, single(number)) for number in range(3)]
    assert kept.take.name == "resid_post[3].emitting.values"
    assert kept.arrays["sample"].tolist() == [number for number, (ids, _) in enumerate(expected) for _ in ids]
    states = torch.stack([state for _, part in expected for state in part])
    torch.testing.assert_close(torch.from_numpy(kept.arrays["values"][:, 0]), states, atol=1e-5, rtol=1e-5)


def test_answer_positions_hold_the_written_tokens(speaking, prompts, single):
    takes = plan.resolve(
        [{"site": "mlp_gate[0]", "where": "answer", "keep": "values"}], speaking.family, speaking.config, "generate"
    )
    (kept,) = run.capture(speaking, takes, batches.answered(speaking, [prompts], NEW))
    expected = [decoded(speaking, single(number))[0] for number in range(3)]
    assert kept.arrays["token"].tolist() == [token for part in expected for token in part]
    lengths = prompts.inputs["attention_mask"].sum(1).tolist()
    places = [length + place for length, part in zip(lengths, expected, strict=True) for place in range(len(part))]
    assert kept.arrays["position"].tolist() == places


def test_what_was_written_is_noted_with_the_token_that_ended_it(speaking, prompts, single):
    free = [decoded(speaking, single(number))[0] for number in range(3)]
    end = free[0][2]
    told = Loaded(
        speaking.model,
        SimpleNamespace(tokenizer=SimpleNamespace(eos_token_id=end, pad_token_id=0)),
        speaking.family,
        {},
    )
    noted = shard.Answers()
    (batch,) = noted.noted(batches.answered(told, [replace(prompts, rows=(2, 0, 1))], NEW))
    expected = [one[: one.index(end)] if end in one else one for one in free]
    ended = [end if end in one else -1 for one in free]
    assert batch.ended == tuple(ended)
    arrays = noted.arrays()
    order = [1, 2, 0]
    assert arrays["tokens"].tolist() == [token for row in order for token in expected[row]]
    assert arrays["sample"].tolist() == [place for place, row in enumerate(order) for _ in expected[row]]
    assert arrays["ended"].tolist() == [ended[row] for row in order]


def test_decoding_steps_are_not_counted(speaking, prompts):
    takes = plan.resolve(
        [{"site": "mlp_gate", "where": "all", "keep": "counts"}], speaking.family, speaking.config, "generate"
    )
    (kept,) = run.capture(speaking, takes, batches.answered(speaking, [prompts], NEW))
    (batch,) = batches.answered(speaking, [prompts], NEW)
    assert kept.arrays["seen"] == int(batch.inputs["attention_mask"].sum())
    assert kept.arrays["seen"] > int(prompts.inputs["attention_mask"].sum())


def test_padding_moves_to_the_left_and_nothing_else():
    tensors = {
        "input_ids": torch.tensor([[5, 6, 0], [7, 8, 9]]),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),
    }
    moved = batches.left_padded(tensors)
    assert moved["input_ids"].tolist() == [[0, 5, 6], [7, 8, 9]]
    assert moved["attention_mask"].tolist() == [[0, 1, 1], [1, 1, 1]]


def test_kinds_of_tokens_and_places_of_pictures_move_along():
    tensors = {
        "input_ids": torch.tensor([[5, 6, 0], [7, 8, 9]]),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),
        "token_type_ids": torch.tensor([[1, 0, 0], [0, 1, 1]]),
        "image_input_idx": torch.tensor([[[0, -100]], [[1, 2]]]),
        "qformer_token_type_ids": torch.tensor([[1, 0], [1, 1]]),
    }
    moved = batches.left_padded({key: tensors[key] for key in list(tensors)[:4]})
    assert moved["token_type_ids"].tolist() == [[0, 1, 0], [0, 1, 1]]
    assert moved["image_input_idx"].tolist() == [[[1, -100]], [[1, 2]]]
    longer = batches.appended(Batch((0, 1), tensors), [[3], [3, 4]]).inputs
    assert longer["token_type_ids"].tolist() == [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0]]
    assert longer["qformer_token_type_ids"].tolist() == [[1, 0], [1, 1]]


def test_an_empty_answer_leaves_its_row_as_it_was():
    tensors = {
        "input_ids": torch.tensor([[5, 6, 0], [7, 8, 9]]),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),
    }
    batch = batches.appended(Batch((4, 2), tensors), [[], [3]])
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 0, 0], [7, 8, 9, 3]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch.starts == (2, 3)
    assert places.positions("answer", batch, 90).tolist() == [[False] * 4, [False, False, False, True]]
    assert places.positions("emitting", batch, 90).tolist() == [[False] * 4, [False, False, True, False]]


def test_an_answer_is_not_looked_at_where_none_is_written(tiny):
    with pytest.raises(VlmscopeError, match="none is written") as caught:
        plan.resolve([{"site": "mlp_gate", "where": "answer", "keep": "values"}], tiny.family, tiny.config)
    assert "run: generate" in str(caught.value)


def test_two_layers_of_one_site_are_two_takes(tiny):
    takes = plan.resolve(
        [{"site": f"mlp_gate[{layer}]", "where": "all", "keep": "counts"} for layer in (1, 2)], tiny.family, tiny.config
    )
    assert [take.name for take in takes] == ["mlp_gate[1].all.counts", "mlp_gate[2].all.counts"]
