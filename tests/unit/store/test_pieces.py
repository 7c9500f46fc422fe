"""Pieces of a long step: read again where they were made, made where they were not."""

import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.store.pieces import Pieces

COLUMNS = {"number": pl.Int64, "share": pl.Float64, "tokens": pl.List(pl.Int64), "text": pl.String}
ROWS = [{"number": 1, "share": 1 / 3, "tokens": [2, 3], "text": "ü"}, dict.fromkeys(COLUMNS)]


def never():
    raise AssertionError("A piece is made again.")


def test_a_piece_is_made_once(tmp_path):
    made = Pieces(tmp_path / "a.parts", "one", least=0).kept("x", lambda: ROWS, COLUMNS)
    other = Pieces(tmp_path / "a.parts", "one", least=0)
    assert other.kept("x", never, COLUMNS).equals(made) and made.to_dicts() == ROWS
    assert other.kept("empty", lambda: [], COLUMNS).is_empty() and other.kept("empty", never, COLUMNS).is_empty()


def test_pieces_of_other_settings_are_not_used(tmp_path):
    Pieces(tmp_path / "a.parts", "one", least=0).kept("x", lambda: ROWS, COLUMNS)
    assert Pieces(tmp_path / "a.parts", "two", least=0).kept("x", lambda: ROWS[:1], COLUMNS).height == 1


@pytest.mark.parametrize("told", [("", "one", 0), ("a.parts", "one", 60)])
def test_nothing_is_kept_without_a_folder_or_of_what_is_made_at_once(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    Pieces(*told).kept("x", lambda: ROWS, COLUMNS)
    assert list(tmp_path.iterdir()) == []
    Pieces(*told).clear()


def test_the_end_of_a_step_leaves_no_folder(tmp_path):
    own = Pieces(tmp_path / "a.parts", "one", least=0)
    own.kept("x", lambda: ROWS, COLUMNS)
    own.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_piece_is_named(tmp_path):
    own = Pieces(tmp_path, "one", least=0)
    own.kept("x", lambda: ROWS, COLUMNS)
    (tmp_path / "one" / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(VlmscopeError, match="delete it"):
        own.kept("x", never, COLUMNS)
