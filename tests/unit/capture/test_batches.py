from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vlmscope.capture import batches
from vlmscope.models import inputs
from vlmscope.models.base import family
from vlmscope.models.load import Loaded, describe, load
from vlmscope.samples import Sample
from vlmscope.store import files

WEIGHTS = Path(__file__).parents[3] / "weights" / "llava"
ONE = Sample("s", "d", "train", 0, "s", ("a.png",), 28, 28, "what?", (), '"x"')


def many(count, **changes):
    return [replace(ONE, sample=f"s{k}", index=k, **changes) for k in range(count)]


def within(samples, tiny, most=10_000, budget=0):
    return [one.index for one in batches.within_budget(samples, tiny, most, budget)]


def test_without_a_budget_the_most_samples_count(tiny):
    assert within(many(7), tiny) == list(range(7))
    assert within(many(7), tiny, most=3) == [0, 1, 2]


# A 28 x 28 picture is a base view and four tiles, of five positions each, for the golden model.
@pytest.mark.parametrize(("budget", "expected"), [(1, 1), (25, 1), (26, 2), (50, 2), (51, 3), (10**9, 7)])
def test_the_sample_that_reaches_the_budget_counts(tiny, budget, expected):
    assert len(within(many(7), tiny, budget=budget)) == expected


def test_the_smaller_of_both_limits_holds(tiny):
    assert within(many(7), tiny, most=1, budget=10**9) == [0]
    assert within(many(7), tiny, most=7, budget=30) == [0, 1]


def test_pictures_with_fewer_tiles_use_less_of_the_budget(tiny):
    # 14 x 42: base view and three tiles, 20 positions.
    narrow = many(5, width=14, height=42)
    assert len(within(narrow, tiny, budget=60)) == 3
    assert len(within(many(5), tiny, budget=60)) == 3
    assert len(within(narrow, tiny, budget=100)) == 5
    assert len(within(many(5), tiny, budget=100)) == 4


# 100,000 positions: 35 pictures of five tiles, 44 of four (mmneuron.md 2.2).
@pytest.mark.parametrize(("size", "expected"), [((640, 480), 35), ((512, 512), 35), ((9600, 1080), 44)])
def test_the_published_budget_stops_where_the_released_code_does(size, expected):
    from transformers import LlavaNextConfig

    published = LlavaNextConfig(image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]])
    pictures = many(60, width=size[0], height=size[1])
    loaded = Loaded(SimpleNamespace(config=published), None, family("llava_next"), {})
    found = batches.within_budget(pictures, loaded, 10_001, 100_000)
    assert len(found) == expected


@pytest.mark.parametrize(("count", "shards"), [(10, 1), (10, 3), (10, 10), (3, 5), (0, 2), (240, 7)])
def test_shards_are_consecutive_parts_of_nearly_equal_size(count, shards):
    parts = [batches.of_shard(many(count), shard, shards) for shard in range(shards)]
    assert [one.index for part in parts for one in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("lengths", "batch"), [([3, 1, 2, 5, 4], 2), ([1, 1, 1], 8), ([], 4), ([2, 9, 2, 9], 1)])
def test_batches_hold_every_row_once_longest_first(lengths, batch):
    found = list(inputs.by_length(lengths, batch))
    rows = [row for one in found for row in one]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    assert all(len(one) <= batch for one in found) and len(found) == -(-len(lengths) // batch)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    target = tmp_path_factory.mktemp("model") / "model.json"
    settings = {"family": "llava_next", "checkpoint": "weights/llava", "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS, settings), target)
    return load(target)


def picture(sample):
    noise = np.random.default_rng(sample.index).integers(0, 256, (sample.height, sample.width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.fixture(scope="module")
def mixed():
    questions = ["what is this?", "what?", "what is the colour of the large thing?"]
    return [replace(one, question=text) for one, text in zip(many(3, width=60, height=40), questions, strict=True)]


def prompt(sample):
    return f"<image>\n{sample.question}"


def test_prefill_pads_on_the_right_and_names_its_rows(shipped, mixed):
    found = list(batches.prefill(shipped, mixed, prompt, picture, 2))
    assert [one.rows for one in found] == [(2, 0), (1,)]
    for one in found:
        mask = one.inputs["attention_mask"]
        assert (mask[:, :-1] >= mask[:, 1:]).all()
        assert mask[:, 0].all()


def test_left_padded_prompts_end_together(shipped, mixed):
    texts = [prompt(sample) for sample in mixed]
    tensors = inputs.encode(shipped, texts, [picture(sample) for sample in mixed], side="left")
    mask = tensors["attention_mask"]
    assert mask[:, -1].all() and not mask[1, 0]


def test_every_image_token_meets_one_image_feature(shipped, mixed):
    for batch in batches.prefill(shipped, mixed, prompt, picture, 3):
        with torch.inference_mode():
            features = shipped.model.model.get_image_features(
                batch.inputs["pixel_values"], batch.inputs["image_sizes"]
            ).pooler_output
        count = (batch.inputs["input_ids"] == shipped.config.image_token_id).sum(1).tolist()
        assert count == [len(one) for one in features]


def test_pictures_are_read_below_the_dataset_folder(tmp_path):
    Image.new("RGB", (3, 2), (9, 8, 7)).save(tmp_path / "a.png")
    assert batches.picture_of(str(tmp_path))(ONE).getpixel((1, 1)) == (9, 8, 7)
