"""Which patch shows what: against the pixels that the processors cut and the tokens that the models pack."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import views
from vlmscope.models.load import slim_imports

PUBLISHED = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
SIZES = [(640, 480), (480, 640), (512, 512), (1700, 2200), (600, 400), (9600, 1080), (100, 100), (333, 1001), (51, 47)]
SIDE, PATCH = 24, 14


def llava(pinpoints=PUBLISHED, size=336, patch=PATCH):
    vision = SimpleNamespace(image_size=size, patch_size=patch)
    return SimpleNamespace(image_grid_pinpoints=pinpoints, vision_config=vision)


def gradient(size):
    """A picture whose red tells how far right, whose green how far down a place is."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)[None]
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def processor():
    slim_imports()
    from transformers import LlavaNextImageProcessorPil

    one = {"shortest_edge": 336}
    crop = {"height": 336, "width": 336}
    return LlavaNextImageProcessorPil(
        image_grid_pinpoints=PUBLISHED, size=one, crop_size=crop, do_normalize=False, do_rescale=False
    )


def patch_means(pixels):
    """Mean colour of every patch of every tile, [tile x patch, 3]."""
    tiles = pixels.reshape(len(pixels), 3, SIDE, PATCH, SIDE, PATCH).mean((3, 5))
    return tiles.transpose(0, 2, 3, 1).reshape(-1, 3)


def check_places(view, means, tolerance):
    """The colour of each patch inside the picture is that of the place where the view puts it."""
    rows, columns = view.index.shape
    left, top, right, bottom = view.box
    x = left + (np.arange(columns) + 0.5) / columns * (right - left)
    y = top + (np.arange(rows) + 0.5) / rows * (bottom - top)
    half = 0.5 * (right - left) / columns, 0.5 * (bottom - top) / rows
    inside = ((y > half[1]) & (y < 1 - half[1]))[:, None] & ((x > half[0]) & (x < 1 - half[0]))[None]
    outside = ((y < -half[1]) | (y > 1 + half[1]))[:, None] | ((x < -half[0]) | (x > 1 + half[0]))[None]
    found = means[view.index]
    assert np.abs(found[..., 0] - 255 * x[None])[inside].max() < tolerance
    assert np.abs(found[..., 1] - 255 * y[:, None])[inside].max() < tolerance
    assert not found[outside].any(), "patches of padding are black"
    return inside.sum()


@pytest.mark.parametrize("size", SIZES)
def test_patches_of_tiles_lie_where_the_processor_cut_them(processor, size):
    pixels = np.array(processor(gradient(size), return_tensors="np")["pixel_values"][0])
    means = patch_means(pixels)
    whole, tiled = views.views("llava_next", llava(), "projector", size)
    assert whole.index.shape == (SIDE, SIDE)
    assert tiled.index.max() + 1 == len(means), "the last patch of the last tile is on the canvas"
    assert len(np.unique(tiled.index)) == tiled.index.size == len(means) - SIDE * SIDE
    assert check_places(whole, means, 8) == 22 * 22
    # Small pictures are enlarged, which smears colours at the edges.
    assert check_places(tiled, means, 8) > 100


@pytest.mark.parametrize("size", SIZES)
def test_the_tower_has_a_class_token_in_front_of_every_tile(size):
    vision = views.views("llava_next", llava(), "vision", size)
    projector = views.views("llava_next", llava(), "projector", size)
    for one, other in zip(vision, projector, strict=True):
        tile, patch = divmod(other.index, SIDE * SIDE)
        assert (one.index == tile * (SIDE * SIDE + 1) + 1 + patch).all()
        assert one.box == other.box


@pytest.mark.parametrize("size", SIZES)
def test_tokens_of_the_language_model_are_those_that_the_model_packs(processor, size):
    import torch
    from transformers.models.llava_next.modeling_llava_next import LlavaNextModel

    config = llava()
    projector = views.views("llava_next", config, "projector", size)
    tiles = len(processor(gradient(size), return_tensors="np")["pixel_values"][0])
    numbers = torch.arange(tiles * SIDE * SIDE, dtype=torch.float32).reshape(tiles, SIDE * SIDE, 1)
    model = SimpleNamespace(config=config)
    packed, _ = LlavaNextModel.pack_image_features(
        model, [numbers], torch.tensor([[size[1], size[0]]]), "default", torch.full((1,), -1.0)
    )
    packed = packed[0].squeeze(1).long().numpy()
    whole, tiled = views.views("llava_next", config, "text", size)
    assert (packed[whole.index] == projector[0].index).all()
    # Where the canvas lies in the picture, and where the part of it that is left.
    outer, inner = projector[1], tiled
    rows, columns = outer.index.shape
    down = round((inner.box[1] - outer.box[1]) / (outer.box[3] - outer.box[1]) * rows)
    right = round((inner.box[0] - outer.box[0]) / (outer.box[2] - outer.box[0]) * columns)
    high, wide = inner.index.shape
    assert (packed[inner.index] == outer.index[down : down + high, right : right + wide]).all()
    # All that is left over are the marks behind the rows.
    left_over = np.setdiff1d(np.arange(len(packed)), np.concatenate([whole.index.ravel(), inner.index.ravel()]))
    assert (packed[left_over] == -1).all()
    assert len(left_over) == high


def test_published_numbers_of_tokens():
    lengths = {(640, 480): 2340, (480, 640): 2352, (512, 512): 2928, (1700, 2200): 2448, (600, 400): 2144}
    for size, expected in lengths.items():
        assert views.views("llava_next", llava(), "text", size)[1].index.max() + 2 == expected


def test_one_view_of_a_picture_and_queries_without_a_place():
    config = SimpleNamespace(vision_config=SimpleNamespace(image_size=224, patch_size=14), num_query_tokens=32)
    (vision,) = views.views("instructblip", config, "vision", (640, 480))
    assert vision.index.shape == (16, 16)
    assert (vision.index.min(), vision.index.max(), vision.box) == (1, 256, (0, 0, 1, 1))
    for stream in ("query", "text"):
        (queries,) = views.views("instructblip", config, stream, (640, 480))
        assert (queries.index.tolist(), queries.box) == ([list(range(32))], None)
    assert views.views("instructblip", config, "words", (640, 480)) == []


def test_the_picture_of_blip_is_squeezed_whole_into_its_view():
    slim_imports()
    from transformers import BlipImageProcessorPil

    cut = BlipImageProcessorPil(size={"height": 224, "width": 224}, do_normalize=False, do_rescale=False)
    pixels = np.array(cut(gradient((640, 300)), return_tensors="np")["pixel_values"][0])
    means = pixels.reshape(3, 16, 14, 16, 14).mean((2, 4)).transpose(1, 2, 0).reshape(-1, 3)
    view = views.View(np.arange(256).reshape(16, 16), views.WHOLE)
    assert check_places(view, means, 8) == 14 * 14


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (512, 512), (333, 1001)])
def test_llava_sees_the_middle_of_the_picture(size):
    slim_imports()
    from transformers import CLIPImageProcessorPil

    cut = CLIPImageProcessorPil(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}, do_normalize=False, do_rescale=False
    )
    pixels = np.array(cut(gradient(size), return_tensors="np")["pixel_values"][0])
    means = pixels.reshape(3, SIDE, PATCH, SIDE, PATCH).mean((2, 4)).transpose(1, 2, 0).reshape(-1, 3)
    (text,), (vision,) = (views.views("llava", llava(), stream, size) for stream in ("text", "vision"))
    assert (vision.index == text.index + 1).all() and text.index.max() == SIDE * SIDE - 1
    assert check_places(text, means, 4) >= 22 * 22


def test_other_families_are_refused_by_name():
    with pytest.raises(VlmscopeError, match="idefics2"):
        views.views("idefics2", None, "vision", (1, 1))


def test_the_embedded_model_has_tiles_like_the_published_one():
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(Path(__file__).parents[3] / "weights" / "llava")
    side = config.vision_config.image_size // config.vision_config.patch_size
    wide = views.views("llava_next", config, "projector", (320, 64))[1]
    assert wide.index.shape == (side, 5 * side)
    assert wide.box == (0, 0, 1, 1)
