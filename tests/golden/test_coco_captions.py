"""Scores of captions against the COCO caption evaluation."""

import json
from pathlib import Path

import numpy as np
import pytest

from vlmscope.metrics import captions

GOLDEN = json.loads((Path(__file__).parent / "coco_captions.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("text", "wanted"), GOLDEN["tokens"])
def test_tokens(text, wanted):
    assert " ".join(captions.tokens(text)) == wanted


@pytest.fixture(params=GOLDEN["cases"], ids=lambda case: f"{len(case['res'])} images")
def case(request):
    told = request.param
    return told | {
        "said": [text.split() for text in told["res"]],
        "given": [[text.split() for text in every] for every in told["gts"]],
    }


def test_cider_and_rouge(case):
    np.testing.assert_allclose(captions.cider(case["said"], case["given"]), case["ciders"], atol=1e-12)
    np.testing.assert_allclose(captions.rouge_l(case["said"], case["given"]), case["rouges"], atol=1e-12)


@pytest.mark.parametrize("order", captions.ORDERS)
def test_bleu_of_sets_and_of_images(case, order):
    parts = captions.bleu_parts(case["said"], case["given"])
    assert captions.bleu(parts.sum(axis=0), order) == pytest.approx(case["bleu"][order - 1], abs=1e-12)
    np.testing.assert_allclose(captions.bleu(parts, order), case["bleus"][order - 1], atol=1e-12)
