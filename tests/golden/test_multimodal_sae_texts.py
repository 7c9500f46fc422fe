"""Parsers of answers against the official code (golden README: text_utils.json)."""

import json
from pathlib import Path

import pytest

from vlmscope.multimodal_sae.explain import prompts as texts

GOLDEN = json.loads((Path(__file__).parent / "multimodal_sae/text_utils.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("said", "wanted"), GOLDEN["parse_explanation"].items())
def test_explanations_are_parsed_as_released(said, wanted):
    assert texts.parsed(said) == wanted


@pytest.mark.parametrize(("said", "wanted"), GOLDEN["parse_refined"].items())
def test_refined_ones_are_parsed_as_released(said, wanted):
    assert texts.parsed(said, texts.REFINED) == wanted
