import types

import pytest
from doubles import names, tarred, zipped

from vlmscope.errors import VlmscopeError
from vlmscope.fetch import archives

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


@pytest.mark.parametrize("was_finished", [False, True])
def test_an_interrupted_unpacking_is_done_again(pack, tmp_path, monkeypatch, was_finished):
    archive, out = pack({"1.jpg": b"one", "2.jpg": b"two"}), tmp_path / "out"
    if was_finished:
        archives.unpack(archive, out)
        (out / "1.jpg").unlink()

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
