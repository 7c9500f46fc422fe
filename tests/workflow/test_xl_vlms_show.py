"""Pages of XL-VLMs from captions to slider: a small run, and what a change makes anew."""

import json
import re

import pytest
from checkout import Checkout

HOME = "results/xl_vlms/llava15"
PAGES = tuple(f"{HOME}/{name}.html" for name in ("concepts_dog_snmf", "local_dog", "steering"))
TARGETS = (*PAGES, f"{HOME}/concepts_dog_kmeans.png")
LESS = (
    "datasets.coco.scenes={train: 300, val: 60}; datasets.coco.limit={train: 300, val: 60}; "
    "xl_vlms.dictionaries.sets=[dog]; xl_vlms.dictionaries.k=4; xl_vlms.dictionaries.sweep=[2]; "
    "xl_vlms.dictionaries.bootstrap=20; xl_vlms.captions.images=6; xl_vlms.captions.alphas=[1.0]; "
    "xl_vlms.captions.bootstrap=20"
)
CARDS, SINGLE, SLIDER, FIGURE = (
    {f"xl_vlms_{name}": 1} for name in ("concepts_page", "local_page", "steering_page", "concepts_figure")
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the pages of a model were made."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("pages") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1", overlays=checkout.overlays(LESS))
    return checkout


def data_of(checkout, path):
    text = checkout.read(path).decode()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_pages_hold_concepts_samples_and_answers_and_stay_small(shown):
    cards, single, slider = (data_of(shown, path) for path in PAGES)
    assert len(cards["concepts"]) == 4 and all(one["images"] and one["words"] for one in cards["concepts"])
    assert sum(one["size"] for one in cards["concepts"]) == cards["quality"]["n"] > 4
    assert set(cards["by"]) == set(cards["random"]) == {"CS", "BS"}
    assert single["samples"] and all("dog" in one["text"] for one in single["samples"])
    tasks = {one["task"] for one in slider["items"]}
    assert tasks == {"targeted", "type", "caption"}
    assert all(one["effects"] and one["answers"] for one in slider["items"])
    assert all(len(shown.read(path)) < 400_000 for path in PAGES)
    assert shown.read(TARGETS[-1]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("xl_vlms.show.pixels=64", CARDS | SINGLE | SLIDER),
        ("xl_vlms.show.questions=2", SLIDER),
        ("xl_vlms.show.samples=2", SINGLE),
        ("models.llava15.label=Other", CARDS | SINGLE | SLIDER | FIGURE),
    ],
)
def test_a_change_makes_anew_what_depends_on_it(shown, change, again):
    found = {key: count for key, count in shown.planned(f"{LESS}; {change}", TARGETS).items() if count}
    # A figure of what was asked for elsewhere may carry the label too.
    assert {key: count for key, count in found.items() if key.endswith(("_page", "_figure"))} == again
    assert not {"capture_shard", "xl_vlms_decompose", "xl_vlms_steer_answers"} & set(found)


def test_an_edited_template_makes_its_pages_anew(shown):
    with shown.edited("vlmscope/show/templates/xl_steering.js", '"none" ? 0', '"none"  ? 0'):
        assert {key: count for key, count in shown.planned(LESS, TARGETS).items() if count} == SLIDER
    assert not any(shown.planned(LESS, TARGETS).values())
