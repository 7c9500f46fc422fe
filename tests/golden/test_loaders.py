"""The readers against what the released loaders hand out (mmneuron.md 11, check 5)."""

import hashlib
import json
from pathlib import Path

import pytest

from vlmscope import samples
from vlmscope.datasets import base
from vlmscope.mmneuron import metrics
from vlmscope.models.base import family

HERE = Path(__file__).parent / "mmneuron"
GOLDEN = json.loads((HERE / "loaders.json").read_text(encoding="utf-8"))
KINDS = {base.load(kind).DOMAIN: kind for kind in metrics.KINDS}
# The released loader reads the PMC-VQA table twice.
OPTIONS = {"med": {"official_repeat": True}}
FOLDERS = {"com": "vqav2"}


@pytest.mark.parametrize("key", sorted(GOLDEN))
def test_order_index_prompt_answer_and_picture_are_those_of_the_released_loader(key):
    domain, split, style = key.split("/")
    module, root = base.load(KINDS[domain]), HERE / "benchs" / FOLDERS.get(domain, domain)
    read = list(module.read(root, split, name=domain, **OPTIONS.get(domain, {})))
    expected = GOLDEN[key]
    assert [one.index for one in read] == [row["index"] for row in expected]
    assert [module.prompt(one, style) for one in read] == [row["prompt"] for row in expected]
    assert [json.loads(one.answer) for one in read] == [row["answer"] for row in expected]
    assert [[one.width, one.height] for one in read] == [row["image_size_wh"] for row in expected]
    pictures = [samples.picture(one, root) for one in read]
    assert [list(picture.size) for picture in pictures] == [row["image_size_wh"] for row in expected]
    # Decoders of JPEG differ between versions: VQAv2 is compared by size alone.
    if domain != "com":
        digests = [hashlib.sha1(picture.tobytes()).hexdigest()[:16] for picture in pictures]
        assert digests == [row["image_sha1"] for row in expected]


@pytest.mark.parametrize("key", [key for key in sorted(GOLDEN) if key.endswith("/full")])
@pytest.mark.parametrize(("told", "name"), [("llava", "llava_next"), ("blip", "instructblip")])
def test_the_models_of_mmneuron_are_asked_in_the_words_of_the_released_code(key, told, name):
    domain, split, style = key.split("/")
    module, root = base.load(KINDS[domain]), HERE / "benchs" / FOLDERS.get(domain, domain)
    read = module.read(root, split, name=domain, **OPTIONS.get(domain, {}))
    assert [family(name).chat(module.prompt(one, style)) for one in read] == [row[told] for row in GOLDEN[key]]


def test_every_benchmark_has_a_golden():
    assert {key.split("/")[0] for key in GOLDEN} == set(KINDS)


def test_embedded_pages_match_their_rows():
    root = HERE / "benchs" / "doc"
    read = list(base.load("docvqa").read(root, "train", name="doc"))
    assert len({one.images for one in read}) == len(read)
    assert all(one.images[0].startswith("data/train-00000-of-00001.parquet#") for one in read)
