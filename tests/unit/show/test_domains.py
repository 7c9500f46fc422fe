"""Figures about domains, drawn from hand-made tables."""

import re
import xml.etree.ElementTree as xml

import polars as pl
import pytest
from PIL import Image

from vlmscope.mmneuron import curves, distribution, stages
from vlmscope.mmneuron.pca import PCA
from vlmscope.show import domains, style

DOMAINS = ("ad", "med", "rs", "com", "doc")
MODULES = {"lang": 3, "vision": 32, "mmproj": 1}


def layers():
    rows = [
        (module, layer, domain, 3 + layer, 0.1)
        for module, n in MODULES.items()
        for layer in range(n)
        for domain in DOMAINS
    ]
    return pl.DataFrame(rows, schema=distribution.LAYERS, orient="row")


def sharing():
    rows = [(module, number, 10 * number) for module in MODULES for number in range(1, 6)]
    return pl.DataFrame(rows, schema=distribution.SHARING, orient="row")


def overlap():
    rows = [
        (module, a, b, 1, None if (module, b) == ("mmproj", "med") else 1.0 if a == b else 0.25)
        for module in MODULES
        for a in DOMAINS
        for b in DOMAINS
    ]
    return pl.DataFrame(rows, schema=distribution.OVERLAP, orient="row")


def entropy(n=32):
    rows = [
        (layer, domain, kind, 8 - layer / 5, 1.0, 9)
        for domain in DOMAINS
        for kind in curves.TYPES
        for layer in range(n)
    ]
    return pl.DataFrame(rows, schema=curves.ENTROPY, orient="row")


def staged(n, meaningful, interval=(8, 12)):
    names = [*(f"neurons_{domain}" for domain in DOMAINS), *(f"entropy_{kind}" for kind in curves.TYPES), "words_image"]
    rows = [(scope, name, layer, 0.5) for scope in ("all", "ad") for name in names for layer in range(n)]
    found = [
        ("all", number + 1, layer, *interval, 0.8, 0.9, n, 2, 9, meaningful) for number, layer in enumerate((1, n - 1))
    ]
    return pl.DataFrame(rows, schema=stages.CURVE, orient="row"), pl.DataFrame(
        found, schema=stages.STAGES, orient="row"
    )


def pictures():
    rows = [(domain, f"{domain}{k}", float(k), float(-k)) for domain in DOMAINS for k in range(4)]
    return pl.DataFrame(rows, schema=PCA, orient="row")


FIGURES = {
    "layers": (lambda *to: domains.layers(layers(), "LLaVA (tiny scale)", *to), (*DOMAINS, *MODULES, "layer")),
    "sharing": (lambda *to: domains.sharing(sharing(), "LLaVA (tiny scale)", *to), (*MODULES, "neurons", "50")),
    "overlap": (lambda *to: domains.overlap(overlap(), "LLaVA (tiny scale)", *to), (*DOMAINS, *MODULES, "0.25", "-")),
    "entropy": (lambda *to: domains.entropy(entropy(), "LLaVA (tiny scale)", *to), (*DOMAINS, *domains.KINDS.values())),
    "stages": (
        lambda *to: domains.stages(*staged(32, True), "32 layers.", "LLaVA (tiny scale)", *to),
        (*DOMAINS, *domains.KINDS.values(), "32 layers."),
    ),
    "few": (
        lambda *to: domains.stages(*staged(3, False, (None, None)), "Not meaningful", "LLaVA (tiny scale)", *to),
        ("Not meaningful",),
    ),
    "pca": (
        lambda *to: domains.pca(pictures(), [0.5, 0.25], "LLaVA (tiny scale)", *to),
        (*DOMAINS, "component 1 (50.0 % of variance)", "component 2 (25.0 % of variance)"),
    ),
}
every_figure = pytest.mark.parametrize("name", sorted(FIGURES))


@every_figure
def test_a_figure_says_what_it_shows_in_both_formats_and_is_the_same_in_every_run(name, tmp_path):
    draw, words = FIGURES[name]
    draw(tmp_path / "a.svg", tmp_path / "a.png")
    draw(tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    said = [" ".join(node.itertext()).strip() for node in xml.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    for word in (*words, "LLaVA (tiny scale)"):
        assert [one for one in said if word in one], word
    assert text.encode() == (tmp_path / "b.svg").read_bytes()
    assert not re.findall(r'(?:href|src)="(?!#|data:)', text)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG" and picture.width > 600


def test_no_figure_stays_open(tmp_path):
    for draw, _ in FIGURES.values():
        draw(tmp_path / "x.svg")
    assert not style.use().get_fignums()


def test_names_differ_by_color_and_by_marker():
    looks = style.look(DOMAINS)
    assert (
        len({one["color"] for one in looks.values()}) == len({one["marker"] for one in looks.values()}) == len(DOMAINS)
    )


def test_change_points_are_lines_between_layers_and_faint_without_meaning():
    pyplot = style.use()
    for meaningful, interval in ((True, (8, 12)), (False, (None, None))):
        figure, axis = pyplot.subplots()
        domains._change_points(axis, staged(32, meaningful, interval)[1])
        assert [line.get_xdata()[0] for line in axis.lines] == [0.5, 30.5]
        assert {line.get_linestyle() for line in axis.lines} == {"-" if meaningful else ":"}
        assert len(axis.patches) == (2 if meaningful else 0)
        pyplot.close(figure)
