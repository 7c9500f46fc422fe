import polars as pl
import pytest

from vlmscope.mm_neurons.measures import curves, invariance, layers, semantic, sets, specificity
from vlmscope.show import measures
from vlmscope.store import tables

KINDS = [(method, activation) for activation in ("act_fn", "down_proj_input") for method in ("contribution", "random")]


def named(method, activation, k, **more):
    return {"method": method, "activation": activation, "k": k, **more}


@pytest.fixture
def written(tmp_path):
    """Paths of four small tables."""
    spread = {"ci_low": 0.3, "ci_high": 0.5}
    rows = {
        "semantic_long": (
            [
                named(*kind, k, ref="noun", measure=measure, value=0.4, n=3, **spread)
                for kind in KINDS
                for k in (1, 10)
                for measure in ("match_at_k", "bleurt")
            ],
            semantic.LONG,
        ),
        "region": (
            [named(*kind, 10, mode=mode, overlap=0.4, n=3, **spread) for kind in KINDS for mode in ("free", "forced")],
            invariance.REGION,
        ),
        "cross": (
            [
                named(*kind, 10, m_images=m, overlap_same=0.1 * m, same_low=0.0, same_high=1.0, overlap_diff=None)
                for kind in KINDS
                for m in (2, 5)
            ],
            invariance.CROSS,
        ),
        "specific": ([named(*kind, 1, specificity=0.9, **spread) for kind in KINDS], specificity.SPECIFICITY),
    }
    made = {}
    for name, (content, schema) in rows.items():
        made[name] = str(tmp_path / f"{name}.csv")
        tables.write(sets.frame(content, schema), made[name], schema)
    return made


def test_points_come_from_the_tables(written):
    found = curves.from_files(**written)
    assert all(tuple(table.columns) == curves.POINT for table in found.values())
    match, again, other, alone = found.values()
    assert len(match) == 8
    assert set(again["line"]) == {"free", "forced"}
    # For the fewest images that a noun may have.
    assert other.filter(line="same noun")["value"].to_list() == [0.2] * 4
    assert other.filter(line="other noun")["value"].is_null().all()
    assert alone["value"].to_list() == [0.9] * 4


def test_figures_are_written_and_the_same_every_time(written, tmp_path):
    found = curves.from_files(**written)
    for name in ("a", "b"):
        measures.measures(found, "title", tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert all(part in text for part in ("title", "contribution", "random", "solid: free", "dashed: forced"))
    assert "all pieces of the word" not in text


def test_layers_are_drawn_as_shares(tmp_path):
    rows = [
        named(*kind, k, layer=layer, count=layer * k, unique_count=layer)
        for kind in KINDS
        for k in (1, 10)
        for layer in range(3)
    ]
    measures.layers(sets.frame(rows, layers.LAYERS), "title", tmp_path / "layers.svg")
    text = (tmp_path / "layers.svg").read_text()
    assert all(part in text for part in ("after SiLU, k = 10", "neurons, %", "layer"))


def test_nothing_found_is_an_empty_figure(tmp_path):
    measures.layers(pl.DataFrame(schema=layers.LAYERS), "title", tmp_path / "layers.svg")
    assert "title" in (tmp_path / "layers.svg").read_text()
