"""Small autoencoders of several layers from one stream, and the tables that are made of their scores."""

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import shown as explain_shown
from vlmscope.multimodal_sae.tables import small, small_scores, small_tables
from vlmscope.settings.multimodal_sae.tables import SMALL, Small

OWN = SMALL.model_dump() | {
    "latents": 32,
    "k": 4,
    "steps": 60,
    "batch": 64,
    "buffer": 256,
    "warmup": 5,
    "log_every": 20,
}


class Fixed:
    """The same states for ever: two layers side by side, of which the second is ten times as wide in one unit."""

    def __init__(self, width=8):
        generator = torch.Generator().manual_seed(0)
        first = torch.randn(512, 3, generator=generator) @ torch.randn(3, width, generator=generator)
        self.both = torch.cat([first, torch.randn(512, width, generator=generator)], 1)

    def blocks(self, position):
        while True:
            position += 1
            yield position, self.both

    def close(self):
        pass


def test_every_layer_learns_from_its_own_states():
    coders, rows = small.learned(Fixed(), 2, OWN, "cpu")
    table = small.logged(rows, [3, 7])
    assert table["layer"].to_list() == [3] * 3 + [7] * 3 and table["step"].to_list() == [20, 40, 60] * 2
    left = {layer: part["fvu"].to_list() for (layer,), part in table.group_by("layer")}
    assert left[3][-1] < left[3][0] and left[7][-1] < left[7][0]
    # Three directions are easier than eight.
    assert left[3][-1] < 0.6 * left[7][-1]
    x = Fixed().both
    own, other = coders[0](x[:, :8]).fvu, coders[0](x[:, 8:]).fvu
    assert own < 0.5 * other


def test_a_layer_alone_learns_what_it_learns_among_others():
    alone = Fixed()
    alone.both = alone.both[:, :8]
    (one,), _ = small.learned(alone, 1, OWN, "cpu")
    (first, _), _ = small.learned(Fixed(), 2, OWN, "cpu")
    torch.testing.assert_close(one.W_dec, first.W_dec)


def test_settings_that_read_stored_states_or_name_a_layer_twice_are_refused():
    with pytest.raises(ValueError, match="stored must be false"):
        Small(train={**SMALL.model_dump(), "stored": True})
    with pytest.raises(ValueError, match="no different layers"):
        Small(studied=[{"model": "blip", "layers": [1, 1]}])
    with pytest.raises(ValueError, match="studied once"):
        Small(studied=[{"model": "blip", "layers": [1]}, {"model": "blip", "layers": [2]}])


# ---- caches without a square first view --------------------------------------------------------------------------


def written(path, base, grids):
    about, shape = {"model": "m"}, {"latents": 2, "k": 1, "base": base, "dtype": "float32"}
    with cache_files.published(path, "model.layers.1", ["a", "b"], about, **shape) as writer:
        for number, grid in enumerate(grids):
            positions = grid[0] * grid[1] if grid else 6
            idx = np.zeros((positions, 1), np.int64)
            val = np.arange(positions, dtype=np.float32)[:, None]
            writer.add(idx, val, str(number), grid)
    return path


def test_pictures_have_grids_of_their_own(tmp_path):
    with cache_files.opened(written(tmp_path / "c.h5", 0, [(2, 3), (4, 1)])) as cache:
        chooser = explain_shown.Chooser(cache, lambda number: None, most=1, size=8)
        assert chooser.has_regions
        assert [one.shape for one in chooser.of(0, [0, 1]).maps] == [(2, 3), (4, 1)]
        assert chooser.of(0, [0]).maps[0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_queries_show_the_whole_picture(tmp_path):
    with cache_files.opened(written(tmp_path / "c.h5", 0, [None, None])) as cache:
        chooser = explain_shown.Chooser(cache, lambda number: None, most=1, size=8)
        assert not chooser.has_regions
        assert chooser.of(0, [0]).maps[0].tolist() == [[5.0]]
        assert all(region.all() for region in chooser.of(0, [0, 1]).regions(dilated=True))
        with pytest.raises(VlmscopeError, match="no square first view"):
            explain_shown.grid(cache)


# ---- tables ------------------------------------------------------------------------------------------------------


def scores(layers, iou=0.2):
    """Scores of two autoencoders at some layers."""
    plain = dict.fromkeys(small_tables.SCORES)
    rows = []
    for layer in layers:
        for coder in small.CODERS:
            about = {"layer": layer, "fvu": 0.1, "coder": coder, "explainer": "oracle", "n_features": 4, "n_refused": 1}
            measured = {"value": iou, "low": 0.1, "high": 0.3, "random_mean": 0.05, "random_ci99": 0.01}
            rows.append(plain | about | measured | {"metric": "iou"})
            rows.append(plain | about | measured | {"metric": "clip", "value": 20.0})
            rows.append(plain | {"layer": layer, "fvu": 0.1, "coder": coder, "metric": "iou_classes", "value": 0.5})
    return pl.DataFrame(rows, schema=small_tables.SCORES)


def test_published_layers_stand_beside_the_same_layer_or_alone():
    rows = small_tables.table3(scores([7, 9]), "mine").to_dicts()
    by = {(row["layer"], row["coder"]): row for row in rows}
    assert by[7, "trained"]["paper_iou"] == 0.30 and by[7, "trained"]["paper_clip_random"] == 18.2
    assert by[7, "untrained"]["paper_iou"] is None and by[9, "trained"]["paper_iou"] is None
    assert by[31, "published"]["paper_clip"] == 26.55 and by[31, "published"]["iou"] is None
    assert by[7, "trained"]["iou_random"] == 0.05 and by[7, "trained"]["iou_classes"] == 0.5
    assert by[7, "untrained"]["fvu"] is None and len(rows) == 4 + 2


def test_models_without_patches_have_no_iou_and_say_why():
    about = {"mine": {"family": "llava_next"}, "blip": {"family": "instructblip"}}
    every = {"mine": scores([3, 7, 9]), "blip": scores([1], iou=None)}
    rows = small_tables.table10(every, about).to_dicts()
    by = {(row["model"], row["coder"]): row for row in rows}
    assert by["mine", "trained"]["layer"] == 7 and by["mine", "trained"]["without_iou"] is None
    assert by["blip", "trained"]["without_iou"] and by["blip", "trained"]["paper_clip"] == 28.01
    assert by["Qwen-2.5-VL", "published"]["paper_iou_printed"] == 26.67
    clip = small_tables.table4(every, about).to_dicts()
    assert [row["paper_clip"] for row in clip if row["coder"] == "published"] == []
    assert {row["model"]: row["paper_clip_random"] for row in clip}["mine"] is None


def test_a_folder_without_caches_has_none(tmp_path):
    assert small.caches(tmp_path) == {}
    for layer in (10, 2):
        for coder in small.CODERS:
            written(tmp_path / f"model.layers.{layer}" / coder / "cache.h5", 0, [None])
    assert list(small.caches(tmp_path)) == ["model.layers.2", "model.layers.10"]


def test_no_measure_of_the_scores_is_lost_on_the_way():
    assert set(small_scores.METRICS) <= {"iou", "iou_undilated", "clip"}
    wide = small_tables.wide(scores([1]), "mine")
    assert [row["coder"] for row in wide] == list(small.CODERS)
