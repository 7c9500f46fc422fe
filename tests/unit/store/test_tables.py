import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.store import tables

SCHEMA = {"name": pl.String, "n": pl.Int64, "share": pl.Float64}
FRAME = pl.DataFrame({"name": ["a", None, 'b,"c"'], "n": [1, 2, None], "share": [0.1, None, 1e-17]}, schema=SCHEMA)


def test_csv_is_exact_to_the_byte(tmp_path):
    tables.write(FRAME, tmp_path / "t.csv", SCHEMA)
    assert (tmp_path / "t.csv").read_bytes() == b'name,n,share\na,1,0.1\n,2,\n"b,""c""",,1e-17\n'


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_is_written_is_read(tmp_path, suffix):
    tables.write(FRAME, tmp_path / f"t.{suffix}", SCHEMA)
    assert tables.read(tmp_path / f"t.{suffix}", SCHEMA).equals(FRAME)
    assert [path.name for path in tmp_path.iterdir()] == [f"t.{suffix}"]


@pytest.mark.parametrize("value", [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 123456789.123456789])
def test_csv_keeps_every_digit(tmp_path, value):
    frame = pl.DataFrame({"share": [value]})
    tables.write(frame, tmp_path / "t.csv", frame.schema)
    assert float((tmp_path / "t.csv").read_text().splitlines()[1]).hex() == value.hex()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_without_rows_keeps_its_columns(tmp_path, suffix):
    tables.write(pl.DataFrame(schema=SCHEMA), tmp_path / f"t.{suffix}", SCHEMA)
    assert tables.read(tmp_path / f"t.{suffix}", SCHEMA).schema == pl.Schema(SCHEMA)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (FRAME.drop("n"), r"it lacks n \(Int64\)\."),
        (FRAME.with_columns(extra=pl.lit(1)), r"it has unknown columns extra\."),
        (FRAME.select("n", "name", "share"), r"in the order name, n, share\."),
        (FRAME.with_columns(pl.col("n").cast(pl.Int32)), r"schema: n is Int32 instead of Int64\."),
        (FRAME.rename({"n": "m"}), r"it lacks n \(Int64\); it has unknown columns m\."),
    ],
)
def test_a_table_that_differs_from_its_schema_is_neither_written_nor_read(tmp_path, wrong, words):
    with pytest.raises(VlmscopeError, match=words) as caught:
        tables.write(wrong, tmp_path / "t.parquet", SCHEMA)
    assert caught.value.where == str(tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())
    wrong.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(VlmscopeError, match=words):
        tables.read(tmp_path / "t.parquet", SCHEMA)


def test_a_table_of_another_kind_is_told_in_a_few_words(tmp_path):
    wide = pl.DataFrame({f"column{k}": [k] for k in range(200)})
    with pytest.raises(VlmscopeError, match="column4 and 195 more") as caught:
        tables.write(wide, tmp_path / "t.parquet", SCHEMA)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["name,n\na,1\n", "name,n,shar\na,1,2\n", "name,n,share\na,x,2\n", "", "a,b,c,d\n"])
def test_a_csv_that_does_not_match_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(VlmscopeError) as caught:
        tables.read(tmp_path / "t.csv", SCHEMA)
    assert caught.value.where == str(tmp_path / "t.csv")


@pytest.mark.parametrize("kept", [0, 3, 20, 200, -1])
def test_a_truncated_table_is_named(tmp_path, kept):
    tables.write(FRAME, tmp_path / "t.parquet", SCHEMA)
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[:kept])
    with pytest.raises(VlmscopeError, match="cannot be read") as caught:
        tables.read(tmp_path / "t.parquet", SCHEMA)
    assert caught.value.where == str(tmp_path / "t.parquet")


def test_a_missing_table_is_named_with_the_command_that_makes_it(tmp_path):
    for suffix in ("csv", "parquet"):
        with pytest.raises(VlmscopeError, match="not there") as caught:
            tables.read(tmp_path / f"t.{suffix}", SCHEMA)
        assert "snakemake" in caught.value.instead
