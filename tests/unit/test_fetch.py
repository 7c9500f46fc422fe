"""Downloads from a server on this machine that breaks off, forgets and lies; archives that try to get out."""

import hashlib
import http.server
import io
import json
import logging
import stat
import tarfile
import threading
import types
import zipfile
from pathlib import Path

import pytest

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.fetch import archives, benchmarks, hub, web
from vlmscope.raw import RAW

BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Hands out `files`; `faults` is a list of what goes wrong with the next answers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.asked = {}, [], []
        self.tag, self.knows_ranges = '"one"', True

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, span = self.server, self.headers.get("Range")
        server.asked.append((self.path, span))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, int):
            return self.send_error(fault)
        if self.path[1:] not in server.files:
            return self.send_error(404)
        body, start = server.files[self.path[1:]], 0
        if span and server.knows_ranges and self.headers.get("If-Range", server.tag) == server.tag:
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            first = 0 if fault == "wrong range" else start
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(204 if fault == "empty" else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(web, "WAITS", (0, 0, 0))
    with Server() as server:
        server.files["data.zip"] = BODY
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# --- one file ---------------------------------------------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_is_measured(server, tmp_path):
    got = web.download(server.url("data.zip"), tmp_path / "deep" / "data.zip")
    assert (tmp_path / "deep" / "data.zip").read_bytes() == BODY
    assert got == {"url": server.url("data.zip"), "size": len(BODY), "sha256": SHA256}
    assert names(tmp_path / "deep") == ["data.zip"]


def test_sums_that_are_known_are_compared(server, tmp_path):
    web.download(server.url("data.zip"), tmp_path / "data.zip", size=len(BODY), sha256=SHA256, md5=MD5)
    assert (tmp_path / "data.zip").read_bytes() == BODY


def test_progress_goes_to_the_log(server, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="vlmscope"):
        web.download(server.url("data.zip"), tmp_path / "data.zip")
    assert "data.zip: 1.0 of 1.0 MB" in caplog.text


def test_a_connection_cut_half_way_is_taken_up_where_it_ended(server, tmp_path):
    server.faults = ["cut", "cut"]
    web.download(server.url("data.zip"), tmp_path / "data.zip", sha256=SHA256)
    half, rest = len(BODY) // 2, len(BODY) // 4
    assert [span for _, span in server.asked] == [None, f"bytes={half}-", f"bytes={half + rest}-"]


def test_a_part_of_an_earlier_run_is_taken_up(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(BODY[:1000])
    web.download(server.url("data.zip"), tmp_path / "data.zip", sha256=SHA256)
    assert server.asked == [("/data.zip", "bytes=1000-")]
    assert names(tmp_path) == ["data.zip"]


def test_a_part_that_is_whole_already_is_kept(server, tmp_path):
    (tmp_path / "data.zip.part").write_bytes(BODY)
    web.download(server.url("data.zip"), tmp_path / "data.zip", sha256=SHA256)
    (tmp_path / "again.part").write_bytes(BODY)
    web.download(server.url("data.zip"), tmp_path / "again", size=len(BODY), sha256=SHA256)
    assert [span for _, span in server.asked] == [f"bytes={len(BODY)}-"]


@pytest.mark.parametrize("known", [{}, {"size": len(BODY)}])
def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path, known):
    (tmp_path / "data.zip.part").write_bytes(BODY + b"more")
    web.download(server.url("data.zip"), tmp_path / "data.zip", sha256=SHA256, **known)
    assert (tmp_path / "data.zip").read_bytes() == BODY


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, tmp_path):
    server.knows_ranges, server.faults = False, ["cut"]
    web.download(server.url("data.zip"), tmp_path / "data.zip", sha256=SHA256)
    assert len(server.asked) == 2


def test_a_file_that_changed_meanwhile_is_read_from_the_start(server, tmp_path):
    server.faults = ["cut", 404]
    with pytest.raises(VlmscopeError):
        web.download(server.url("data.zip"), tmp_path / "data.zip")
    server.files["data.zip"], server.tag = BODY[::-1], '"two"'
    web.download(server.url("data.zip"), tmp_path / "data.zip")
    assert (tmp_path / "data.zip").read_bytes() == BODY[::-1]


def test_a_server_that_always_breaks_off_is_not_asked_forever(server, tmp_path):
    server.knows_ranges, server.faults = False, ["cut"] * 50
    with pytest.raises(VlmscopeError, match="broke off 4 times") as caught:
        web.download(server.url("data.zip"), tmp_path / "data.zip")
    assert f"{len(BODY) // 2} bytes that are here are kept" in caught.value.instead
    assert "data.zip.part" in names(tmp_path)


def test_a_missing_file_is_refused_at_once(server, tmp_path):
    with pytest.raises(VlmscopeError, match="does not hand out this file: 404") as caught:
        web.download(server.url("nothing.zip"), tmp_path / "nothing.zip")
    assert len(server.asked) == 1
    assert caught.value.where == server.url("nothing.zip")
    assert names(tmp_path) == []


def test_trouble_within_the_server_passes_with_another_try(server, tmp_path):
    server.faults = [500, 503]
    web.download(server.url("data.zip"), tmp_path / "data.zip", sha256=SHA256)
    assert len(server.asked) == 3


def test_an_error_page_never_takes_the_place_of_the_file(server, tmp_path):
    server.faults = [500] * 50
    with pytest.raises(VlmscopeError, match="the server answers 500"):
        web.download(server.url("data.zip"), tmp_path / "data.zip")
    assert len(server.asked) == 4 and names(tmp_path) == []


@pytest.mark.parametrize("fault", ["wrong range", "empty"])
def test_an_answer_that_does_not_fit_the_question_is_refused(server, tmp_path, fault):
    if fault == "wrong range":
        (tmp_path / "data.zip.part").write_bytes(BODY[:1000])
    server.faults = [fault]
    with pytest.raises(VlmscopeError, match=r"The server answers 20[46] with range"):
        web.download(server.url("data.zip"), tmp_path / "data.zip")


@pytest.mark.parametrize("known", [{"size": 17}, {"sha256": "0" * 64}, {"md5": "0" * 32}])
def test_a_wrong_file_is_deleted_and_named(server, tmp_path, known):
    (kind, value), *_ = known.items()
    with pytest.raises(VlmscopeError, match=f"its {kind} is .* instead of {value}"):
        web.download(server.url("data.zip"), tmp_path / "data.zip", **known)
    assert names(tmp_path) == []


def test_a_file_that_is_there_is_compared_and_never_deleted(server, tmp_path):
    (tmp_path / "data.zip").write_bytes(BODY)
    assert web.download(server.url("data.zip"), tmp_path / "data.zip", sha256=SHA256)["sha256"] == SHA256
    with pytest.raises(VlmscopeError, match="delete it and run again"):
        web.download(server.url("data.zip"), tmp_path / "data.zip", sha256="0" * 64)
    assert server.asked == [] and names(tmp_path) == ["data.zip"]


def test_a_server_that_is_not_there_is_named(server, tmp_path):
    url = "http://127.0.0.1:9/data.zip"
    with pytest.raises(VlmscopeError, match="broke off") as caught:
        web.download(url, tmp_path / "data.zip")
    assert caught.value.where == url


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "data:text/plain,x"])
def test_only_web_addresses_are_opened(url, tmp_path):
    with pytest.raises(VlmscopeError, match="no web address"):
        web.download(url, tmp_path / "x")


# --- archives ---------------------------------------------------------------------------------------------------------


def zipped(path, members):
    """Members: name -> bytes, or ("link", target)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if isinstance(content, tuple):
                info.external_attr, content = (stat.S_IFLNK | 0o777) << 16, content[1]
            archive.writestr(info, content)
    return path


def tarred(path, members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
                info.type, info.linkname = kinds[content[0]], content[1]
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


PACKERS = {"zip": zipped, "tar": tarred, "tar.gz": tarred}


@pytest.fixture(params=PACKERS)
def pack(request, tmp_path):
    return lambda members: PACKERS[request.param](tmp_path / f"a.{request.param}", members)


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".unpacked")
    }


def test_an_archive_is_unpacked_with_its_folders(pack, tmp_path):
    files = {"train/1.jpg": b"one", "train/deep/2.jpg": b"two"}
    assert archives.unpack(pack(files), tmp_path / "out")["files"] == 2
    assert tree(tmp_path / "out") == files


def test_an_archive_is_unpacked_flat_and_in_part(pack, tmp_path):
    files = {"x/y/1.tif": b"one", "x/1.png": b"no", "2.tif": b"two", "__MACOSX/x/._1.tif": b"no", "x/._2.tif": b"no"}
    archives.unpack(pack(files), tmp_path / "Data", ["*.tif"], flat=True)
    assert tree(tmp_path / "Data") == {"1.tif": b"one", "2.tif": b"two"}


def test_a_finished_unpacking_is_not_repeated_even_without_the_archive(pack, tmp_path):
    archive, out = pack({"1.jpg": b"one", "2.jpg": b"two", "3.jpg": b"three"}), tmp_path / "out"
    archives.unpack(archive, out)
    (out / "2.jpg").write_bytes(b"mine")
    archives.unpack(archive, out)
    archive.unlink()
    archives.unpack(archive, out)
    assert (out / "2.jpg").read_bytes() == b"mine"


def test_an_interrupted_unpacking_is_done_again(pack, tmp_path, monkeypatch):
    archive, out = pack({"1.jpg": b"one", "2.jpg": b"two"}), tmp_path / "out"

    def interrupted(source, target, length):
        target.write(source.read(1))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives.shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            archives.unpack(archive, out)
    archives.unpack(archive, out)
    assert tree(out) == {"1.jpg": b"one", "2.jpg": b"two"}


def test_what_was_unpacked_and_deleted_comes_back(pack, tmp_path):
    archive, out = pack({"1.jpg": b"one", "2.jpg": b"two"}), tmp_path / "out"
    archives.unpack(archive, out)
    (out / "2.jpg").unlink()
    archives.unpack(archive, out)
    assert len(tree(out)) == 2


@pytest.mark.parametrize(
    "name", ["../out.jpg", "a/../../out.jpg", "/tmp/out.jpg", "a/..", "..\\out.jpg", "C:/out.jpg", "C:\\out.jpg"]
)
def test_names_that_leave_the_folder_are_refused_before_anything_is_written(pack, tmp_path, name):
    archive = pack({"good.jpg": b"good", name: b"bad"})
    with pytest.raises(VlmscopeError, match="would leave the folder"):
        archives.unpack(archive, tmp_path / "deep" / "out")
    assert names(tmp_path) == [archive.name]


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("goal", ["/etc/passwd", "../../secret", "a", "nothing.jpg", "."])
def test_links_out_of_the_archive_are_refused(pack, tmp_path, goal, flat):
    (tmp_path / "secret").write_bytes(b"secret")
    with pytest.raises(VlmscopeError, match="is a link to"):
        archives.unpack(pack({"a/1.jpg": b"one", "a/2.jpg": ("link", goal)}), tmp_path / "out", flat=flat)
    assert not (tmp_path / "out").exists()


def test_links_within_the_archive_become_copies(pack, tmp_path):
    archives.unpack(pack({"a/1.jpg": b"one", "b/2.jpg": ("link", "../a/1.jpg")}), tmp_path / "out")
    assert tree(tmp_path / "out") == {"a/1.jpg": b"one", "b/2.jpg": b"one"}
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_a_file_is_not_written_through_a_link_of_the_archive(tmp_path):
    (tmp_path / "aim").mkdir()
    with pytest.raises(VlmscopeError, match="is a link to"):
        archives.unpack(tarred(tmp_path / "a.tar", {"d": ("link", "../aim"), "d/1.jpg": b"bad"}), tmp_path / "out")
    assert names(tmp_path / "aim") == []


def test_hard_links_out_and_devices_are_refused(tmp_path):
    with pytest.raises(VlmscopeError, match="is a link to"):
        archives.unpack(tarred(tmp_path / "a.tar", {"1": ("hard", "../secret")}), tmp_path / "out")
    with pytest.raises(VlmscopeError, match="is a device"):
        archives.unpack(tarred(tmp_path / "b.tar", {"1": ("device", "")}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_files_of_one_name_cannot_lie_flat(pack, tmp_path):
    with pytest.raises(VlmscopeError, match="name of another member"):
        archives.unpack(pack({"a/1.jpg": b"one", "b/1.jpg": b"two"}), tmp_path / "out", flat=True)


def test_a_cut_or_foreign_archive_is_named(pack, tmp_path):
    archive = pack({"1.jpg": b"one" * 5000})
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(VlmscopeError, match="damaged") as caught:
        archives.unpack(archive, tmp_path / "out")
    assert caught.value.where == str(archive)


def test_a_member_whose_bytes_were_changed_is_found(tmp_path):
    archive = zipped(tmp_path / "a.zip", {"1.jpg": b"content of the file"})
    archive.write_bytes(archive.read_bytes().replace(b"content", b"CONTENT"))
    with pytest.raises(VlmscopeError, match="damaged"):
        archives.unpack(archive, tmp_path / "out")
    assert not archives.unpacked_marker(archive, tmp_path / "out").exists()


def test_an_archive_larger_than_the_disk_is_refused(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=2))
    with pytest.raises(VlmscopeError, match="Unpacking needs"):
        archives.unpack(pack({"1.jpg": b"one"}), tmp_path / "out")


def test_an_archive_without_the_files_asked_for_is_named(pack, tmp_path):
    with pytest.raises(VlmscopeError, match=r"no file like \*\.tif"):
        archives.unpack(pack({"1.jpg": b"one"}), tmp_path / "out", ["*.tif"])


# --- Hugging Face -----------------------------------------------------------------------------------------------------

COMMIT = "c0ffee" + "0" * 34


@pytest.fixture
def fake_hub(monkeypatch):
    """A repository of the hub; what is asked for is written to the folder."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    repository, asked = {}, []

    class Api:
        def repo_info(self, repo, repo_type, revision):
            if not repository:
                raise huggingface_hub.errors.OfflineModeIsEnabled("no network")
            siblings = [types.SimpleNamespace(rfilename=name) for name in repository]
            return types.SimpleNamespace(sha=COMMIT, siblings=siblings)

    def snapshot_download(repo, repo_type, revision, local_dir, allow_patterns):
        asked.append((repo, repo_type, revision, tuple(allow_patterns)))
        for name in allow_patterns:
            target = Path(local_dir) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(repository[name])

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return types.SimpleNamespace(repository=repository, asked=asked)


def test_a_checkpoint_comes_at_its_commit_without_pickles_and_programs(fake_hub, tmp_path):
    fake_hub.repository |= dict.fromkeys(
        ["model.safetensors", "config.json", "tokenizer.model", "merges.txt", "pytorch_model.bin", "run.py", "x.pt"],
        b"x",
    )
    got = hub.fetch_model(tmp_path / "hub", "some/model", "main")
    assert names(tmp_path / "hub") == ["config.json", "merges.txt", "model.safetensors", "tokenizer.model"]
    assert fake_hub.asked[0][:3] == ("some/model", "model", COMMIT)
    assert (got["commit"], got["revision"], got["checkpoint"]) == (COMMIT, "main", "some/model")
    assert got["files"]["config.json"] == {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}


def test_a_checkpoint_of_pickles_alone_is_refused(fake_hub, tmp_path):
    fake_hub.repository |= {"config.json": b"{}", "pytorch_model.bin": b"x"}
    with pytest.raises(VlmscopeError, match=r"no \.safetensors file"):
        hub.fetch_model(tmp_path, "some/model", "main")


def test_weights_of_another_revision_in_the_folder_are_refused(fake_hub, tmp_path):
    fake_hub.repository |= {"config.json": b"{}", "model.safetensors": b"x"}
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"old")
    with pytest.raises(VlmscopeError, match="another revision: model-00001"):
        hub.fetch_model(tmp_path, "some/model", "main")


@pytest.mark.parametrize("pattern", ["*", "*.bin", "*.py", "data/*"])
def test_patterns_that_let_programs_in_are_refused(tmp_path, pattern):
    with pytest.raises(VlmscopeError, match="never fetched"):
        hub.hub("some/data", "main", tmp_path, [pattern])


def test_a_hub_out_of_reach_is_named(fake_hub, tmp_path):
    with pytest.raises(VlmscopeError, match="does not hand this out: no network") as caught:
        hub.hub("some/data", "main", tmp_path, ["*.parquet"])
    assert caught.value.where == "some/data at main"


# --- benchmarks -------------------------------------------------------------------------------------------------------

TABLE = """
[vqav2]
title = "Some benchmark"
version = "2"
homepage = "https://example.org"
licence = "CC0"

[[vqav2.files]]
splits = ["train"]
path = "q.zip"
url = "{url}"
sha256 = "{sha256}"
unpack = "pictures"
members = ["*.jpg"]
flat = true

[[vqav2.files]]
splits = ["val"]
path = "evaluation/val.zip"
manual = "https://example.org/account"
unpack = "evaluation"
"""
SPLITS = {"train": "train", "val": "val"}


@pytest.fixture
def table(server, tmp_path):
    packed = zipped(tmp_path / "q.zip", {"deep/1.jpg": b"one"}).read_bytes()
    server.files["q.zip"] = packed
    path = tmp_path / "sources.toml"
    path.write_text(TABLE.format(url=server.url("q.zip"), sha256=hashlib.sha256(packed).hexdigest()), encoding="utf-8")
    return path


def place_by_hand(folder):
    (folder / "evaluation").mkdir(parents=True)
    return zipped(folder / "evaluation" / "val.zip", {"2.jpg": b"two"})


def test_a_benchmark_is_fetched_unpacked_and_described(server, table, tmp_path):
    root = tmp_path / "raw"
    by_hand = place_by_hand(root)
    got = benchmarks.fetch_dataset("vqav2", root, SPLITS, table)
    assert (root / "pictures" / "1.jpg").read_bytes() == b"one"
    assert (root / "evaluation" / "2.jpg").read_bytes() == b"two"
    assert (got["format"], got["kind"], got["source"], got["root"]) == (RAW, "vqav2", "download", str(root))
    assert (got["title"], got["version"], got["licence"]) == ("Some benchmark", "2", "CC0")
    assert got["fetched"]["q.zip"]["url"] == server.url("q.zip")
    assert got["fetched"]["evaluation/val.zip"]["sha256"] == hashlib.sha256(by_hand.read_bytes()).hexdigest()
    assert got["files"] == 2 and len(got["digest"]) == 32
    json.dumps(got)


def test_files_behind_an_account_are_asked_for_by_place_before_anything_is_fetched(server, table, tmp_path):
    root = tmp_path / "raw"
    with pytest.raises(VlmscopeError, match="handed out by its authors") as caught:
        benchmarks.fetch_dataset("vqav2", root, SPLITS, table)
    assert str(root / "evaluation" / "val.zip") in str(caught.value)
    assert "https://example.org/account" in str(caught.value)
    assert server.asked == []


def test_a_split_that_is_not_wanted_is_not_fetched(server, table, tmp_path):
    got = benchmarks.fetch_dataset("vqav2", tmp_path / "raw", {"train": "train"}, table)
    assert list(got["fetched"]) == ["q.zip"]


def test_a_second_run_asks_for_nothing_and_says_the_same(server, table, tmp_path, monkeypatch):
    root = tmp_path / "raw"
    place_by_hand(root)
    first = benchmarks.fetch_dataset("vqav2", root, SPLITS, table)
    server.asked.clear()
    monkeypatch.setattr(web, "measure", lambda path: pytest.fail("measured again"))
    assert benchmarks.fetch_dataset("vqav2", root, SPLITS, table) == first
    # Once unpacked, archives may go.
    (root / "q.zip").unlink()
    (root / "evaluation" / "val.zip").unlink()
    assert benchmarks.fetch_dataset("vqav2", root, SPLITS, table) == first
    assert server.asked == []


def test_a_file_that_changed_on_disk_is_compared_again(server, table, tmp_path):
    root = tmp_path / "raw"
    benchmarks.fetch_dataset("vqav2", root, {"train": "train"}, table)
    (root / "q.zip").write_bytes(b"something else")
    with pytest.raises(VlmscopeError, match="its sha256 is"):
        benchmarks.fetch_dataset("vqav2", root, {"train": "train"}, table)


def test_an_unknown_benchmark_or_split_is_refused(table, tmp_path):
    with pytest.raises(VlmscopeError, match="does not know where gqa"):
        benchmarks.fetch_dataset("gqa", tmp_path, SPLITS, table)
    with pytest.raises(VlmscopeError, match="no files for the split test"):
        benchmarks.fetch_dataset("vqav2", tmp_path, {"val": "test"}, table)


def test_tables_of_the_hub_are_described_by_their_address(fake_hub, tmp_path):
    fake_hub.repository |= {"data/validation-00000-of-00001.parquet": b"v", "data/train-00000-of-00001.parquet": b"t"}
    got = benchmarks.fetch_dataset("docvqa", tmp_path, {"val": "val"})
    (name,) = got["fetched"]
    assert name == "data/validation-00000-of-00001.parquet"
    assert got["fetched"][name]["url"].endswith(f"/resolve/{COMMIT}/{name}")


# --- the dataset table ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", base.kinds())
def test_the_table_covers_every_split_of_every_benchmark(kind):
    about, known = benchmarks.sources()[kind], base.load(kind).SPLITS
    assert set(known) == {split for entry in about["files"] for split in entry["splits"]}
    assert all(about[key] for key in ("title", "version", "homepage", "licence"))


@pytest.mark.parametrize("kind", base.kinds())
def test_entries_of_the_table_are_well_formed(kind):
    keys = {"splits", "path", "url", "manual", "hub", "revision", "patterns", "size", "sha256", "md5", "unpack"}
    for entry in benchmarks.sources()[kind]["files"]:
        assert set(entry) <= keys | {"members", "flat"}
        assert len({"url", "manual", "hub"} & set(entry)) == 1
        assert entry.get("url", "https://").startswith(("https://", "http://images.cocodataset.org/"))
        # What comes without encryption must be compared.
        assert entry.get("url", "https://").startswith("https://") or "md5" in entry
        assert len(entry.get("sha256", "0" * 64)) == 64 and len(entry.get("md5", "0" * 32)) == 32
        assert len(entry.get("revision", "0" * 40)) == 40
