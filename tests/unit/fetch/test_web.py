import logging

import pytest
from doubles import BODY, MD5, SHA256, names

from vlmscope.errors import VlmscopeError
from vlmscope.fetch import web


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
