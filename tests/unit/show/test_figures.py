import re
import xml.etree.ElementTree as xml

import polars as pl
import pytest
from PIL import Image

from vlmscope.mmneuron.effects import SCHEMA
from vlmscope.show import figures, style

DOMAINS = ("ad", "med", "mean")
HEIGHTS = {"own": 40.0, "other": 20.0, "random": 10.0}


def table():
    rows = [
        (domain, kind, 1, 9, 40.0, height, height - 2, height + 3, 0.5, -height, -height - 4, -height + 1)
        for domain in DOMAINS
        for kind, height in HEIGHTS.items()
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    target = tmp_path_factory.mktemp("figure") / "effects.svg"
    figures.effects(table(), "LLaVA-NeXT (tiny scale), zeroed:", target)
    return target


def test_a_figure_says_what_it_shows(drawn):
    text = " ".join("".join(node.itertext()) for node in xml.parse(drawn).iter("{http://www.w3.org/2000/svg}text"))
    for words in ("deviation of hidden states, %", "change of the score, points", "LLaVA-NeXT (tiny scale), zeroed:"):
        assert words in text
    for words in (*DOMAINS, *figures.KINDS.values()):
        assert words in text


def test_the_same_table_gives_the_same_bytes(drawn, tmp_path):
    figures.effects(table(), "LLaVA-NeXT (tiny scale), zeroed:", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == drawn.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.svg"]


def test_bars_are_as_high_as_the_table_says(drawn):
    """Heights of the filled rectangles of each color in the left panel, in proportion."""
    found = {}
    for kind, color in style.COLORS.items():
        paths = re.findall(rf'<path d="([^"]+)"[^>]*style="fill: {color.lower()}', drawn.read_text())
        spans = []
        for path in paths:
            heights = [float(pair.split()[1]) for pair in re.findall(r"[ML] ([-\d.]+ [-\d.]+)", path)]
            spans.append(max(heights) - min(heights))
        found[kind] = spans[: len(DOMAINS)]
    for kind, height in HEIGHTS.items():
        assert found[kind] == pytest.approx([found["own"][0] * height / HEIGHTS["own"]] * len(DOMAINS), rel=1e-3)


def test_the_ending_chooses_the_format(tmp_path):
    figures.effects(table(), "x", tmp_path / "effects.png")
    with Image.open(tmp_path / "effects.png") as picture:
        assert picture.format == "PNG" and picture.width > 1000


def test_nothing_is_fetched_by_a_page_that_shows_the_figure(drawn):
    text = drawn.read_text()
    links = re.findall(r'(?:href|src)="([^"]+)"', text)
    assert all(link.startswith("#") for link in links) and "<script" not in text


def test_kinds_have_colors_of_their_own():
    assert set(style.COLORS) == set(figures.KINDS) and len(set(style.COLORS.values())) == len(style.COLORS)


def test_no_change_of_the_score_does_not_look_like_one(monkeypatch):
    closed = []
    monkeypatch.setattr(figures, "save_all", lambda figure, *targets: closed.append(figure))
    unmoved = table().with_columns(pl.lit(0.0).alias(name) for name in ("delta", "delta_low", "delta_high"))
    figures.effects(unmoved, "")
    figures.effects(table(), "")
    assert closed[0].axes[1].get_ylim() == (-1, 1)
    assert closed[1].axes[1].get_ylim()[0] < -40 and closed[1].axes[0].get_ylim()[0] >= 0
    for figure in closed:
        style.use().close(figure)
