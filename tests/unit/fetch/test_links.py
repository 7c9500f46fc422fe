import io
import json

import polars as pl
import pytest
from doubles import names, tarred
from PIL import Image

from vlmscope.datasets import sbu
from vlmscope.errors import VlmscopeError
from vlmscope.fetch import links, picture

SIZES = {"train": 3, "valid": 2, "test": 1}
SPLITS = {"train": "train", "val": "valid"}
TABLE = """
[sbu]
title = "Links"
version = "1"
homepage = "https://example.org"
licence = "unknown"

[[sbu.files]]
splits = ["train", "valid", "test"]
path = "links.tar.gz"
url = "{url}"
unpack = "."
"""


def photo(gray):
    """A small picture of one gray level."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (gray,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(picture, "WAITS", (0, 0))


@pytest.fixture
def benchmark(server, tmp_path):
    """Twelve links whose pictures have ten times their row for gray level; every fourth is dead."""
    urls = [server.url(f"{row % 3}/{row}.jpg") for row in range(12)]
    server.files |= {f"{row % 3}/{row}.jpg": photo(10 * row) for row in range(12) if row % 4 != 1}
    return offered(server, tmp_path, urls)


def offered(server, tmp_path, urls):
    """The archive with these links, and the dataset table that leads to it."""
    lists = {"image_urls": urls, "captions": [f"caption {row}" for row in range(len(urls))]}
    archive = tarred(tmp_path / "links.tar.gz", {sbu.LINKS: json.dumps(lists).encode()})
    server.files["links.tar.gz"] = archive.read_bytes()
    table = tmp_path / "sources.toml"
    table.write_text(TABLE.format(url=server.url("links.tar.gz")), encoding="utf-8")
    return table


def fetched(table, folder, **deal):
    return links.fetch_linked(folder, SPLITS, SIZES | deal, table)


def pictures_asked(server):
    return [path for path, _ in server.asked if not path.endswith(".gz")]


def test_links_are_asked_until_there_are_enough_pictures(server, benchmark, tmp_path):
    about, dead = fetched(benchmark, tmp_path / "sbu")
    assert (about["kind"], about["source"], about["pictures"], about["dead"]) == ("sbu", "download", 6, 2)
    assert dead.rows() == [(1, server.url("1/1.jpg"), "gone"), (5, server.url("2/5.jpg"), "gone")]
    assert names(tmp_path / "sbu" / "images") == [f"{row}.jpg" for row in (0, 2, 3, 4, 6, 7)]
    # Nothing behind the last one that was needed.
    assert sorted(pictures_asked(server)) == sorted(f"/{row % 3}/{row}.jpg" for row in range(8))


def test_the_set_is_frozen_as_the_official_loader_deals_it(benchmark, tmp_path):
    root = tmp_path / "sbu"
    fetched(benchmark, root)
    alive = [0, 2, 3, 4, 6, 7]
    dealt = sbu.deal(6, SIZES)
    for split in sbu.SPLITS:
        read = list(sbu.read(root, split, name="sbu"))
        assert [one.index for one in read] == [alive[place] for place in dealt[split]]
    (root / sbu.MANIFEST).rename(root / "frozen")
    again = {split: [one.index for one in sbu.read(root, split, name="sbu", **SIZES)] for split in sbu.SPLITS}
    assert again == {split: [alive[place] for place in dealt[split]] for split in sbu.SPLITS}


def test_a_dead_link_shifts_no_caption(benchmark, tmp_path):
    fetched(benchmark, tmp_path)
    table = pl.read_parquet(tmp_path / sbu.MANIFEST)
    assert table.schema == sbu.SCHEMA
    for one in table.filter(pl.col("split").is_not_null()).iter_rows(named=True):
        with Image.open(tmp_path / "images" / one["file"]) as opened:
            assert opened.getpixel((0, 0)) == (10 * one["row"],) * 3
        assert one["caption"] == f"caption {one['row']}" and (one["width"], one["height"]) == (8, 6)
    rest = table.filter(pl.col("split").is_null())
    assert rest["file"].null_count() == rest["sha256"].null_count() == len(rest) == 2


def test_a_second_run_asks_for_nothing(server, benchmark, tmp_path):
    first = fetched(benchmark, tmp_path)[0]
    server.asked.clear()
    assert fetched(benchmark, tmp_path)[0] == first
    assert server.asked == []


def test_a_run_that_broke_off_goes_on_where_it_ended(server, benchmark, tmp_path, monkeypatch):
    whole, fetch = fetched(benchmark, tmp_path / "whole")[0], picture.fetch
    monkeypatch.setattr(links, "CONNECTIONS", 1)

    def killed(url, target):
        if url.endswith("4.jpg"):
            raise KeyboardInterrupt
        return fetch(url, target)

    monkeypatch.setattr(picture, "fetch", killed)
    with pytest.raises(KeyboardInterrupt):
        fetched(benchmark, tmp_path / "broken")
    monkeypatch.setattr(picture, "fetch", fetch)
    with open(tmp_path / "broken" / links.JOURNAL, "a") as journal:
        journal.write('\n[4, "http')
    server.asked.clear()
    assert fetched(benchmark, tmp_path / "broken")[0]["digest"] == whole["digest"]
    assert sorted(pictures_asked(server)) == ["/0/6.jpg", "/1/4.jpg", "/1/7.jpg", "/2/5.jpg"]


def test_trouble_that_passes_is_tried_again(server, benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(links, "CONNECTIONS", 1)
    fetched(benchmark, tmp_path / "calm")
    server.faults = [None, 503, 429, None, None, "cut"]
    about, _ = fetched(benchmark, tmp_path / "troubled")
    assert about["dead"] == 2
    for name in (sbu.MANIFEST, sbu.LINKS):
        assert (tmp_path / "calm" / name).read_bytes() == (tmp_path / "troubled" / name).read_bytes()


def test_silent_links_count_as_dead_and_are_asked_again_by_the_next_run(server, benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(links, "CONNECTIONS", 1)
    server.faults = [None] + [503] * 3
    _, dead = fetched(benchmark, tmp_path / "sbu")
    assert dead.rows()[0] == (0, server.url("0/0.jpg"), "no answer")
    (tmp_path / "sbu" / sbu.MANIFEST).unlink()
    server.asked.clear()
    _, dead = fetched(benchmark, tmp_path / "sbu")
    assert dead["row"].to_list() == [1, 5]
    assert pictures_asked(server) == ["/0/0.jpg"]


def test_notices_and_files_that_are_no_pictures_count_as_dead(server, benchmark, tmp_path, monkeypatch):
    notice = photo(255) + b"!"
    monkeypatch.setattr(picture, "NOTICES", {(len(notice), links.web._digest(written(tmp_path, notice), "md5"))})
    monkeypatch.setattr(picture, "LARGEST", 5000)
    server.files |= {"0/0.jpg": notice, "2/2.jpg": b"<html>", "0/3.jpg": photo(30)[:45], "1/4.jpg": b"x" * 6000}
    with pytest.raises(VlmscopeError, match="The first 12 links lead to 5 pictures, 6 are needed"):
        fetched(benchmark, tmp_path)
    noted = [json.loads(line) for line in (tmp_path / links.JOURNAL).read_text().split("\n") if line]
    statuses = {row: status for row, _, _, status, *_ in noted if status != "ok"}
    assert statuses == {0: "gone", 1: "gone", 2: "no picture", 3: "no picture", 4: "too large", 5: "gone", 9: "gone"}
    assert names(tmp_path / "images") == [f"{row}.jpg" for row in (10, 11, 6, 7, 8)]


def written(folder, content):
    (folder / "content").write_bytes(content)
    return folder / "content"


def test_the_same_bytes_behind_many_links_are_a_notice(server, benchmark, tmp_path):
    server.files |= {f"{row % 3}/{row}.jpg": photo(1) for row in (2, 4, 6)}
    _, dead = fetched(benchmark, tmp_path)
    assert dict(zip(dead["row"], dead["status"], strict=True)) == dict.fromkeys((1, 2, 4, 5, 6, 9), "gone")


def test_a_name_of_two_links_gets_a_row_behind_it(server, tmp_path):
    paths = ["a/x.jpg", "b/X.jpg", "c/x.jpg?size=2", "d/", "e/../ö.jpg", "f/y.jpg"]
    urls = [server.url(path.replace("ö", "%C3%B6")) for path in paths]
    server.files |= {url.split("/", 3)[3]: photo(10 * row) for row, url in enumerate(urls)}
    fetched(offered(server, tmp_path, urls), tmp_path / "sbu")
    table = pl.read_parquet(tmp_path / "sbu" / sbu.MANIFEST).sort("row")
    assert table["file"].to_list() == ["x.jpg", "X-1.jpg", "x-2.jpg", "-3", "_C3_B6.jpg", "y.jpg"]
    assert names(tmp_path / "sbu" / "images") == sorted(table["file"])


def test_other_sizes_deal_anew_without_asking_again(server, benchmark, tmp_path):
    fetched(benchmark, tmp_path)
    server.asked.clear()
    about, _ = fetched(benchmark, tmp_path, train=4)
    assert about["pictures"] == 7 and pictures_asked(server) == ["/2/8.jpg"]
    server.asked.clear()
    assert fetched(benchmark, tmp_path, train=4, seed=1)[0]["digest"] != about["digest"]
    assert server.asked == []


def test_pictures_of_a_manifest_come_back_as_they_were(server, benchmark, tmp_path):
    first = fetched(benchmark, tmp_path)[0]
    for name in ("3.jpg", "7.jpg"):
        (tmp_path / "images" / name).unlink()
    server.asked.clear()
    assert fetched(benchmark, tmp_path)[0] == first
    assert sorted(pictures_asked(server)) == ["/0/3.jpg", "/1/7.jpg"]
    for name in ("3.jpg", "7.jpg"):
        (tmp_path / "images" / name).unlink()
    server.files |= {"0/3.jpg": photo(99)}
    with pytest.raises(VlmscopeError, match="1 of the 6 pictures of the manifest cannot be fetched again") as caught:
        fetched(benchmark, tmp_path)
    assert "0/3.jpg (other bytes)" in str(caught.value)
    assert "3.jpg" not in names(tmp_path / "images")


def test_without_a_network_the_run_stops_early(server, tmp_path):
    nowhere = [f"http://127.0.0.1:9/{row}.jpg" for row in range(100)]
    with pytest.raises(VlmscopeError, match="None of 20 links answers"):
        fetched(offered(server, tmp_path, nowhere), tmp_path / "sbu", train=17)


def test_only_web_addresses_are_asked(tmp_path):
    (tmp_path / "secret.png").write_bytes(photo(0))
    assert picture.fetch(f"file://{tmp_path}/secret.png", tmp_path / "x.png").status == "no web address"
    assert names(tmp_path) == ["secret.png"]
