"""Names and scores from files: a server that fails half way, halves, the best latents of words."""

import http.server
import json
import threading

import numpy as np
import pytest
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.fetch.chat import Server
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import naming as explain_naming
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain import shown as explain_shown
from vlmscope.multimodal_sae.explain import talkers
from vlmscope.multimodal_sae.score import classes as score_classes
from vlmscope.samples import SCHEMA, Sample, table
from vlmscope.stats import Draws
from vlmscope.store import files, tables

GRID, SIZE, PICTURES = 4, 16, 12
RED, BLUE = (214, 40, 40), (44, 84, 214)
TALK = {"by": "none", "url": "", "model": "", "key": ""}
SETTINGS = {
    "by": ["server", "oracle"],
    "style": "together",
    "question": "",
    "max_new_tokens": 5,
    "latents": 0,
    "examples": 2,
    "size": SIZE,
    "least": 0.05,
    "refiner": TALK,
    "labeller": TALK,
}


def runs(mask):
    """COCO's run lengths of a mask."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], edges])).tolist()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pictures with a red car at the left and a blue dog at the right, and latents: 0 fires on cars, 1 on dogs."""
    root = tmp_path_factory.mktemp("explain")
    left, right = np.zeros((2, SIZE, SIZE), bool)
    left[4:8, 0:4] = right[8:12, 12:16] = True
    objects = [
        {"class": name, "crowd": False, "segmentation": runs(mask)} for name, mask in (("car", left), ("dog", right))
    ]
    rows = []
    for number in range(PICTURES):
        pixels = np.full((SIZE, SIZE, 3), 100 + number, np.uint8)
        pixels[left], pixels[right] = RED, BLUE
        Image.fromarray(pixels).save(root / f"{number}.png")
        answer = json.dumps({"image_id": number, "objects": objects})
        about = (f"d-train-{number}", "d", "train", number, "g", (f"{number}.png",), SIZE, SIZE, "", (), answer)
        rows.append(Sample(*about))
    tables.write(table(rows), root / "train.parquet", SCHEMA)
    raw = {"format": "vlmscope.raw/1", "kind": "coco_objects", "source": "drawn", "root": str(root), "digest": "x"}
    files.write_json(raw, root / "raw.json")
    shape = {"latents": 3, "k": 2, "base": GRID * GRID, "dtype": "float32"}
    with cache_files.published(
        root / "cache.h5", "model.layers.1", [one.sample for one in rows], {"model": "m"}, **shape
    ) as writer:
        for number in range(PICTURES):
            idx, val = np.zeros((GRID * GRID, 2), int), np.zeros((GRID * GRID, 2), np.float32)
            idx[4, 0], val[4, 0] = 0, 2.0 + number / 10
            idx[11, 0], val[11, 0] = 1, 1.0
            # The third latent fires in a single picture.
            idx[0, 1], val[0, 1] = 2, float(number == 0)
            writer.add(idx, val, look=str(number))
    return root


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked += 1
        good = self.server.fine >= self.server.asked
        self.server.pictures.append(len(body["messages"][-1]["content"]) - 1)
        text = json.dumps({"choices": [{"message": {"content": "[EXPLANATION]: cars"}}]}).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def loopback():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.fine, server.pictures = 0, 1, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def named(made, server, state):
    talk = {"by": "server", "url": f"http://127.0.0.1:{server.server_port}/v1", "model": "m", "key": ""}
    settings = SETTINGS | {"explainer": talk}
    return explain_naming.from_files(
        {"trained": str(made / "cache.h5")},
        raws=[str(made / "raw.json")],
        tables=[str(made / "train.parquet")],
        settings=settings,
        talkers=talkers.of(settings, [], Server, "cpu"),
        state=str(state),
        code="c",
    )


def test_a_server_that_fails_half_way_is_asked_only_for_the_rest(made, loopback, tmp_path):
    state = tmp_path / "labels.jsonl"
    with pytest.raises(VlmscopeError, match="refuses: 400"):
        named(made, loopback, state)
    assert loopback.asked == 2
    loopback.fine = 99
    found, kept = named(made, loopback, state)
    # Latent 0 was answered before; latent 2 has too few pictures to be asked about.
    assert loopback.asked == 3 and loopback.pictures == [2, 2, 2]
    by = {(row["explainer"], row["latent"]): row for row in found.to_dicts()}
    assert set(by) == {("server", 0), ("server", 1), ("oracle", 0), ("oracle", 1)}
    assert by["server", 1]["explanation"] == "cars" and by["server", 1]["concept"] == "object"
    assert (by["oracle", 0]["refined"], by["oracle", 1]["refined"]) == ("car", "dog")
    # The best pictures of the reference half, best first.
    assert by["oracle", 0]["pictures"] == ["d-train-10", "d-train-8"]
    kept.clear()
    assert not state.exists()


def test_names_and_measures_come_from_different_pictures(made):
    with cache_files.opened(made / "cache.h5") as cache:
        chooser = explain_shown.Chooser(cache, lambda number: None, most=3, size=SIZE)
        sides = [set(chooser.shown(0, side).images) for side in explain_shown.SIDES]
        assert sides == [{10, 8, 6}, {11, 9, 7}]
        assert chooser.latents(0) == [0, 1] and chooser.latents(1) == [0]
        silent = chooser.of(2, [5])
        assert not np.any(silent.maps) and not silent.regions(dilated=True)[0].any()


def test_pictures_without_a_square_view_have_no_masks(tmp_path):
    shape = {"latents": 1, "k": 1, "base": 6, "dtype": "float32"}
    with cache_files.published(tmp_path / "c.h5", "model.layers.1", [], {"model": "m"}, **shape):
        pass
    with cache_files.opened(tmp_path / "c.h5") as cache, pytest.raises(VlmscopeError, match="no square first view"):
        explain_shown.grid(cache)


def test_the_best_latent_of_a_word_is_found_and_measured_on_other_pictures(made):
    with cache_files.opened(made / "cache.h5") as cache:
        own, picture = explain_naming.pictures([made / "raw.json"], [made / "train.parquet"], cache.samples)
        truth = explain_naming.oracle.Truth(own, picture)
        found = score_classes.table({"trained": cache, "untrained": cache}, truth, Draws(20, 0)).to_dicts()
    by = {(row["coder"], row["word"]): row for row in found}
    assert (by["trained", "car"]["latent"], by["trained", "dog"]["latent"]) == (0, 1)
    assert by["trained", "car"]["iou"] == by["trained", "mean"]["iou"] == 1.0
    assert by["trained", "car"]["pictures"] == PICTURES // 2
    gap = by[score_classes.DIFFERENCE, score_classes.ALL]
    assert (gap["iou"], gap["low"], gap["high"]) == (0.0, 0.0, 0.0)


def test_where_a_word_is_shown_follows_the_masks(made):
    with cache_files.opened(made / "cache.h5") as cache:
        own, picture = explain_naming.pictures([made / "raw.json"], [made / "train.parquet"], cache.samples)
    shows = score_classes.targets(explain_naming.oracle.Truth(own, picture), ["car", "sky"], 1, GRID)
    assert np.flatnonzero(shows[0, 0]).tolist() == [GRID] and not shows[0, 1].any()


def test_a_cache_of_other_samples_is_refused(made):
    with pytest.raises(VlmscopeError, match="the sample tables do not"):
        explain_naming.pictures([made / "raw.json"], [made / "train.parquet"], ["nobody"])


def test_refusals_of_talkers_stay_refusals():
    assert explain_prompts.refused(explain_prompts.parsed("nothing to say"))
