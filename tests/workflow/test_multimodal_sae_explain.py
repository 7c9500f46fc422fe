"""Names of latents in the workflow: tables hold together, changes make anew what they touch and nothing else."""

import csv
import json

import pytest
from checkout import Checkout

HOME = "results/multimodal_sae/llava-next-llama3"
TABLE = f"{HOME}/table1_iou_clip.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    checkout = Checkout.copy(tmp_path_factory.mktemp("explain") / "vlmscope")
    checkout.run(TABLE, "--cores", "1")
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
@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("", {}),
        ("multimodal_sae.explain.random_clip=3", {"multimodal_sae_score"}),
        ("multimodal_sae.explain.prefix=the ", {"multimodal_sae_score"}),
        ("multimodal_sae.explain.max_new_tokens=3", {"multimodal_sae_name", "multimodal_sae_score"}),
    ],
)
def test_a_change_makes_anew_what_it_touches(made, change, jobs):
    assert set(made.planned(change, (TABLE,))) == set(jobs)
