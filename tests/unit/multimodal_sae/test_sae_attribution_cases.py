"""Cases of attribution: which latents, where, how red."""

import json
import re

import numpy as np
import polars as pl
import pytest
from browser import browsed, needs_browser
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.attribution.tables import ATTRIBUTION
from vlmscope.multimodal_sae.figures import cases as figures_cases
from vlmscope.multimodal_sae.figures.cases import CASE, Case
from vlmscope.multimodal_sae.schemas import SCORED
from vlmscope.multimodal_sae.score.classes import CLASSES
from vlmscope.samples import SCHEMA, Sample, table
from vlmscope.show import attribution_cases as show
from vlmscope.store import files, tables

HOSTILE = "</script><script>document.title='taken'</script>"
PROMPT = {
    "image": "s-0",
    "question": "what?",
    "answer": "red",
    "baseline": "blue",
    "difference": 1.5,
    "tokens": ["<s>", "", "", "", "", "", HOSTILE, "\u0120is", "end"],
    "parts": ["other", *["image"] * 5, "text", "text", "other"],
    "base": 4,
}


def rows():
    """Latent 3: image tokens 1 and 4; latent 5: image token 2, against the answer; latent 8: a text token, view 2."""
    found = [(3, "image", 1, 2.0, 0.4, 1, 1.5, 2.5), (3, "image", 1, 2.0, 0.4, 4, 0.5, 2.5)]
    found += [(5, "image", 3, -1.0, -0.2, 2, -1.0, -1.0), (8, "image", 2, 0.1, 0.02, 5, 0.1, 0.3)]
    found += [(8, "text", 1, 0.2, 0.1, 7, 0.2, 0.3)]
    return pl.DataFrame(found, schema=CASE, orient="row")


@pytest.fixture
def case():
    return Case(PROMPT, rows(), Image.new("RGB", (8, 8)), {3: "red"})


def test_latents_that_support_the_answer_come_by_rank(case):
    assert [one["feature"] for one in case.best("image", 5)] == [3, 8]
    assert [one["feature"] for one in case.best("image", 1)] == [3]
    assert case.best("text", 5) == [{"feature": 8, "sum": 0.2, "pooled": 0.1, "effect": 0.3}]


def test_overlays_lie_over_the_first_view_row_by_row(case):
    panels = [panel for row in case.overlays(5) for panel in row["panels"]]
    assert [one["title"].partition("\n")[0] for one in panels] == ["picture", "1. latent 3 (red)", "2. latent 8"]
    np.testing.assert_array_equal(panels[1]["values"], [[1.5, 0], [0, 0.5]])
    # The second view is not shown.
    assert not panels[2]["values"].any()


def test_views_without_a_fixed_size_have_no_overlays(case):
    other = Case(PROMPT | {"base": 5}, case.rows, case.picture, {})
    assert all(panel["values"] is None for row in other.overlays(5) for panel in row["panels"])


def test_shades_go_from_least_to_most_and_a_silent_latent_is_white():
    assert figures_cases.shades(np.array([-1.0, 0.0, 1.0, 0.5])) == pytest.approx([0, 0, 1, 0.5], abs=1e-4)
    assert figures_cases.shades(np.zeros(2)) == [0, 0] and figures_cases.shades(np.zeros(0)) == []


def test_names_are_words_of_masks_before_names_that_beat_their_controls():
    blank = {"coder": "trained", "explainer": "oracle"}
    named = [
        (0, "car", 0.2, 0.1, 0.1),
        (0, "wheel", 0.3, 0.1, 0.1),
        (1, "sky", 0.2, 0.1, 0.4),
        (2, "dog", 0.2, 0.1, 0.0),
    ]
    keys = ("latent", "refined", "iou", "iou_random", "iou_shuffled")
    explanations = pl.DataFrame(
        [dict.fromkeys(SCORED) | blank | dict(zip(keys, one, strict=True)) for one in named], SCORED
    )
    words = [dict.fromkeys(CLASSES) | {"coder": "trained", "word": "cat", "latent": 2, "iou": 0.1}]
    assert figures_cases.meanings(pl.DataFrame(words, CLASSES), explanations) == {0: "wheel", 2: "cat"}


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (8, 8), (9, 200, 9)).save(tmp_path / "0.png")
    sample = Sample("s-0", "d", "val", 0, "g", ("0.png",), 8, 8, "", (), "{}")
    tables.write(table([sample]), tmp_path / "val.parquet", SCHEMA)
    raw = {"format": "vlmscope.raw/1", "kind": "sbu", "source": "drawn", "root": str(tmp_path), "digest": "x"}
    files.write_json(raw, tmp_path / "raw.json")
    about = {"image": "s-0", "answer": "red", "baseline": "blue", "mode": "atp"}
    every = rows().with_columns(pl.lit(value).alias(key) for key, value in about.items()).select(*ATTRIBUTION)
    tables.write(every, tmp_path / "attribution.parquet", ATTRIBUTION)
    return tmp_path


def read(folder, prompt):
    files.write_json({"prompts": [prompt]}, folder / "prompts.json")
    paths = [str(folder / name) for name in ("attribution.parquet", "prompts.json", "raw.json", "val.parquet")]
    return figures_cases.from_files(*paths, [], 5)


def test_a_case_is_a_folder_of_overlays_text_and_table(folder):
    show.write(read(folder, PROMPT), str(folder / "out"), schema=CASE, note="n", title="m")
    own = folder / "out" / "s-0"
    assert tables.read(own / "attribution.parquet", CASE).equals(rows())
    with Image.open(own / "image_top.png") as drawn:
        assert drawn.format == "PNG"
    page = (own / "text.html").read_text(encoding="utf-8")
    # Words of the data stand nowhere as markup.
    assert "document.title" in page and HOSTILE not in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, flags=re.DOTALL)[1])
    assert data["tokens"] == [HOSTILE, "\u0120is"] and data["latents"][0]["shades"] == pytest.approx([0, 1], abs=1e-4)


@needs_browser
def test_a_browser_colors_the_tokens_and_takes_them_for_text(folder, tmp_path):
    show.write(read(folder, PROMPT), str(folder / "out"), schema=CASE, note="n", title="m")
    shown = browsed(folder / "out" / "s-0" / "text.html", tmp_path / "profile")
    assert "1. latent 8" in shown and "<title>Text latents behind an answer: m</title>" in shown
    tokens = re.findall(r'<span class="token"[^>]*?--v: ?([\d.]+)[^>]*>(.*?)</span>', shown)
    assert [float(share) for share, _ in tokens] == pytest.approx([0, 1], abs=1e-4)
    assert tokens[0][1].startswith("&lt;/script&gt;") and tokens[1][1] == "\u00b7is"


def test_samples_that_cannot_be_folders_are_refused(folder):
    with pytest.raises(VlmscopeError, match="folder"):
        list(read(folder, PROMPT | {"image": "../s"}))
