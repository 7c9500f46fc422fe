"""Caches, example pictures and masks against the official code (golden README: cache_examples.npz)."""

from itertools import pairwise

import golden_sae
import numpy as np
import pytest
import torch
from golden_sae import HERE, HOOK
from PIL import Image
from safetensors.numpy import load_file

from vlmscope.multimodal_sae.cache import examples, passes
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.coder import hooks
from vlmscope.multimodal_sae.train import states
from vlmscope.samples import Sample

NUMBERS = (0, 1, 3)


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "cache_examples.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return golden_sae.model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def coder():
    return golden_sae.coder()


@pytest.fixture(scope="module")
def images():
    with np.load(HERE / "images.npz") as file:
        return {number: Image.fromarray(file[f"img{number}"]) for number in range(8)}


def sample(number, image):
    return Sample(f"s{number}", "d", "train", number, "g", (str(number),), *image.size, "", (), "{}")


def filled(folder, loaded, coder, images, numbers=NUMBERS, scope="all", batch=2):
    target = folder / f"{scope}-{batch}.h5"
    chosen = [sample(number, images[number]) for number in numbers]
    take = states.take_of(loaded, hooks.site_of(HOOK))
    shape = {"latents": 128, "k": 8, "base": 576, "dtype": "float32"}
    with cache_files.published(target, HOOK, [one.sample for one in chosen], {}, **shape) as writer:
        passes.pictures(loaded, coder, take, chosen, lambda one: images[one.index], writer, scope=scope, batch=batch)
    return target


@pytest.fixture(scope="module")
def whole(tmp_path_factory, loaded, coder, images):
    return filled(tmp_path_factory.mktemp("whole"), loaded, coder, images)


def test_records_equal_the_official_ones(whole, golden):
    kept = cache_files.read_filter(HERE / "tiny_filters.json", HOOK)
    with cache_files.opened(whole) as found:
        every = found.entries()
        np.testing.assert_array_equal(found.firing, golden["img_cache_counts_all"])
    own = every.of(kept).ordered()
    order = np.lexsort(golden["img_cache_locations"].T[::-1])
    np.testing.assert_array_equal(own.where, golden["img_cache_locations"][order])
    np.testing.assert_allclose(own.value, golden["img_cache_activations"][order], atol=1e-5)
    np.testing.assert_array_equal(np.bincount(every.where[:, 0]), golden["img_cache_rows_per_image"])
    sums = np.bincount(every.where[:, 2], every.value.astype(np.float64), 128)
    np.testing.assert_allclose(sums, golden["img_cache_actsum_all"], rtol=1e-5, atol=1e-5)


def test_splits_hold_the_last_latent_too(whole, golden, tmp_path):
    kept = cache_files.read_filter(HERE / "tiny_filters.json", HOOK)
    with cache_files.opened(whole) as found:
        every = found.entries()
    chosen = every.of(kept)
    official = set()
    for path in cache_files.write_released(chosen, tmp_path / "kept", 128, 4):
        there = set(load_file(path)["locations"][:, 2].tolist())
        released = set(golden[f"split_{path.name}_features"].tolist())
        official |= released
        assert released <= there and there - released <= {31, 63, 95, 127}
    assert {63, 127} <= set(chosen.where[:, 2].tolist()) - official
    cache_files.write_released(every, tmp_path / "all", 128, 4)
    again = cache_files.read_released(tmp_path / "all")
    np.testing.assert_array_equal(again.where, every.ordered().where)
    np.testing.assert_array_equal(again.value, every.ordered().value)


@pytest.mark.parametrize(("latents", "splits"), [(131072, 128), (100, 7)])
def test_bounds_of_splits_equal_the_official_ones(golden, latents, splits):
    edges = golden[f"split_edges_{latents}_{splits}"].tolist()
    assert cache_files.bounds(latents, splits) == [(a, b - 1) for a, b in pairwise(edges)]


def test_the_first_view_alone_is_that_part_of_the_whole_whatever_the_batch(whole, loaded, coder, images, tmp_path):
    with cache_files.opened(whole) as found:
        every = found.entries()
        pooled = [found.pooled(latent) for latent in range(128)]
    part = every.where[:, 1] < 576
    for batch in (1, 3):
        with cache_files.opened(filled(tmp_path, loaded, coder, images, scope="base", batch=batch)) as base:
            own = base.entries()
            np.testing.assert_array_equal(own.where, every.where[part])
            np.testing.assert_allclose(own.value, every.value[part], atol=1e-5)
            for latent, one in enumerate(pooled):
                for name, values in base.pooled(latent).items():
                    np.testing.assert_allclose(values, one[name], atol=1e-5)
                for image, mean in zip(one["image"], one["mean"], strict=True):
                    grid = base.map(latent, image)
                    assert grid.mean() == pytest.approx(mean, rel=1e-4) and (grid > 0).sum() > 0


def test_other_order_of_pictures_changes_numbers_alone(whole, loaded, coder, images, tmp_path):
    with cache_files.opened(filled(tmp_path, loaded, coder, images, numbers=(3, 1, 0))) as turned:
        found = turned.entries()
        assert turned.samples == ["s3", "s1", "s0"]
    with cache_files.opened(whole) as first:
        every = first.entries()
    where = found.where.copy()
    where[:, 0] = 2 - where[:, 0]
    other = cache_files.Entries(where, found.value).ordered()
    np.testing.assert_array_equal(other.where, every.where)
    np.testing.assert_allclose(other.value, every.value, atol=1e-5)


def test_a_cache_of_the_released_code_can_be_taken_over(whole, tmp_path):
    with cache_files.opened(whole) as found:
        every, ends = found.entries(), np.diff(found.ends)
    cache_files.write_released(every, tmp_path, 128, 3)
    read = cache_files.read_released(tmp_path)
    shape = {"latents": 128, "k": 8, "base": 576, "dtype": "float32"}
    with cache_files.published(tmp_path / "again.h5", HOOK, ["a", "b", "c"], {}, **shape) as writer:
        for idx, val in cache_files.pack(read, ends):
            width = 8 - idx.shape[1]
            writer.add(*(np.pad(one, ((0, 0), (0, width))) for one in (idx, val)))
    with cache_files.opened(tmp_path / "again.h5") as again, cache_files.opened(whole) as found:
        for name in ("idx", "val", "token_ptr", "firing", "pooled/ptr", "pooled/image", "pooled/mean", "pooled/max"):
            np.testing.assert_array_equal(again.group[name][()], found.group[name][()])


def test_texts_are_cut_and_cached_as_officially(loaded, coder, golden, tmp_path):
    rows = golden["text_ids"][: len(golden["text_ids"]) // 2 * 2].tolist()
    take = states.take_of(loaded, hooks.site_of(HOOK))
    shape = {"latents": 128, "k": 8, "base": 12, "dtype": "float32"}
    with cache_files.published(tmp_path / "text.h5", HOOK, [str(n) for n in range(len(rows))], {}, **shape) as writer:
        passes.texts(loaded, coder, take, rows, writer, batch=2)
    with cache_files.opened(tmp_path / "text.h5") as found:
        own = found.entries()
    order = np.lexsort(golden["text_cache_locations"].T[::-1])
    wanted = golden["text_cache_locations"][order] - [100, 0, 0]
    np.testing.assert_array_equal(own.where, wanted)
    np.testing.assert_allclose(own.value, golden["text_cache_activations"][order], atol=1e-5)
    assert list(passes.chunks([[5, 6, 7], [8], [9, 9, 9]], 1, 4)) == [[1, 5, 6, 7], [1, 8, 1, 9]]


# ---- examples and masks ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grids(golden):
    found = np.zeros((60, 576), np.float32)
    image, position = golden["syn_locations"].T
    kept = position < 576
    found[image[kept], position[kept]] = golden["syn_activations"][kept]
    return found


@pytest.mark.parametrize("kind", ["noid", "id"])
def test_pictures_and_masks_are_the_official_ones(golden, grids, kind):
    means = torch.from_numpy(grids).mean(1).numpy()
    same = golden["syn_ids"].tolist() if kind == "id" else None
    found = [one.image for one in examples.choose(np.arange(60), means, 5, same, count=60)]
    assert found == golden[f"syn_top_{kind}"].tolist()
    masks = np.stack([np.asarray(examples.mask(grids[image].reshape(24, 24), 336)) for image in found])
    np.testing.assert_array_equal(masks, golden[f"syn_masks_{kind}"])


def test_masked_pictures_are_the_official_ones(golden, grids):
    for image, wanted in zip(golden["syn_top_noid"], golden["syn_activation_images"], strict=False):
        picture = Image.fromarray(golden["syn_images"][image])
        found = examples.masked(picture, grids[image].reshape(24, 24), 336)
        np.testing.assert_array_equal(np.asarray(found), wanted)
    top = [grids[image].max() for image in golden["syn_top_noid"]]
    np.testing.assert_allclose(top, golden["syn_max_activation"], rtol=1e-6)


def test_masks_are_enlarged_as_officially(golden):
    found = examples.mask(golden["upsample_in"], 336)
    np.testing.assert_array_equal(np.asarray(found), golden["upsample_out"])
    silent = np.where(golden["upsample_eps_in"] < examples.THRESHOLD, examples.SILENT, 0).astype(np.uint8)
    small = Image.fromarray(silent).resize((16, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(np.asarray(small), golden["upsample_eps_out"])


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 2), (4, 6)])
def test_regions_reach_half_a_patch_further_unless_the_patches_themselves_are_asked_for(rows, columns):
    values = np.zeros((24, 24), np.float32)
    values[5 : 5 + rows, 7 : 7 + columns] = 1
    for dilated, more in ((True, 14), (False, 0)):
        region = examples.active(values, 336, dilated)
        tall, wide = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
        assert (np.ptp(tall) + 1, np.ptp(wide) + 1) == (14 * rows + more, 14 * columns + more)


def test_silent_pictures_and_pictures_that_look_alike_are_left_out():
    image, mean = np.array([2, 4, 5, 9]), np.array([0.3, 0.9, 0.9, 0.1])
    assert [one.image for one in examples.choose(image, mean, 5)] == [4, 5, 2, 9]
    drawn = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one).resize((240, 160), Image.Resampling.NEAREST) for one in drawn]
    same = [examples.fingerprint(one) for one in pictures]
    assert len(set(same)) == 3
    assert examples.fingerprint(pictures[0].resize((480, 320), Image.Resampling.NEAREST)) == same[0]
    assert [one.image for one in examples.choose(np.arange(3), np.ones(3), 5, [same[0], same[0], same[2]])] == [0, 2]


def test_pieces_of_texts_are_the_official_ones(golden):
    text, position = golden["pool_locs"].T
    tokens = dict(zip(np.unique(text).tolist(), golden["todense_tokens"], strict=True))
    found = examples.windows(text, position, golden["pool_vals"], length=4, most=6, size=12)
    np.testing.assert_array_equal([one.values for one in found], golden["pool_acts"])
    read = [tokens[one.text][one.start : one.start + 4] for one in found]
    np.testing.assert_array_equal(read, golden["pool_tokens"])
    assert [one.text for one in examples.windows(text, position, golden["pool_vals"], 5, 2, 12)] == [3, 0]
