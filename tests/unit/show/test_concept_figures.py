"""Figures about concept dictionaries: they are drawn, also where there is little to draw."""

import polars as pl
import pytest
from PIL import Image

from vlmscope.show import concept_figures
from vlmscope.xl_vlms.dictionaries import schemas as cox_schemas

ABOUT = {"model": "m", "token": "dog", "method": "snmf", "k": 2, "seed": 0, "n": 2}


def frame(rows, schema):
    return pl.DataFrame([ABOUT | row for row in rows], schema=schema)


def fig3(metrics):
    rows = [{"metric": metric, "concept": k, "grounded": 0.6, "random": 0.2} for metric in metrics for k in (0, 1)]
    return frame(rows, cox_schemas.FIG3)


def layers(modules):
    values = {"clipscore": 0.5, "low": 0.3, "high": 0.7, "random": 0.2}
    return frame(
        [{"module": module, "layer": place, **values} for place, module in enumerate(modules)], cox_schemas.LAYERS
    )


def recon(errors):
    rows = [{"module": "final_norm", "k": k, "error_test": one, "error_random": one} for k, one in errors.items()]
    return frame(rows, cox_schemas.RECON)


@pytest.mark.parametrize(
    ("draw", "table"),
    [
        (concept_figures.grounded, fig3(["CS", "BS"])),
        (concept_figures.grounded, fig3(["CS"])),
        (concept_figures.layers, layers(["block.0", "block.1", "final_norm"])),
        (concept_figures.layers, layers([f"block.{place}" for place in range(32)])),
        (concept_figures.recon, recon({2: 0.4, 10: 0.1})),
        (concept_figures.recon, recon({2: None})),
    ],
)
def test_a_figure_is_drawn(tmp_path, draw, table):
    draw(table, "LLaVA", tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.width > 300 and len(picture.convert("L").getcolors()) > 2


def test_embedded_models_are_named_so():
    assert concept_figures.title({"scale": "tiny", "label": "LLaVA"}) == "LLaVA (embedded)"
    assert concept_figures.title({"scale": "paper", "label": "LLaVA"}) == "LLaVA"
