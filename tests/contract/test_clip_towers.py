"""The embedded CLIP tells which caption belongs to which drawn picture, and scores words by it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import clip_score
from vlmscope.metrics.clip_towers import Towers
from vlmscope.models import load
from vlmscope.store import files
from vlmscope.world.draw import draw
from vlmscope.xl_vlms.cox.score import STAND_IN, Scorer

ROOT = Path(__file__).resolve().parents[2]
COUNT = 12
SCORES = {"prefix": "", "weight": 2.5, "bertscore": "", "bertscore_layer": 0}


def manifest(folder, name, family):
    about = {"family": family, "checkpoint": f"weights/{name}", "revision": "", "dtype": "float32"}
    told = load.describe(ROOT / "weights" / name, {**about, "quantize": "none", "attention": "auto"})
    files.write_json(told, folder / f"{name}.json")
    return folder / f"{name}.json"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    scenes = [draw("com", 9_000_000 + place) for place in range(COUNT)]
    for place, scene in enumerate(scenes):
        Image.fromarray(scene.image).save(folder / f"{place}.png")
    towers = Towers(manifest(folder, "clip", "clip"), batch=5, device="cpu")
    captions = {str(place): [scene.caption] for place, scene in enumerate(scenes)}
    return folder, scenes, Scorer(towers, folder, captions, SCORES)


def test_captions_fit_their_own_pictures_best(world):
    _, scenes, scorer = world
    names = [f"{place}.png" for place in range(COUNT)]
    scores = scorer.clip(names, [scene.caption for scene in scenes])
    assert scores.shape == (COUNT, COUNT) and scores.min() >= 0
    own, others = np.diag(scores), scores[~np.eye(COUNT, dtype=bool)]
    assert own.mean() > 2 * others.mean()
    # Batches and what is known already change nothing.
    np.testing.assert_allclose(scorer.clip(names[3:4], [scenes[7].caption])[0, 0], scores[3, 7], atol=1e-5)
    images, texts = scorer.towers.images(names[:2], world[0]), scorer.towers.texts([scenes[0].caption])
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(clip_score.clip_score(images, texts)[:, 0], scores[:2, 0], atol=1e-5)


def test_bert_score_is_one_for_the_caption_itself_and_names_the_stand_in(world):
    _, scenes, scorer = world
    scores = scorer.bert(["0", "1"], [scenes[0].caption, "."])
    assert scores[0, 0] == pytest.approx(1, abs=1e-5) and scores[1, 0] < 1 and scores[0, 1] < 0.9
    assert scorer.by == {"CS": "clip", "BS": STAND_IN}


def test_a_model_that_compares_nothing_is_refused(tmp_path):
    with pytest.raises(VlmscopeError, match="does not compare"):
        Towers(manifest(tmp_path, "llava15", "llava"), batch=2, device="cpu")
