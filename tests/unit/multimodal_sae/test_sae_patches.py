"""Patches on disk, domain neurons beside them, and directions of many latents."""

import numpy as np
import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.beyond import cosines, patch_files, patches
from vlmscope.multimodal_sae.beyond import files as beyond_files
from vlmscope.multimodal_sae.beyond.patch_files import Patches, Units
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.cache.active import Active
from vlmscope.multimodal_sae.score import classes as score_classes
from vlmscope.store import arrays

LOOKS, BASE = list("abcdef"), 4


def active(seed=0, latents=9, k=3):
    generator = np.random.default_rng(seed)
    idx = np.stack([generator.permutation(latents)[:k] for _ in range(len(LOOKS) * BASE)])
    val = generator.random(idx.shape).astype(np.float32) * (generator.random(idx.shape) > 0.3)
    return Active(LOOKS, latents, BASE, idx, val)


def patches_of(**more):
    states = np.random.default_rng(1).standard_normal((len(LOOKS), BASE, 5)).astype(np.float16).astype(np.float32)
    return Patches(list(LOOKS), states, **more)


def test_what_is_written_is_read_again(tmp_path):
    shows = np.random.default_rng(2).random((len(LOOKS), 2, BASE)) > 0.5
    n = len(LOOKS) * BASE
    units = Units(["com", ""], np.array([0, 1]), np.array([3, 4]), np.eye(2, 5, dtype=np.float32), np.ones((n, 2)))
    own = patches_of(words={"car": "object", "red": "color"}, shows=shows, coders={"trained": active()}, units=units)
    patch_files.write(tmp_path / "p.h5", LOOKS, own, {"a": 1})
    found = patch_files.read(tmp_path / "p.h5")
    np.testing.assert_array_equal(found.states, own.states)
    np.testing.assert_array_equal(found.shows, shows)
    assert (found.words, found.looks) == (own.words, own.looks)
    np.testing.assert_array_equal(found.coders["trained"].matrix.toarray(), active().matrix.toarray())
    assert found.units.domain == ["com", ""] and found.units.columns.tolist() == units.columns.tolist()
    assert found.told[1 * BASE + 2].tolist() == shows[1, :, 2].tolist()
    # Equal-looking pictures share a half; here every second one is held out.
    assert found.held.tolist() == ([False] * BASE + [True] * BASE) * 3


def test_words_and_neurons_may_be_missing(tmp_path):
    patch_files.write(tmp_path / "p.h5", LOOKS, patches_of(coders={"trained": active()}), {})
    found = patch_files.read(tmp_path / "p.h5")
    assert found.words == {} and found.units is None and found.shows.size == 0


def test_a_broken_file_and_another_autoencoder_are_refused(tmp_path):
    patch_files.write(tmp_path / "p.h5", LOOKS, patches_of(coders={"trained": active()}), {})
    whole = (tmp_path / "p.h5").read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VlmscopeError, match="damaged"):
        patch_files.read(tmp_path / "half.h5")
    arrays.write({"W_dec": np.eye(8, 5, dtype=np.float32)}, tmp_path / "sae.safetensors", {})
    told = {"families": {}, "draws": 10, "seed": 0}
    with pytest.raises(VlmscopeError, match="not read with this autoencoder"):
        beyond_files.families(str(tmp_path / "sae.safetensors"), str(tmp_path / "p.h5"), told)
    arrays.write({"other": np.eye(2, dtype=np.float32)}, tmp_path / "none.safetensors", {})
    with pytest.raises(VlmscopeError, match="no decoder"):
        patch_files.decoder(tmp_path / "none.safetensors")


def test_active_latents_are_chosen_like_those_of_a_cache(tmp_path):
    own, shows = active(3), np.random.default_rng(4).random((len(LOOKS), 3, BASE)) > 0.6
    shape = {"latents": 9, "k": 3, "base": BASE, "dtype": "float32"}
    with cache_files.published(tmp_path / "c.h5", "h", LOOKS, {}, **shape) as writer:
        for number, look in enumerate(LOOKS):
            part = slice(number * BASE, (number + 1) * BASE)
            writer.add(own.idx[part], own.val[part], look)
    with cache_files.opened(tmp_path / "c.h5") as cache:
        np.testing.assert_array_equal(cache.highest, own.highest)
        found, other = (vars(score_classes.choose(one, shows)) for one in (cache, own))
    for name, values in found.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)
    among = np.zeros((3, 9), bool)
    among[[0, 1, 2], [7, 2, 5]] = True
    assert score_classes.choose(own, shows, among).latent.tolist() == [7, 2, 5]


# ---- domain neurons ---------------------------------------------------------------------------------------------


def neuron_table(path, rows):
    columns = ["module", "layer", "index", "domain", "entropy"]
    pl.DataFrame(rows, schema=columns, orient="row").write_parquet(path)
    return str(path)


def test_neurons_that_write_up_to_the_site_with_as_many_others_of_their_layers(tmp_path):
    rows = [
        ("lang", 0, 1, "com", 0.5),
        ("lang", 0, 2, "com", 0.1),
        ("lang", 0, 3, "com", 0.3),
        ("lang", 1, 1, "ad", 0.2),
    ]
    rows += [("lang", 2, 0, "ad", 0.0), ("vision", 0, 0, "ad", 0.0)]
    found = patches.neurons_of(neuron_table(tmp_path / "n.parquet", rows), 2, 6, 2, 0)
    own = found.filter(pl.col("domain") != "")
    assert own.rows() == [(0, 2, "com"), (0, 3, "com"), (1, 1, "ad")]
    others = found.filter(pl.col("domain") == "")
    assert others["layer"].to_list() == [0, 0, 1]
    assert not {(0, 1), (0, 2), (0, 3), (1, 1)} & set(others.select("layer", "unit").iter_rows())


def test_a_table_that_is_none_is_refused(tmp_path):
    (tmp_path / "n.parquet").write_bytes(b"no table")
    with pytest.raises(VlmscopeError, match="cannot be read"):
        patches.neurons_of(str(tmp_path / "n.parquet"), 2, 6, 2, 0)


# ---- directions -------------------------------------------------------------------------------------------------


def test_nearest_directions_are_those_of_the_whole_matrix_however_it_is_cut(monkeypatch):
    generator = np.random.default_rng(0)
    left, right = (cosines.unit(generator.standard_normal((n, 6)).astype(np.float32)) for n in (11, 7))
    whole, own = left @ right.T, left @ left.T - 2 * np.eye(11)
    for room in (1 << 26, 20):
        monkeypatch.setattr(cosines, "DENSE", room)
        value, place = cosines.nearest(left, right)
        np.testing.assert_allclose(value, whole.max(1), rtol=1e-6)
        assert place.tolist() == whole.argmax(1).tolist()
        np.testing.assert_allclose(cosines.nearest(left, right, absolute=True)[0], np.abs(whole).max(1), rtol=1e-6)
        values, places = cosines.neighbours(left, 3)
        np.testing.assert_allclose(values, np.sort(own, 1)[:, :-4:-1], atol=1e-6)
        assert places[:, 0].tolist() == own.argmax(1).tolist()


def test_random_directions_lie_in_the_space_of_the_rows():
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((400, 4)).astype(np.float32) * np.array([9, 3, 1, 0], np.float32)
    found = cosines.alike(rows, 2000, generator)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    spread = (found**2).mean(0)
    assert spread[0] > spread[1] > spread[2] and np.abs(found[:, 3]).max() < 1e-3
    axes = cosines.axes(rows)
    assert len(axes) == 8 and abs(axes[3] @ np.eye(4)[0]) > 0.99
