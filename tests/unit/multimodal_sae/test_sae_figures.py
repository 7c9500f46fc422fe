"""What is drawn of latents: cards of steered answers, concepts, overlays, exported pictures."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.attribution import probe
from vlmscope.multimodal_sae.cache import examples
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain.naming import Kept
from vlmscope.multimodal_sae.figures import cards as figures_cards
from vlmscope.multimodal_sae.figures import choice as figures_choice
from vlmscope.multimodal_sae.figures import image_activations
from vlmscope.multimodal_sae.figures import job as figures_job
from vlmscope.multimodal_sae.figures import latents as figures_latents
from vlmscope.multimodal_sae.schemas import SCORED, STEERING
from vlmscope.multimodal_sae.score.classes import CLASSES
from vlmscope.multimodal_sae.steer import categories as steer_categories
from vlmscope.multimodal_sae.steer import shares as steer_shares
from vlmscope.samples import SCHEMA, Sample, table
from vlmscope.settings.multimodal_sae import MultimodalSAE
from vlmscope.show import overlays
from vlmscope.show import steer_cards as show_cards
from vlmscope.stats import Draws
from vlmscope.store import files, tables

GRID, SIZE, PICTURES = 4, 16, 8


class Echo:
    """Answers in turn, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def say(self, system, parts, most=0):
        self.asked.append(parts[0])
        return self.answers.pop(0)


# ---- what became of answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("original", "steered", "wanted"),
    [
        ("a dog", "a dog", "no_effect"),
        ("a dog", "two Cats", "names"),
        ("a cat", "a cat and a cat", "names"),
        ("a cat", "a red cat", "unrelated"),
        ("a dog", "a catalogue", "unrelated"),
    ],
)
def test_words_tell_what_became_of_an_answer(original, steered, wanted):
    assert steer_categories.by_words("cat", original, steered) == wanted


def test_nothing_is_named_where_nothing_is_said_to_be_stood_for():
    assert steer_categories.by_words("", "a dog", "a cat") == "unrelated"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("2", 2), (" Answer: 4.", 4), ("10", 10), ("0", None), ("11", None), ("2 or 3", None), ("", None)],
)
def test_a_number_is_read_only_where_it_is_the_only_one(text, wanted):
    assert steer_categories.number(text, 10) == wanted


def test_a_judge_is_told_what_the_latent_stands_for_and_is_asked_once_about_equal_answers(tmp_path):
    echo, kept = Echo("3", "7", "no idea", "1"), Kept(tmp_path / "state", "x")
    judge = steer_categories.Judge(echo, "judge", True, kept)
    assert [judge.of("rain", "a dog", "a wet dog") for _ in range(2)] == [("reasons", 7)] * 2
    assert judge.of("rain", "a dog", "two cars") == ("unclear", 1)
    assert len(echo.asked) == 4 and all("Thing: rain" in one for one in echo.asked)
    again = steer_categories.Judge(Echo(), "judge", True, Kept(tmp_path / "state", "x"))
    assert again.of("rain", "a dog", "a wet dog") == ("reasons", 7)


def test_an_answer_that_stayed_has_no_effect_whatever_a_judge_says(tmp_path):
    judge = steer_categories.Judge(Echo(), "judge", False, Kept(tmp_path / "state", "x"))
    assert judge.of("rain", "a dog", "a dog") == ("no_effect", None)


def steered(feature, kind, texts, value=50.0, word="cat"):
    return [
        {
            "word": word,
            "kind": kind,
            "feature": feature,
            "prompt": "q",
            "image": f"i{k}" if k < 4 else "",
            "value": value,
        }
        | {"mode": "replace", "positions": "prefill", "original": "a dog", "steered": text}
        | {"in_picture": k == 0 if k < 4 else None, "category": ""}
        for k, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def judged():
    found = steered(3, "found", ["a cat", "a cat", "a dog", "a cat", "a cat"])
    found += steered(3, "found", ["a dog"] * 5, value=10.0)
    found += steered(9, "random", ["a dog", "a dog", "a cow", "a cat", "a dog"])
    found += [dict.fromkeys(STEERING) | {"kind": "rebuilt", "mode": "replace", "original": "a", "steered": "b"}]
    rows = pl.DataFrame(found, schema=STEERING)
    return steer_categories.rows(rows, steer_categories.Judge(None, "words", True))


def test_shares_leave_out_pictures_that_show_the_thing(judged):
    by = {(one["value"], one["measure"]): one for one in steer_shares.table(judged, Draws(200, 0)).to_dicts()}
    names = by[50.0, "names"]
    assert (names["n"], names["pictures"], names["held"], names["random"]) == (4, 4, 0.75, 0.25)
    assert names["more"] == 0.5 and names["more_low"] <= 0.5 <= names["more_high"]
    assert by[50.0, "unrelated"]["random"] == 0.25 and by[10.0, "no_effect"]["held"] == 1
    assert sum(by[50.0, one]["held"] for one in (*steer_shares.CATEGORIES, "unclear")) == pytest.approx(1)
    # Words give no relevance, so there is no row of it.
    assert (50.0, "relevance") not in by and judged["relevance"].null_count() == len(judged)


def test_relevance_is_a_mean_beside_that_of_random_latents(judged):
    rated = judged.with_columns(relevance=pl.when(pl.col("kind") == "random").then(2).otherwise(8).cast(pl.Int64))
    found = steer_shares.table(rated, Draws(50, 0)).filter(measure="relevance", value=50.0).row(0, named=True)
    assert (found["held"], found["random"], found["more"]) == (8, 2, 6)


# ---- cards -------------------------------------------------------------------------------------------------------

CARD = {"mode": "add", "value": 0.0, "pictures": 2}


def picture(name):
    return Image.new("RGB", (8, 6), (40 * int(name[1:]), 9, 9))


def test_a_card_shows_the_first_pictures_without_the_thing_and_the_same_questions_under_a_random_latent(judged):
    card = figures_cards.card(judged, 3, CARD, picture)
    # Mode add was not tried; the largest value is 50.
    assert (card["mode"], card["value"], card["description"]) == ("replace", 50.0, "cat")
    assert [one["picture"].getpixel((0, 0))[0] if one["picture"] else None for one in card["examples"]] == [
        40,
        80,
        None,
    ]
    assert [one["control"]["steered"] for one in card["examples"]] == ["a dog", "a cow", "a dog"]
    dose = {(one["held"], one["value"]): (one["named"], one["n"]) for one in card["dose"]}
    assert dose == {(True, 50.0): (3, 4), (True, 10.0): (0, 4), (False, 50.0): (1, 4)}
    assert all(one["low"] <= one["share"] <= one["high"] for one in card["dose"])


@pytest.mark.parametrize(("feature", "settings", "told"), [(9, CARD, "3"), (3, CARD | {"value": 7.0}, "10, 50")])
def test_a_card_that_cannot_be_drawn_says_which_can(judged, feature, settings, told):
    with pytest.raises(VlmscopeError, match=told):
        figures_cards.card(judged, feature, settings, picture)


def test_cards_are_of_latents_that_were_held_for_a_thing(judged):
    assert figures_cards.features(judged, 5) == [3] and figures_cards.features(judged, 0) == []


def test_a_card_is_drawn_whatever_the_answers_are(judged, tmp_path):
    hostile = judged.with_columns(steered=pl.lit("$\\frac{x}$ \u0007" + "word " * 200), prompt=pl.lit("a $ b $ c"))
    show_cards.draw(figures_cards.card(hostile, 3, CARD, picture), "m", tmp_path / "card.png", tmp_path / "card.svg")
    with Image.open(tmp_path / "card.png") as drawn:
        assert min(drawn.size) > 300


# ---- which latents, and their pictures ---------------------------------------------------------------------------


def named(**columns):
    row = dict.fromkeys(CLASSES) | {"coder": "trained", "kind": "object", "threshold": 0.0, "low": 0.1, "high": 0.9}
    return row | columns


def scored(**columns):
    return dict.fromkeys(SCORED) | {"coder": "trained", "explainer": "oracle", "concept": "object"} | columns


CLASS_ROWS = [
    named(word="car", latent=0, iou=0.5),
    named(word="dog", latent=1, iou=0.7),
    named(word="cat", latent=1, iou=0.6),
    named(word="car", coder="untrained", latent=2, iou=0.2),
    named(word="mean", iou=0.6),
]
NAME_ROWS = [
    scored(latent=0, refined="wheel", iou=0.3, iou_random=0.1, iou_shuffled=0.1),
    scored(latent=2, refined="sky", iou=0.2, iou_random=0.1, iou_shuffled=0.3),
    scored(latent=4, refined=explain_prompts.REFUSAL),
]
PAIRS = (("steering", 3), ("iou_example", 5))
EXPLAINED = pl.DataFrame(NAME_ROWS, schema=SCORED)


def test_concepts_are_the_best_words_each_latent_once():
    found = figures_choice.concepts(pl.DataFrame(CLASS_ROWS, schema=CLASSES), EXPLAINED)
    assert [(one["name"], one["latent"], one["untrained"]) for one in found] == [("dog", 1, None), ("car", 0, 0.2)]


def test_without_masks_concepts_are_the_best_names():
    found = figures_choice.concepts(pl.DataFrame(schema=CLASSES), EXPLAINED)
    assert [(one["name"], one["latent"], one["by"]) for one in found] == [("wheel", 0, "oracle"), ("sky", 2, "oracle")]


def test_targets_are_the_figures_of_chosen_latents(tmp_path):
    own = MultimodalSAE(figures={"judge": {"by": "local"}, "named": False})
    config = SimpleNamespace(multimodal_sae=own, run=SimpleNamespace(multimodal_sae=["m", "n"]))
    files.write_json({"steering": [3], "iou_example": [5], "concepts": []}, tmp_path / "chosen.json")
    chosen = SimpleNamespace(output=SimpleNamespace(chosen=str(tmp_path / "chosen.json")))
    made = SimpleNamespace(multimodal_sae_choose=SimpleNamespace(get=lambda model: chosen))
    job = figures_job.Inputs(config, made)
    names = [f"results/multimodal_sae/{model}/figures/{name}_{one}.png" for model in "mn" for name, one in PAIRS]
    assert job.chosen(None) == names
    here, there = (SimpleNamespace(system=name, model="n") for name in ("multimodal_sae", "mmneuron"))
    assert job.listed(here) == names[2:] and job.listed(there) == []
    assert job.judge(here) == [f"results/models/{own.explain.model}/model.json"] and job.names(here) == []


@pytest.fixture(scope="module")
def files_of_cache(tmp_path_factory):
    """Pictures with a red car whose patch latent 0 fires on; latent 1 is silent."""
    root, rows = tmp_path_factory.mktemp("figures"), []
    runs = {"size": [SIZE, SIZE], "counts": [4, 4, 12, 4, 12, 4, 12, 4, 12 * SIZE + 8]}
    objects = [{"class": "car", "crowd": False, "segmentation": runs}]
    for number in range(PICTURES):
        pixels = np.full((SIZE, SIZE, 3), 100 + number, np.uint8)
        pixels[4:8, 0:4] = (214, 40, 40)
        Image.fromarray(pixels).save(root / f"{number}.png")
        answer = json.dumps({"image_id": number, "objects": objects})
        rows.append(Sample(f"s-{number}", "d", "train", number, "g", (f"{number}.png",), SIZE, SIZE, "", (), answer))
    tables.write(table(rows), root / "train.parquet", SCHEMA)
    raw = {"format": "vlmscope.raw/1", "kind": "coco_objects", "source": "drawn", "root": str(root), "digest": "x"}
    files.write_json(raw, root / "raw.json")
    shape = {"latents": 2, "k": 1, "base": GRID * GRID, "dtype": "float32"}
    names = [one.sample for one in rows]
    with cache_files.published(root / "cache.h5", "model.layers.1", names, {"model": "m"}, **shape) as writer:
        for number in range(PICTURES):
            idx, val = np.zeros((GRID * GRID, 1), int), np.zeros((GRID * GRID, 1), np.float32)
            val[4, 0] = 1.0 + number
            writer.add(idx, val, look=str(number))
    return root


ALBUM = {"shown": 2, "size": SIZE, "segmenter": "truth", "seed": 0}


def reads(root):
    """What the rules read."""
    found = {name: str(root / f"{name}.csv") for name in ("classes", "explanations")}
    found |= {"chosen": str(root / "chosen.json"), "cache": str(root / "cache.h5"), "segmenters": []}
    return SimpleNamespace(**found, raws=[str(root / "raw.json")], samples=[str(root / "train.parquet")])


def test_rows_of_concepts_have_the_region_the_true_one_and_their_agreement(files_of_cache):
    root = files_of_cache
    chosen = [
        {"latent": 0, "name": "car", "concept": "object", "threshold": 7.5, "iou": 0.5, "low": None, "untrained": 0.1}
    ]
    files.write_json({"concepts": chosen}, root / "chosen.json")
    row = figures_latents.concepts_from_files(reads(root), ALBUM)[0]
    assert row["label"] == ["car", "latent 0, object", "IoU 0.50", "untrained: 0.10"]
    # Held-out pictures are the odd ones; 7 is above the threshold, 5 is not.
    assert [one["title"] for one in row["panels"]] == ["IoU 1.00", "IoU 0.00"]
    assert row["panels"][0]["values"][1, 0] == 8 and row["panels"][0]["target"][4:8, 0:4].all()


def test_an_example_has_random_pictures_beside_it_and_is_drawn(files_of_cache, tmp_path):
    root, out = files_of_cache, tmp_path / "example.png"
    tables.write(pl.DataFrame(CLASS_ROWS, schema=CLASSES), root / "classes.csv", CLASSES)
    tables.write(pl.DataFrame(schema=SCORED), root / "explanations.csv", SCORED)
    rows = figures_latents.example_from_files(0, reads(root), ALBUM)
    assert rows[0]["label"] == ["car", "latent 0", "named by: masks"] and "patches themselves 1.00" in rows[1]["label"]
    assert [len(one["panels"]) for one in rows] == [2, 2, 2, 2]
    overlays.draw(rows, "title $x$", "note", out)
    with Image.open(out) as drawn:
        assert drawn.format == "PNG" and min(drawn.size) > 300
    with pytest.raises(VlmscopeError, match="no held-out picture"):
        figures_latents.example_from_files(1, reads(root), ALBUM)
    with pytest.raises(VlmscopeError, match="no name"):
        figures_latents.example_from_files(77, reads(root), ALBUM)


def test_a_shaded_picture_is_dark_where_the_latent_is_silent_and_as_it_is_where_it_is_highest():
    values = np.array([[0.0, 1.0], [2.0, -3.0]])
    found = overlays.shaded(Image.new("RGB", (4, 4), (200, 200, 200)), values)
    assert found[0, 0, 0] == found[3, 3, 0] == int(200 * overlays.DARK) and found[3, 0, 0] == 200
    assert found[0, 0, 0] < found[0, 3, 0] < 200


def test_patches_need_not_make_a_square(tmp_path):
    panel = {
        "picture": Image.new("RGB", (8, 4)),
        "values": np.eye(2, 4),
        "target": np.eye(8) > 0,
        "title": "two\nlines",
    }
    overlays.sheets({"a": [{"label": ["x", "y"], "panels": [panel]}]}, "t", "n", str(tmp_path))
    with Image.open(tmp_path / "a.png") as drawn:
        assert min(drawn.size) > 200


def test_exported_masks_and_overlays_lose_nothing(files_of_cache, tmp_path):
    root = files_of_cache
    settings = {"latents": [0], "count": 5, "examples": 3, "size": SIZE}
    image_activations.from_files(
        str(root / "cache.h5"), [str(root / "raw.json")], [str(root / "train.parquet")], settings, str(tmp_path)
    )
    home = tmp_path / "model_layers_1" / "model.layers.1_feature0"
    grid = np.zeros((GRID, GRID), np.float32)
    grid[1, 0] = 1
    with Image.open(home / "masks" / "0_mask.png") as mask, Image.open(root / "7.png") as picture:
        assert np.array_equal(mask, examples.mask(grid, SIZE))
        with Image.open(home / "activated_images" / "top0_activated.png") as overlay:
            assert np.array_equal(overlay, examples.masked(picture, grid, SIZE))
        with Image.open(home / "images" / "top_0.png") as kept:
            assert np.array_equal(kept, picture)
    index = tables.read(tmp_path / "index.csv", image_activations.INDEX)
    assert index["image"].to_list() == ["s-7", "s-6", "s-5"] and len(list(home.rglob("*.png"))) == 9


@pytest.mark.parametrize("latent", [-1, 2])
def test_latents_that_are_not_there_are_refused(files_of_cache, tmp_path, latent):
    settings = {"latents": [latent], "count": 5, "examples": 3, "size": SIZE}
    with pytest.raises(VlmscopeError, match="0 to 1"):
        image_activations.from_files(
            str(files_of_cache / "cache.h5"),
            [str(files_of_cache / "raw.json")],
            [str(files_of_cache / "train.parquet")],
            settings,
            str(tmp_path),
        )


# ---- probes, classes ---------------------------------------------------------------------------------------------


def test_maps_of_a_probe_are_values_behind_the_selection_row_by_row():
    coder = SparseCoder(Config(8, 32, 3), seed=1).requires_grad_(False).eval()
    x = torch.randn(9, 8, generator=torch.Generator().manual_seed(0))
    acts, index = coder.select(coder.pre(x))
    dense = torch.zeros(9, 32).scatter(1, index, acts)
    found = probe.maps(coder, x, [4, 0])
    np.testing.assert_allclose(found.reshape(2, 9), dense[:, [4, 0]].T.numpy(), rtol=1e-6)
    assert not len(probe.maps(coder, x[:8], [4]))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("Colour.", "color"), (" color\n", "color"), ("Object", "object"), ("thing", "other"), ("", "other")],
)
def test_classes_are_spelled_one_way_and_unknown_ones_are_other(text, wanted):
    assert explain_prompts.concept(text) == wanted
