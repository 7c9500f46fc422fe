"""Where answers end, and how they are decoded."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from vlmscope.models import answer

ROOT = Path(__file__).resolve().parents[3]
ROWS = torch.tensor([[5, 6, 7], [8, 9, 10]])


@pytest.fixture(scope="module")
def model():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes, initializer_range=0.5)).eval()


def loaded(model, told, own=2, pad=0):
    """The model, stopped by these ids of its generation settings and by this one of its tokenizer."""
    model.generation_config.eos_token_id = told
    tokenizer = SimpleNamespace(eos_token_id=own, pad_token_id=pad)
    return SimpleNamespace(model=model, processor=SimpleNamespace(tokenizer=tokenizer))


def written(model, told, **tokenizer):
    inputs = {"input_ids": ROWS, "attention_mask": torch.ones_like(ROWS)}
    return answer.new_tokens(loaded(model, told, **tokenizer), inputs, 8)


@pytest.mark.parametrize(
    ("told", "own", "ends"),
    [(None, 2, [2]), (2, 2, [2]), (9, 2, [2, 9]), ([9, 4], 2, [2, 4, 9]), ([2], None, [2]), (None, None, [])],
)
def test_ends_are_those_of_the_generation_settings_and_of_the_tokenizer(told, own, ends):
    plain = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=told))
    assert answer.ends(loaded(plain, told, own)) == ends


def test_each_answer_stops_before_the_first_end_of_either_kind(model):
    whole = written(model, None, own=None)
    assert [len(one) for one in whole] == [8, 8]
    first, second = whole[0][3], whole[1][5]
    for ends in ({"told": [first, second]}, {"told": first, "own": second}, {"told": second, "own": first}):
        expected = [row[: min(row.index(end) for end in (first, second) if end in row)] for row in whole]
        assert written(model, **ends) == expected
        assert expected != whole


def test_an_end_that_is_kept_is_the_last_token(model):
    whole = written(model, None, own=None)
    end = whole[0][3]
    inputs = {"input_ids": ROWS, "attention_mask": torch.ones_like(ROWS)}
    kept = answer.new_tokens(loaded(model, end), inputs, 8, keep_end=True)
    assert kept == [row[: row.index(end) + 1] if end in row else row for row in whole]
    assert kept[0][-1] == end and len(kept[0]) <= 4


def test_a_tokenizer_without_padding_pads_with_an_end(model):
    whole = written(model, None, own=None)
    assert written(model, [whole[0][2]], pad=None)[0] == whole[0][: whole[0].index(whole[0][2])]


def test_the_shipped_model_stops_at_its_tokenizer_s_end_alone():
    from transformers import AutoTokenizer, GenerationConfig

    folder = ROOT / "weights" / "llava"
    model = SimpleNamespace(generation_config=GenerationConfig.from_pretrained(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    shipped = SimpleNamespace(model=model, processor=SimpleNamespace(tokenizer=tokenizer))
    assert answer.ends(shipped) == [tokenizer.eos_token_id]


def test_the_seed_of_a_sample_is_its_own_and_stays():
    assert answer.seed_of(0, "ad", 3) == answer.seed_of(0, "ad", 3) != answer.seed_of(1, "ad", 3)
