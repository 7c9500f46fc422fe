"""The remaining tables of the embedded LLaVA-NeXT, from files to files, with an autoencoder that learnt little."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vlmscope import raw, samples
from vlmscope.datasets import base
from vlmscope.models.load import describe, load
from vlmscope.multimodal_sae import schemas
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.quality import downstream
from vlmscope.multimodal_sae.tables import hallusion, hallusion_tables, small, small_scores, white
from vlmscope.multimodal_sae.train import job
from vlmscope.settings.multimodal_sae.tables import SMALL, Downstream, Hallusion, White
from vlmscope.stats import Draws
from vlmscope.store import files, tables

pytestmark = pytest.mark.slow
WEIGHTS = Path(__file__).resolve().parents[3] / "weights"
LAYERS, HOOK = [0, 1], "model.layers.1"
TRAIN = SMALL.model_dump() | {"latents": 64, "k": 4, "steps": 30, "batch": 128, "buffer": 512, "warmup": 2, "seed": 0}
TRAIN |= {"log_every": 10}
TALK = {"by": "none", "url": "", "model": "", "key": ""}
EXPLAIN = {
    "by": ["oracle"],
    "latents": 3,
    "explainer": TALK,
    "refiner": TALK,
    "labeller": TALK,
    "judge": TALK,
    "style": "each",
    "question": "",
    "max_new_tokens": 4,
    "examples": 2,
    "size": 32,
    "least": 0.0,
    "segmenter": "truth",
    "box_threshold": 0.3,
    "prefix": "a ",
    "scorers": [],
    "random_iou": 2,
    "random_clip": 2,
    "resamples": 20,
    "seed": 0,
}


def drawn(folder, kind, count, split=""):
    """Manifest and sample table of a few drawn pictures."""
    benchmark = base.load(kind)
    name = split or benchmark.SPLITS[0]
    files.write_json(raw.draw_benchmark(kind, folder / kind, {"val": name}, {"val": count}), folder / kind / "raw.json")
    rows = benchmark.read(folder / kind, name, name=kind)
    tables.write(samples.table(rows), folder / kind / "val.parquet", samples.SCHEMA)
    return str(folder / kind / "raw.json"), str(folder / kind / "val.parquet")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for name, family in (("llava-next-llama3", "llava_next_llama3"), ("clip", "clip")):
        about = {"family": family, "checkpoint": name, "revision": "", "dtype": "float32"}
        (folder / name).mkdir()
        files.write_json(describe(WEIGHTS / name, about), folder / name / "model.json")
    return folder


@pytest.fixture(scope="module")
def loaded(home):
    return load(home / "llava-next-llama3" / "model.json")


@pytest.fixture(scope="module")
def trained(home, loaded):
    """Folder of small autoencoders of two layers."""
    manifest, table = drawn(home, "vqav2", 12)
    objects = drawn(home, "coco_objects", 24)
    told = {"prompt": "chat", "begin": "", "samples": 12, "vision_positions": 0}
    small.from_files(
        loaded,
        data={"kinds": ["vqav2"], "settings": told, "raws": [manifest], "tables": [table]},
        cached={"raws": [objects[0]], "tables": [objects[1]], "batch": 16, "code": "c"},
        settings={"site": "resid_post", "layers": LAYERS, "held": True, "train": TRAIN, "samples": 24, "scope": "base"}
        | {"dtype": "float32"},
        target=str(home / "small"),
    )
    return home / "small"


@pytest.fixture(scope="module")
def weights(trained):
    return str(trained / HOOK / "trained" / HOOK / "sae.safetensors")


def test_layers_have_autoencoders_caches_and_scores(home, trained):
    log = tables.read(trained / "train_log.csv", small.LOG)
    assert log["layer"].to_list() == [0] * 3 + [1] * 3 and log["tokens"].max() == 30 * 128
    assert list(small.caches(trained)) == ["model.layers.0", HOOK]
    with (
        cache_files.opened(trained / HOOK / "trained" / "cache.h5") as own,
        cache_files.opened(trained / HOOK / "untrained" / "cache.h5") as control,
        cache_files.opened(trained / "model.layers.0" / "trained" / "cache.h5") as other,
    ):
        assert own.samples == control.samples and len(own.samples) == 24
        assert own.about["site"] == "resid_post[1]" and other.about["site"] == "resid_post[0]"
        assert not np.array_equal(own.firing, control.firing) and not np.array_equal(own.firing, other.firing)
    small_scores.write(
        str(trained),
        raws=[str(home / "coco_objects" / "raw.json")],
        tables=[str(home / "coco_objects" / "val.parquet")],
        models={"clip": str(home / "clip" / "model.json"), "segmenters": []},
        settings=EXPLAIN,
        talkers=lambda role: None,
        state=str(home / "state"),
        code="c",
        batch=16,
        device="cpu",
        targets={"scores": str(home / "scores.csv"), "labels": str(home / "labels.parquet")},
    )
    scores = tables.read(home / "scores.csv", small_scores.SCORES)
    assert set(scores["layer"]) == {0, 1} and set(scores["metric"]) == {*small_scores.METRICS, "iou_classes"}
    labels = pl.read_parquet(home / "labels.parquet")
    assert len(labels) == 2 * 2 * 3 and set(labels["coder"]) == set(small.CODERS)
    assert not list((home / "state").iterdir())


def test_the_model_as_it_is_answers_better_than_with_states_of_zero(home, loaded, weights):
    manifest, table = str(home / "vqav2" / "raw.json"), str(home / "vqav2" / "val.parquet")
    told = {"prompt": "chat", "begin": "", "samples": 12, "vision_positions": 0}
    asked = {"kinds": ["vqav2"], "settings": told, "raws": [manifest], "tables": [table]}
    work = job.Job("resid_post[1]", TRAIN, "", "", model="", data=asked, batch=16)
    for keep_first in (False, True):
        own = Downstream(bootstrap=20, fitted=500, keep_first=keep_first).model_dump()
        found, answers = downstream.from_files(loaded, weights=weights, job=work, asked=asked, settings=own)
        by = {row["coder"]: row for row in found.to_dicts()}
        assert list(by) == ["clean", "trained", "untrained", "pca", "pca_topk", "zero"]
        assert by["clean"]["exact"] >= 0.5 > by["zero"]["exact"] and by["clean"]["same_answer"] == 1
        assert len(answers) == 12 * len(by) and set(answers.filter(coder="clean")["sample"]) == set(answers["sample"])


def test_answers_about_a_white_picture_are_judged_by_their_words(trained, loaded, weights, tmp_path):
    rows = [
        {"coder": "trained", "explainer": "oracle", "latent": latent, "pictures": [], "explanation": word}
        | {"refined": word, "concept": "color"}
        for latent, word in ((3, "red"), (5, "blue"))
    ]
    tables.write(pl.DataFrame(rows, schema=schemas.LABELS), tmp_path / "labels.parquet", schemas.LABELS)
    own = White(random=1, max_new_tokens=4).model_dump()
    found = white.from_files(
        loaded,
        weights=weights,
        cached=str(trained / HOOK / "trained" / "cache.h5"),
        labels=str(tmp_path / "labels.parquet"),
        settings={"site": "resid_post[1]", "white": own, "judge": TALK},
        judge=None,
        rows=8,
    )
    assert found["kind"].to_list() == ["steering"] * 2 + ["random"] * 2 and found["latent"].to_list() == [3, 5, 3, 5]
    assert found["feature"].to_list()[:2] == [3, 5] and len(set(found["original"])) == 1
    assert set(found["relevance"]) <= {1, 10} and set(found["judge"]) == {"words_stand_in"}


def test_answers_change_by_the_latents_that_speak_against_them(home, loaded, weights):
    manifest, table = drawn(home, "hallusion_bench", 12, "VD")
    own = Hallusion(studied=3, questions=40, random=1).model_dump()
    settings = {"site": "resid_post[1]", "hallusion": own}
    found, counts = hallusion.from_files(loaded, weights=weights, raw=manifest, table=table, settings=settings, rows=16)
    truths = {one.sample: json.loads(one.answer)["answer"] for one in samples.read(table)}
    assert counts["asked"] == min(40, len(truths)) and counts["wrong"] < counts["clear"] <= counts["asked"]
    assert set(found["condition"]) == set(hallusion_tables.CONDITIONS)
    for row in found.to_dicts():
        assert row["truth"] == truths[row["sample"]]
        assert len(row["latents"].split()) <= own["latents"]
        assert row["outcome"] == int(hallusion.verdict(row["steered"]) == row["truth"]) - int(
            row["said"] == row["truth"]
        )
    assert set(hallusion_tables.table11(found, counts, Draws(20, 0))["among"]) >= {"right", "published"}
