import polars as pl
import pytest

from vlmscope.mmneuron import distribution, schemas
from vlmscope.store import files, tables

DOMAINS = ["ad", "med", "rs"]
SHAPES = {"lang": (3, 10), "vision": (2, 4)}
ROWS = [
    *[("lang", 0, index, "ad") for index in (1, 2)],
    *[("lang", 0, index, "med") for index in (2, 3, 4)],
    *[("lang", 2, 2, domain) for domain in DOMAINS],
    ("vision", 1, 0, "med"),
]


@pytest.fixture
def neurons():
    rows = [(*row, 0.5, 0.25, 0.0, 0.1 + number) for number, row in enumerate(ROWS)]
    return pl.DataFrame(rows, schema=schemas.neurons(DOMAINS), orient="row")


def test_every_layer_and_domain_has_a_row_and_shares_are_of_the_layer(neurons):
    table = distribution.by_layer(neurons, SHAPES, DOMAINS)
    assert len(table) == (3 + 2) * 3
    assert table["count"].sum() == len(ROWS)
    cells = {row[:3]: row[3:] for row in table.iter_rows()}
    assert cells["lang", 0, "med"] == (3, 0.3)
    assert cells["lang", 1, "med"] == (0, 0.0)
    assert cells["vision", 1, "med"] == (1, 0.25)


def test_sharing_counts_a_neuron_once(neurons):
    table = distribution.sharing(neurons, list(SHAPES), DOMAINS)
    counts = {row[:2]: row[2] for row in table.iter_rows()}
    # (0, 1), (0, 3), (0, 4) belong to one domain, (0, 2) to two, (2, 2) to three.
    assert [counts["lang", number] for number in (1, 2, 3)] == [3, 1, 1]
    assert [counts["vision", number] for number in (1, 2, 3)] == [1, 0, 0]


def test_overlap_is_directed_and_empty_where_there_is_nothing_to_share(neurons):
    table = distribution.overlap(neurons, list(SHAPES), DOMAINS)
    cells = {row[:3]: row[3:] for row in table.iter_rows()}
    assert len(table) == 2 * 9
    assert cells["lang", "ad", "med"] == (2, 0.5)
    assert cells["lang", "med", "ad"] == (2, 2 / 3)
    assert cells["lang", "rs", "rs"] == (1, 1.0)
    assert cells["vision", "med", "ad"] == (0, None)
    assert cells["vision", "ad", "med"] == (0, 0.0)


def test_tables_come_from_files_and_the_list_of_neurons_survives_csv(neurons, tmp_path):
    tables.write(neurons, tmp_path / "neurons.parquet", schemas.neurons(DOMAINS))
    files.write_json({module: {"shape": shape} for module, shape in SHAPES.items()}, tmp_path / "neurons.json")
    found = distribution.from_files(str(tmp_path / "neurons.parquet"), str(tmp_path / "neurons.json"), DOMAINS)
    tables.write(found.neurons, tmp_path / "neurons.csv", schemas.neurons(DOMAINS))
    header = (tmp_path / "neurons.csv").read_text().splitlines()[0]
    assert header == "module,layer,index,domain,p_ad,p_med,p_rs,entropy"
    assert tables.read(tmp_path / "neurons.csv", schemas.neurons(DOMAINS)).equals(neurons)
    assert found.layers["module"].unique(maintain_order=True).to_list() == ["lang", "vision"]


def test_modules_stand_in_the_order_of_the_neurons_and_those_without_any_behind(neurons, tmp_path):
    turned = pl.concat([neurons.filter(pl.col("module") == name) for name in ("vision", "lang")])
    tables.write(turned, tmp_path / "neurons.parquet", schemas.neurons(DOMAINS))
    shapes = {"empty": (1, 3), **SHAPES}
    files.write_json({module: {"shape": shape} for module, shape in shapes.items()}, tmp_path / "neurons.json")
    found = distribution.from_files(str(tmp_path / "neurons.parquet"), str(tmp_path / "neurons.json"), DOMAINS)
    for table in (found.layers, found.sharing, found.overlap):
        assert table["module"].unique(maintain_order=True).to_list() == ["vision", "lang", "empty"]


def test_a_reader_is_told_why_nothing_is_shared():
    assert "strongest" in distribution.note("highest") and not distribution.note("bar")
