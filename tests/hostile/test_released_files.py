"""Files of the released code are pickles: none of them may run anything, fill the memory or pass for another."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.store import torch_files


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def refused(path, words):
    with pytest.raises(VlmscopeError, match=words) as told:
        torch_files.read(path)
    assert str(path) in str(told.value)
    assert "instead:" in str(told.value)


def repacked(path, target, change, compression=zipfile.ZIP_STORED):
    """A PyTorch file with its table of contents changed."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target, "w", compression) as other:
        for name in archive.namelist():
            data = archive.read(name)
            other.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return target


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_call_of_the_system_is_refused_and_not_made(tmp_path, protocol):
    path, mark = tmp_path / "ad_1.log", tmp_path / "ran"
    torch.save({"lang_len": Calls(os.system, f"touch {mark}")}, path, pickle_protocol=protocol)
    refused(path, "would call")
    assert not mark.exists()
    # The file does what it says where nobody looks.
    torch.load(path, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.array([{"a": 1}], dtype=object),
        np.float64(1.5),
        Calls(bytearray, 1 << 40),
        Calls(eval, "1 + 1"),
        torch.nn.Parameter(torch.zeros(1)),
        {1, 2},
        torch.zeros(3).to_sparse(),
    ],
    ids=["object array", "numpy number", "a terabyte of noughts", "eval", "parameter", "set", "sparse tensor"],
)
def test_whatever_is_no_plain_data_is_refused(tmp_path, value):
    torch.save({"lang_log": value}, tmp_path / "ad_1.log")
    refused(tmp_path / "ad_1.log", "would call")


@pytest.mark.parametrize("value", [{1: torch.zeros(1)}, {"a": b"bytes"}, {"a": 1 + 2j}])
def test_names_and_values_are_those_of_released_files(tmp_path, value):
    torch.save(value, tmp_path / "ad_1.log")
    refused(tmp_path / "ad_1.log", "would call|has the name")


def test_a_plain_pickle_is_no_released_file(tmp_path):
    mark = tmp_path / "ran"
    (tmp_path / "ad_1.log").write_bytes(pickle.dumps(Calls(os.system, f"touch {mark}")))
    refused(tmp_path / "ad_1.log", "no PyTorch file")
    torch.save(torch.zeros(3), tmp_path / "old.log", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.log", "no PyTorch file")
    assert not mark.exists()


def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path):
    torch.save(torch.zeros(1).expand(1 << 40), tmp_path / "ad_1.log")
    refused(tmp_path / "ad_1.log", "claims the shape")
    torch.save({str(number): torch.zeros(1).expand(90) for number in range(60)}, tmp_path / "many.log")
    refused(tmp_path / "many.log", "claims the shape")


def test_a_shape_beyond_its_storage_is_refused(tmp_path):
    torch.save(torch.zeros(5, 7), tmp_path / "whole.log")
    # The shape stands in the stream as two one-byte numbers.
    path = repacked(
        tmp_path / "whole.log", tmp_path / "ad_1.log", lambda data: data.replace(b"K\x05K\x07\x86", b"K\xffK\xff\x86")
    )
    refused(path, "damaged|claims")


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path):
    torch.save([0] * 100_000, tmp_path / "whole.log")
    path = repacked(tmp_path / "whole.log", tmp_path / "ad_1.log", lambda data: data, zipfile.ZIP_DEFLATED)
    refused(path, "claims to unpack")


def test_lists_inside_lists_end_somewhere(tmp_path):
    deep = []
    for _ in range(20):
        deep = [deep]
    torch.save(deep, tmp_path / "deep.log")
    refused(tmp_path / "deep.log", "lie deeper")
    # Six lists of a hundred times the one below: a trillion values in a small file.
    wide = 0
    for _ in range(6):
        wide = [wide] * 100
    torch.save(wide, tmp_path / "wide.log")
    refused(tmp_path / "wide.log", "hold more")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_cut_file_is_refused(tmp_path, share):
    buffer = io.BytesIO()
    torch.save({"lang_log": torch.zeros(9, dtype=torch.int32)}, buffer)
    whole = buffer.getvalue()
    (tmp_path / "ad_1.log").write_bytes(whole[: int(share * len(whole))])
    refused(tmp_path / "ad_1.log", "no PyTorch file")


def test_a_damaged_table_of_contents_is_refused(tmp_path):
    torch.save({"lang_log": torch.zeros(9)}, tmp_path / "whole.log")
    for number, change in enumerate((lambda data: data[:-9], lambda data: b"\x00" + data, lambda data: b"")):
        refused(repacked(tmp_path / "whole.log", tmp_path / f"{number}.log", change), "damaged|no PyTorch file")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(VlmscopeError, match="is not there"):
        torch_files.read(tmp_path / "ad_1.log")
