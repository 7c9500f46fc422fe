"""Names and figures of latents in the workflow: they hold together, changes make anew what they touch alone."""

import csv
import json

import polars as pl
import pytest
from checkout import Checkout
from PIL import Image

HOME = "results/multimodal_sae/llava-next-llama3"
TABLE = f"{HOME}/table1_iou_clip.csv"
CARD, CASES = f"{HOME}/figures/steering_3.png", f"{HOME}/attribution"
RUBRIC, JOINED = f"{HOME}/texts/rubric.csv", "results/data/joined/train.parquet"
PAGES = (f"{HOME}/features", f"{HOME}/text_view.html")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    checkout = Checkout.copy(tmp_path_factory.mktemp("explain") / "vlmscope")
    checkout.run(TABLE, RUBRIC, JOINED, "multimodal_sae_figures", *PAGES, "--cores", "1")
    return checkout


def rows(made, name):
    return list(csv.DictReader(made.read(f"{HOME}/{name}").decode().splitlines()))


@pytest.mark.slow
def test_names_and_tables_hold_together(made):
    named = rows(made, "explanations.csv")
    assert {(row["coder"], row["explainer"]) for row in named} <= {
        (coder, name) for coder in ("trained", "untrained") for name in ("local", "oracle")
    }
    table = rows(made, "table1_iou_clip.csv")
    for row in (one for one in table if one["concept"] == "total" and one["metric"] == "iou"):
        own = [one for one in named if (one["coder"], one["explainer"]) == (row["coder"], row["explainer"])]
        assert int(row["n_features"]) + int(row["n_refused"]) == len(own) <= 3
    published = [row for row in rows(made, "table2_consistency.csv") if row["coder"] == "published"]
    assert [row["total"] for row in published] == ["0.89", "0.75"]
    assert {row["coder"] for row in rows(made, "iou_classes.csv")} >= {"trained", "untrained"}
    about = json.loads(made.read(f"{HOME}/table1_iou_clip.meta.json"))
    assert set(about["checkpoint"]) == {"clip"} and set(about["data"]) == {"objects"}
    assert not list((made.folder / f"{HOME}/labels.state").iterdir())


@pytest.mark.slow
def test_latents_are_named_by_texts_and_names_are_rated(made):
    rated = rows(made, "texts/explanations.csv")
    assert {row["coder"] for row in rated} == {"trained", "untrained"} and len(rated) <= 6
    means = {(row["coder"], row["what"]): row for row in rows(made, "texts/rubric.csv")}
    for coder in ("trained", "untrained"):
        own = [float(row["rubric"]) for row in rated if row["coder"] == coder and row["rubric"]]
        assert int(means[coder, "rubric"]["n_features"]) == len(own)
        assert not own or float(means[coder, "rubric"]["value"]) == pytest.approx(sum(own) / len(own))
    assert json.loads(made.read(f"{HOME}/texts/rubric.meta.json"))["notes"]
    assert not list((made.folder / f"{HOME}/texts/labels.state").iterdir())


@pytest.mark.slow
def test_joined_pictures_are_told_apart_and_counted(made):
    parts = made.read("results/data/joined/parts.csv").decode().splitlines()[1:]
    assert parts[:2] == ["com,train,0,12", "com,train,12,6"] and parts[2].startswith("chats,train,18,")
    # The second part is the beginning of the first one, byte by byte.
    found = pl.read_parquet(made.folder / JOINED)["index"].to_list()
    assert found == [*range(12), *range(18, 18 + int(parts[2].rpartition(",")[2]))]


@pytest.mark.slow
def test_figures_are_those_of_the_chosen_latents(made):
    chosen = json.loads(made.read(f"{HOME}/figures/chosen.json"))
    assert chosen["steering"] == [3] and len(chosen["concepts"]) == len(chosen["iou_example"]) == 1
    names = {f"{kind}_{latent}.png" for kind in ("steering", "iou_example") for latent in chosen[kind]}
    found = {path.name for path in (made.folder / HOME / "figures").glob("*.png")}
    assert found == names | {"concepts.png"}
    steered = [row for row in rows(made, "steering.csv") if row["feature"]]
    judged = rows(made, "steering_categories.csv")
    assert [row["steered"] for row in judged] == [row["steered"] for row in steered]
    assert {row["judge"] for row in judged} == {"words"} and {row["description"] for row in judged} == {"red"}
    cases = {path.name: {one.name for one in path.iterdir()} for path in (made.folder / CASES).glob("sbu-*")}
    assert len(cases) == 2 and set(map(frozenset, cases.values())) == {
        frozenset(["attribution.parquet", "image_top.png", "text.html"])
    }
    for path in (made.folder / HOME / "image_activations").rglob("masks/*.png"):
        with Image.open(path) as mask:
            assert mask.size == (64, 64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "target", "jobs"),
    [
        ("", TABLE, {}),
        ("", "multimodal_sae_figures", {}),
        ("multimodal_sae.explain.random_clip=3", TABLE, {"multimodal_sae_score"}),
        ("multimodal_sae.explain.prefix=the ", TABLE, {"multimodal_sae_score"}),
        ("multimodal_sae.explain.max_new_tokens=3", TABLE, {"multimodal_sae_name", "multimodal_sae_score"}),
        ("multimodal_sae.figures.pictures=1", CARD, {"multimodal_sae_card"}),
    ],
)
def test_a_change_makes_anew_what_it_touches(made, change, target, jobs):
    assert set(made.planned(change, (target,))) == set(jobs)


def data_of(text):
    return json.loads(text.decode().partition('id="data">')[2].partition("</script>")[0])


@pytest.mark.slow
def test_pages_are_made_of_what_is_there(made):
    pages = {path.name for path in (made.folder / HOME / "features").glob("*.html")}
    assert {"index.html", "regions.html"} < pages and len(pages) == 8 + 2
    overview, texts = (data_of(made.read(f"{HOME}/{name}")) for name in ("features/index.html", "text_view.html"))
    assert set(overview["names"]) == {"local", "oracle"} and overview["latents"] == 64
    assert texts["texts"][0]["tokens"][-3:] == ["a", " red", " cat"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("multimodal_sae.show.pixels=32", {"multimodal_sae_features"}),
        ("multimodal_sae.show.tokens=3", {"multimodal_sae_directions", "multimodal_sae_features"}),
        ("multimodal_sae.texts.shown=3", {"multimodal_sae_text_view"}),
        (
            "multimodal_sae.texts.length=8",
            {"multimodal_sae_texts", "multimodal_sae_text_view", "multimodal_sae_features"},
        ),
        ("multimodal_sae.show.parts=[texts]", {"multimodal_sae_features", "multimodal_sae_text_view"}),
    ],
)
def test_a_change_of_pages_makes_anew_what_it_touches(made, change, jobs):
    assert set(made.planned(change, PAGES)) == set(jobs)


BEYOND = tuple(f"{HOME}/beyond/{name}.csv" for name in ("stability", "duplicates", "families", "concepts"))


@pytest.fixture(scope="module")
def beyond(made):
    made.run(*BEYOND, "--cores", "1")
    return made


@pytest.mark.slow
def test_what_lies_beyond_holds_together(beyond):
    pairs = {(row["left"], row["right"]) for row in rows(beyond, "beyond/stability.csv")}
    assert {("seed 0", "seed 1"), ("seed 0", "untrained"), ("seed 0", "random"), ("seed 0", "pca")} <= pairs
    assert {row["coder"] for row in rows(beyond, "beyond/duplicates.csv")} == {"trained", "untrained"}
    assert len(rows(beyond, "beyond/map.csv")) == 64
    # Neither domain neurons nor their counts were asked for.
    assert not rows(beyond, "beyond/neurons.csv") and not (beyond.folder / "results/mmneuron").exists()
    assert beyond.read(f"{HOME}/beyond/map.svg").startswith(b"<?xml")


@pytest.mark.slow
def test_changes_beyond_make_anew_what_they_touch(beyond):
    one, other = "families.families=5", "absorption.share=0.5"
    change = "; ".join(f"multimodal_sae.beyond.{text}" for text in (one, other, "stability.seeds=[2]"))
    jobs = {"families", "duplicates", "retrain", "stability"}
    assert set(beyond.planned(change, BEYOND)) == {f"multimodal_sae_{name}" for name in jobs}
