import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vlmscope.datasets import sbu
from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw

SCENES = [draw("com", seed) for seed in range(6)]
SIZES = {"train": 12, "valid": 4, "test": 4}
LEGACY = [5, 2, 0, 3, 4, 6, 1, 7]
URLS = [f"http://static.example.com/{k % 7}/{k:03d}_photo.jpg" for k in range(60)]
DEAD = {k for k in range(60) if k % 5 == 3}


def official_folder(root, urls=URLS, alive=None):
    """A folder as the official loader leaves it: pictures whose gray level is their row."""
    alive = [k for k in range(len(urls)) if k not in DEAD][:20] if alive is None else alive
    (root / "images").mkdir()
    for k in alive:
        Image.new("RGB", (8, 8), (k, k, k)).save(root / "images" / urls[k].rpartition("/")[2])
    lists = {"image_urls": urls, "captions": [f"caption {k}" for k in range(len(urls))], "user_ids": ["u"] * len(urls)}
    (root / sbu.LINKS).write_text(json.dumps(lists))
    return root


def read(root, split, **options):
    return list(sbu.read(root, split, name="sbu", **{**SIZES, **options}))


def test_pictures_that_are_there_are_dealt_as_the_official_loader_deals_them(tmp_path):
    official_folder(tmp_path)
    alive = [k for k in range(40) if k not in DEAD][:20]
    order = np.random.RandomState(2023).permutation(20)
    expected = [alive[place] for place in order]
    dealt = {split: [one.index for one in read(tmp_path, split)] for split in sbu.SPLITS}
    assert dealt == {"train": expected[:12], "valid": expected[12:16], "test": expected[16:]}


def test_the_deal_of_seed_2023():
    # numpy's legacy generator is frozen: these numbers hold for every release.
    assert {split: places.tolist() for split, places in sbu.deal(8, {"train": 5, "valid": 2, "test": 1}).items()} == {
        "train": LEGACY[:5],
        "valid": LEGACY[5:7],
        "test": LEGACY[7:],
    }


def test_a_dead_link_never_shifts_a_caption(tmp_path):
    official_folder(tmp_path)
    for split in sbu.SPLITS:
        for one in read(tmp_path, split):
            gray = np.asarray(Image.open(tmp_path / one.images[0])).mean()
            assert json.loads(one.answer) == {"caption": f"caption {one.index}", "in_picture": None}
            assert abs(gray - one.index) < 2


def test_another_seed_deals_otherwise(tmp_path):
    official_folder(tmp_path)
    assert [one.index for one in read(tmp_path, "train", seed=1)] != [one.index for one in read(tmp_path, "train")]


def test_links_beyond_twice_the_wanted_number_are_not_looked_at(tmp_path):
    official_folder(tmp_path, alive=[*range(19), 45])
    with pytest.raises(VlmscopeError, match="19 pictures are not enough"):
        read(tmp_path, "train")


def test_a_name_of_two_links_is_nobodys(tmp_path):
    urls = [*URLS[:20], "http://other.example.com/001_photo.jpg", *URLS[21:]]
    official_folder(tmp_path, urls=urls, alive=range(22))
    rows = [one.index for split in sbu.SPLITS for one in read(tmp_path, split)]
    assert sorted(rows) == sorted(set(range(22)) - {1, 20})


def test_a_manifest_is_kept_to_whatever_else_lies_there(tmp_path):
    sbu.write(SCENES[:4], tmp_path, "train")
    before = read(tmp_path, "train", query="what?")
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "more.jpg")
    assert read(tmp_path, "train", query="what?") == before
    assert {one.question for one in before} == {"what?"}


def test_splits_are_drawn_into_one_folder_in_any_order(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for split in ("train", "valid"):
        sbu.write(SCENES[:4] if split == "train" else SCENES[4:], tmp_path / "a", split)
    for split in ("valid", "train", "train"):
        sbu.write(SCENES[:4] if split == "train" else SCENES[4:], tmp_path / "b", split)
    for name in (sbu.LINKS, sbu.MANIFEST):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert [len(read(tmp_path / "a", split)) for split in sbu.SPLITS] == [4, 2, 0]


def test_what_is_in_a_drawn_picture_comes_along(tmp_path):
    sbu.write(SCENES, tmp_path, "test")
    for one, scene in zip(read(tmp_path, "test"), SCENES, strict=True):
        answer = json.loads(one.answer)
        assert answer["caption"] == scene.caption
        nouns = {thing.name for thing in scene.things} | {"park", "room", "beach"}
        said = {word for word in scene.caption.replace(",", "").split() if word in nouns}
        # What others cover whole is said by the caption but cannot be seen.
        assert set(answer["in_picture"]) <= said and len(answer["in_picture"]) >= 2


def test_a_manifest_of_other_lists_is_refused(tmp_path):
    sbu.write(SCENES, tmp_path, "train")
    lists = json.loads((tmp_path / sbu.LINKS).read_text())
    lists["image_urls"].reverse()
    (tmp_path / sbu.LINKS).write_text(json.dumps(lists))
    with pytest.raises(VlmscopeError, match="is not the link"):
        read(tmp_path, "train")


def test_lists_of_different_lengths_are_refused(tmp_path):
    sbu.write(SCENES, tmp_path, "train")
    lists = json.loads((tmp_path / sbu.LINKS).read_text())
    (tmp_path / sbu.LINKS).write_text(json.dumps(lists | {"captions": lists["captions"][1:]}))
    with pytest.raises(VlmscopeError, match="different lengths"):
        read(tmp_path, "train")


def test_the_manifest_holds_sizes_and_digests(tmp_path):
    sbu.write(SCENES, tmp_path, "train")
    table = pl.read_parquet(tmp_path / sbu.MANIFEST)
    assert table.schema == sbu.SCHEMA
    assert table["row"].to_list() == list(range(6)) and set(table["status"]) == {"ok"}
    assert set(table["width"]) == set(table["height"]) == {64} and table["sha256"].str.len_chars().unique().item() == 64


def test_a_drawn_picture_tells_its_scene(tmp_path):
    scene = draw("com", 7)
    sbu.write([scene], tmp_path, "valid")
    (sample,) = sbu.read(tmp_path, "valid", name="sbu")
    assert sbu.seed_of(sample.images[0]) == 7
    with pytest.raises(VlmscopeError, match="no drawn picture"):
        sbu.seed_of("images/4f2b_o.jpg")
