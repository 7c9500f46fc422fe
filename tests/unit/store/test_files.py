import json
import signal
import subprocess
import sys

import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.store import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_alone(tmp_path):
    with files.publish(tmp_path / "deep" / "a.txt") as part:
        part.write_text("x")
        assert names(tmp_path / "deep") == ["a.txt.part"]
    assert names(tmp_path / "deep") == ["a.txt"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_failing_writer_leaves_nothing_and_the_next_one_works(tmp_path, error):
    with pytest.raises(error), files.publish(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise error
    assert names(tmp_path) == []
    files.write_text("whole", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_failing_writer_keeps_what_was_there(tmp_path):
    files.write_text("old", tmp_path / "a.txt")
    with pytest.raises(ZeroDivisionError), files.publish(tmp_path / "a.txt") as part:
        part.write_text("new")
        raise ZeroDivisionError
    assert (tmp_path / "a.txt").read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_writer_that_wrote_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), files.publish(tmp_path / "a.txt"):
        pass
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from vlmscope.store import files
with files.publish(sys.argv[1]) as part:
    part.write_text("half of it, and much longer than the next")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_no_target_and_the_next_one_works(tmp_path):
    target = tmp_path / "a.txt"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names(tmp_path) == ["a.txt.part"]
    files.write_text("whole", target)
    assert names(tmp_path) == ["a.txt"] and target.read_text() == "whole"


def test_json_is_the_same_bytes_for_the_same_values(tmp_path):
    files.write_json({"b": [1, 2.5], "a": "é"}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == '{\n  "a": "é",\n  "b": [\n    1,\n    2.5\n  ]\n}\n'.encode()
    assert files.read_json(tmp_path / "a.json") == {"a": "é", "b": [1, 2.5]}


def test_line_ends_are_never_translated(tmp_path):
    files.write_text("a\nb\n", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"a\nb\n"


@pytest.mark.parametrize("damage", [b"", b'{"a": 1', b"\xff\xfe", b"[1,]"])
def test_damaged_json_is_named(tmp_path, damage):
    (tmp_path / "a.json").write_bytes(damage)
    with pytest.raises(VlmscopeError, match="not whole JSON") as caught:
        files.read_json(tmp_path / "a.json")
    assert caught.value.where == str(tmp_path / "a.json")


def test_missing_json_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(VlmscopeError, match="is not there") as caught:
        files.read_json(tmp_path / "a.json")
    assert "snakemake" in caught.value.instead


def test_digests_are_xxh3_128(tmp_path):
    # Known answers of the reference implementation (`xxh128sum`).
    (tmp_path / "empty").write_bytes(b"")
    assert files.digest(tmp_path / "empty") == "99aa06d3014798d86001c324468d497f"
    (tmp_path / "a").write_bytes(b"a")
    assert files.digest(tmp_path / "a") == files.digest_text("a") == "a96faf705af16834e6c632b61e964e1f"


def test_a_digest_sees_every_byte_of_a_long_file(tmp_path):
    content = bytearray(5 << 20)
    (tmp_path / "a").write_bytes(content)
    digests = {files.digest(tmp_path / "a")}
    for place in (0, (4 << 20) - 1, 4 << 20, len(content) - 1):
        changed = bytearray(content)
        changed[place] = 1
        (tmp_path / "a").write_bytes(changed)
        digests.add(files.digest(tmp_path / "a"))
    assert len(digests) == 5


def test_written_json_is_for_people_and_machines(tmp_path):
    value = {"x": {"y": [True, None, 1e-17]}}
    files.write_json(value, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == value
