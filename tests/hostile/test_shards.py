"""Damaged shards: whatever happens to the bytes, readers name the file and never hand out wrong numbers."""

import os

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.store import shards

TAKE = "mlp_gate.all.counts"


@pytest.fixture
def closed(tmp_path):
    """Index and shard of a capture of two samples."""
    arrays = {"fired": np.arange(600).reshape(3, 200), "total": np.ones((3, 200)), "seen": 600}
    shard = tmp_path / "00000.h5"
    kept = {TAKE: arrays, "resid_post.last.values": {"values": np.ones((2, 3, 40), np.float32)}}
    shards.write(shard, ["s0", "s1"], kept, {"model": "m"})
    shards.close_index(tmp_path / "index.json", [str(shard)], {})
    return tmp_path / "index.json", shard


def read(index):
    return shards.read_counts({"ad": str(index)}, TAKE)


@pytest.mark.parametrize("tenths", range(10))
def test_a_truncated_shard_is_refused_under_an_unchanged_time_stamp(closed, tenths):
    index, shard = closed
    stamp, content = shard.stat(), shard.read_bytes()
    shard.write_bytes(content[: len(content) * tenths // 10])
    os.utime(shard, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with pytest.raises(VlmscopeError) as caught:
        read(index)
    assert caught.value.where == str(shard)
    with pytest.raises(VlmscopeError, match=r"damaged|not complete") as caught:
        shards.open_shard(shard).close()
    assert caught.value.where == str(shard)


def test_no_changed_byte_goes_unnoticed(closed):
    index, shard = closed
    content = shard.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 60).tolist():
        changed = bytearray(content)
        changed[place] ^= 0xFF
        shard.write_bytes(changed)
        with pytest.raises(VlmscopeError, match="digest differs"):
            read(index)
    shard.write_bytes(content)
    assert read(index).seen.tolist() == [600]


def test_a_shard_with_bytes_behind_its_end_is_refused(closed):
    index, shard = closed
    shard.write_bytes(shard.read_bytes() + b"\0")
    with pytest.raises(VlmscopeError, match="digest differs"):
        read(index)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\0" * 5000, b"<html>404</html>"])
def test_a_file_that_is_no_shard_is_refused(closed, content):
    _, shard = closed
    shard.write_bytes(content)
    with pytest.raises(VlmscopeError, match="damaged") as caught:
        shards.open_shard(shard)
    assert "delete it" in caught.value.instead


def test_a_damaged_shard_never_closes_a_capture(closed, tmp_path):
    _, shard = closed
    content = shard.read_bytes()
    for place in range(0, 96, 4):
        # The first 96 bytes are HDF5's superblock: every reader stands or falls with it.
        changed = bytearray(content)
        changed[place] ^= 0xFF
        shard.write_bytes(changed)
        try:
            shards.close_index(tmp_path / "again.json", [str(shard)], {})
        except VlmscopeError as error:
            assert error.where == str(shard)
            assert not (tmp_path / "again.json").exists()
        else:
            # A byte that HDF5 does not use: the content is what it was.
            assert shards.read_index(tmp_path / "again.json")["samples"] == ["s0", "s1"]
            (tmp_path / "again.json").unlink()


def test_a_folder_in_place_of_a_shard_is_refused(closed):
    _, shard = closed
    shard.unlink()
    shard.mkdir()
    with pytest.raises(VlmscopeError) as caught:
        shards.open_shard(shard)
    assert caught.value.where == str(shard)


@pytest.mark.parametrize("name", ["../00000.h5", "/etc/hostname"])
def test_an_index_does_not_lead_out_of_its_folder(closed, name):
    index, _ = closed
    index.write_text(index.read_text().replace('"00000.h5"', f'"{name}"'))
    with pytest.raises(VlmscopeError):
        shards.read_index(index, verify=False)
