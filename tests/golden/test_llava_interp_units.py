"""Filter, token sets and decisions of the released code (llava_interp.md 2.2, 2.5, 2.6)."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from vlmscope.llava_interp.asking import answers, tokens
from vlmscope.llava_interp.asking.selection import Filter, choose

HERE = Path(__file__).parent / "llava_interp"
UNITS = json.loads((HERE / "units.json").read_text())
START = 5


@pytest.mark.parametrize("case", UNITS["filter"], ids=range(len(UNITS["filter"])))
def test_objects_are_chosen_as_released(case):
    objects = [{"class": str(one["category_id"]), **one} for one in case["anns"]]
    chosen = choose(objects, Filter(3, 1000, 2000), (640, 480))
    assert (chosen is not None) == case["kept"]
    assert (chosen and chosen["id"]) == case["chosen_id"]


@pytest.mark.parametrize("case", UNITS["random"], ids=lambda case: f"seed{case['seed']}")
def test_tokens_are_drawn_as_released(case):
    values = random.Random(case["seed"])
    for draw in case["draws"]:
        found = tokens.drawn(values, case["end"] - case["start"], len(draw))
        assert [one + case["start"] for one in found] == draw


@pytest.mark.parametrize("name", ["a", "b", "c", "flat"])
def test_registers_are_the_released_ones(name):
    with np.load(HERE / "units.npz") as file:
        states, expected = file[f"register_in_{name}"][0], file[f"register_out_{name}"]
    assert [one + START for one in tokens.outliers(np.linalg.norm(states, axis=-1))] == expected.tolist()


@pytest.mark.parametrize("case", UNITS["mention"], ids=lambda case: f"{case['text']}-{case['class']}")
def test_mentions_are_found_as_released(case):
    assert answers.mentions(case["text"], case["class"], "official") == case["official"]


@pytest.mark.parametrize("case", UNITS["vqa_answer"], ids=lambda case: repr(case["generated"]))
def test_answers_are_judged_as_released(case):
    # The released code makes the class small before it takes the first piece; the file has the piece of "Bear".
    first = case["first_token"] if case["class"].islower() else "▁bear"
    assert answers.names(case["generated"], first, 1, (), "official") == case["official"]


def test_strict_mentions_are_whole_words():
    for text, name in (("a fork located on a plate", "cat"), ("a scarf", "car"), ("a large beard", "bear")):
        assert not answers.mentions(text, name, "strict")
    for text, name in (("A Cat sits", "cat"), ("two dogs", "dog"), ("traffic lights", "traffic light")):
        assert answers.mentions(text, name, "strict")
    assert answers.mentions("a television", "tv", "strict", {"tv": ["television"]})


def test_strictly_the_empty_answer_never_counts():
    assert not answers.names("", "▁cat", 2, (7, 8), "strict")
    assert answers.names("cat", "▁cat", 8, (7, 8), "strict")
    assert answers.affirms("Yes, there is", "strict") and not answers.affirms("eyes", "strict")
