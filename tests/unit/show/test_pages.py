import base64
import hashlib
import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron.schemas import CELLS
from vlmscope.show import pages

HOSTILE = [
    "</script><script>document.title='gone'</script>",
    "<img src=x onerror=\"document.title='gone'\">",
    "\u202egnitirw\u202c",
    "{{ 7 * 7 }}",
    "'\"&amp;<!--",
    "\u2028\x00\n\t",
    " " + "x" * 500,
    "a" + "\u0301" * 60,
]


def cells(layers, positions, words, k=10, channels=tuple(pages.CHANNELS), seed=0):
    """Cells of one sample, tokens drawn from a list."""
    generator = np.random.default_rng(seed)
    n = len(channels) * layers * positions * k
    grid = np.stack(np.meshgrid(range(len(channels)), range(layers), range(positions), range(1, k + 1), indexing="ij"))
    channel, layer, position, rank = grid.reshape(4, -1)
    picked = generator.integers(0, len(words), n)
    columns = {
        "sample": ["s"] * n,
        "channel": [channels[one] for one in channel],
        "layer": layer,
        "position": position,
        "token_type": ["text"] * n,
        "rank": rank,
        "id": picked,
        "token": [words[one] for one in picked],
        "prob": 0.5 / rank,
        "entropy": (layer + position / 100 + channel).astype(np.float32),
    }
    return pl.DataFrame(columns, schema=CELLS)


def sample(kinds, tokens=None, question="what?", prompt="<image>\nwhat?"):
    texts = tokens or [f" t{place}" for place in range(len(kinds))]
    return {"sample": "ad-train-0", "question": question, "prompt": prompt, "tokens": texts, "types": kinds}


def about(layers, **rest):
    model = {"checkpoint": "weights/x", "fingerprint": "0123456789abcdef"}
    return {"layers": layers, "prompt": "full", "shift": [], "model": model, **rest}


def draw(target, frame, one, layers, most=120, title="Lens"):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    pages.lens(frame, one, about(layers), title=title, most=most, image=Image.fromarray(noise), target=target)
    return target.read_text(encoding="utf-8")


class Tags(html.parser.HTMLParser):
    """Start tags with their attributes, and the text of every script and style."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inside, self.texts = [], None, {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = len(self.tags) - 1

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside is not None:
            self.texts[self.inside] = self.texts.get(self.inside, "") + data

    def of(self, tag):
        return [
            (attributes, self.texts.get(place, "")) for place, (own, attributes) in enumerate(self.tags) if own == tag
        ]


def data_of(page):
    return json.loads(next(text for attributes, text in Tags(page).of("script") if attributes.get("id") == "data"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    kinds = ["text"] * 6 + ["image"] + ["last"]
    one = sample(kinds, tokens=HOSTILE, question=HOSTILE[0], prompt=HOSTILE[1] + "\n" + HOSTILE[0])
    target = tmp_path_factory.mktemp("page") / "lens.html"
    return target, draw(target, cells(3, 8, HOSTILE), one, 3, title=HOSTILE[1])


def test_hostile_text_stays_text(hostile):
    found = Tags(hostile[1])
    assert len(found.of("script")) == 2 and len(found.of("img")) == 1
    assert not [tag for tag, attributes in found.tags if any(name.startswith("on") for name in attributes)]
    assert found.of("title")[0][1] == HOSTILE[1]
    assert "49" not in found.of("title")[0][1] and "{{ 7 * 7 }}" in data_of(hostile[1])["words"]
    for unseen in ("\u202e", "\u2028", "\x00"):
        assert unseen not in json.dumps(data_of(hostile[1]), ensure_ascii=False)


def test_only_the_page_s_own_script_and_style_may_run_and_nothing_is_fetched(hostile):
    found = Tags(hostile[1])
    rule = next(one["content"] for one, _ in found.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert rule.startswith("default-src 'none'; img-src data:;") and "unsafe" not in rule
    for tag, where in (("script", "script-src"), ("style", "style-src")):
        text = next(text for attributes, text in found.of(tag) if not attributes)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{where} 'sha256-{digest}'" in rule
    addresses = [one.get(name) for _, one in found.tags for name in ("src", "href", "action") if name in one]
    assert len(addresses) == 1 and addresses[0].startswith("data:image/jpeg;base64,")
    assert not re.search(
        r"https?://|url\(|@import|style=", "".join(text for _, text in [*found.of("style"), *found.of("script")])
    )


@pytest.mark.parametrize(("layers", "positions"), [(32, 3000), (80, 600), (3, 150)])
def test_pages_stay_small_whatever_the_model(layers, positions, tmp_path):
    kinds = ["image"] * (positions - 120) + ["text"] * 119 + ["last"]
    words = [f" token{number}" * 3 for number in range(5000)]
    shown = pages.chosen_positions(kinds, min(300, pages.MOST_CELLS // (layers * 4)))
    frame = cells(layers, len(shown), words, k=5).with_columns(
        pl.col("position").replace_strict(dict(enumerate(shown)), return_dtype=pl.Int32)
    )
    page = draw(tmp_path / "lens.html", frame, sample(kinds), layers, most=300)
    assert len(page.encode()) < pages.MOST_BYTES
    data = data_of(page)
    assert len(data["cells"]["block"]["entropy"]) == layers * len(data["positions"])
    assert data["positions"][-1]["kind"] == "last"


def test_a_page_that_would_be_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "MOST_BYTES", 1000)
    with pytest.raises(VlmscopeError, match="more than 1000"):
        draw(tmp_path / "lens.html", cells(2, 2, ["a"]), sample(["text", "last"]), 2)
    assert not list(tmp_path.iterdir())


def test_the_numbers_of_the_page_are_those_of_the_cells(tmp_path):
    frame = cells(3, 4, [" cat", " dog", "ish"], seed=5)
    data = data_of(draw(tmp_path / "lens.html", frame, sample(["image", "text", "text", "last"]), 3))
    own = data["cells"]["mlp"]
    for row in frame.filter(pl.col("channel") == "mlp", pl.col("rank") <= 5).iter_rows(named=True):
        place = row["layer"] * 4 + row["position"]
        assert data["words"][own["words"][place * 5 + row["rank"] - 1]] == pages.visible(row["token"])
        assert own["share"][place * 5 + row["rank"] - 1] == pytest.approx(1000 * row["prob"], abs=0.5)
        assert own["entropy"][place] == pytest.approx(row["entropy"], abs=0.006)
    assert list(data["cells"]) == list(pages.CHANNELS)
    assert [one["text"] for one in data["positions"]] == ["image", "\u00b7t1", "\u00b7t2", "\u00b7t3"]


@pytest.mark.parametrize(
    ("image", "text", "most"), [(2800, 60, 120), (10, 500, 120), (0, 50, 20), (136, 76, 120), (5, 5, 8)]
)
def test_positions_are_thinned_evenly_and_the_last_one_stays(image, text, most):
    kinds = ["image"] * image + ["text"] * (text - 1) + ["last"]
    found = pages.chosen_positions(kinds, most)
    assert len(found) <= most and found == sorted(set(found)) and found[-1] == len(kinds) - 1
    pictures = [place for place in found if kinds[place] == "image"]
    assert len(set(np.diff(pictures))) <= 1
    assert len(pictures) >= min(image, most // 8)


@pytest.mark.parametrize(
    ("text", "shown"), [(" cat", "\u00b7cat"), ("\n", "\\n"), ("a\u202eb", "a\\u202eb"), ("é", "é"), (" ", "\u00b7")]
)
def test_tokens_can_be_seen(text, shown):
    assert pages.visible(text) == shown


def test_the_same_cells_give_the_same_bytes(hostile, tmp_path):
    kinds = ["text"] * 6 + ["image"] + ["last"]
    one = sample(kinds, tokens=HOSTILE, question=HOSTILE[0], prompt=HOSTILE[1] + "\n" + HOSTILE[0])
    assert draw(tmp_path / "again.html", cells(3, 8, HOSTILE), one, 3, title=HOSTILE[1]) == hostile[1]


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed: the page is not run in a browser")
def test_a_browser_draws_the_table_and_runs_nothing_else(hostile, tmp_path):
    quiet = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    quiet += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}"]
    done = subprocess.run(
        ["chromium", "--headless", *quiet, "--dump-dom", hostile[0].as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = Tags(done.stdout)
    assert found.of("title")[0][1] == HOSTILE[1]
    assert len(found.of("img")) == 1 and len(found.of("script")) == 2
    assert len([one for one, _ in found.of("td") if one.get("role") == "gridcell"]) == 3 * 8
    assert "Layer 2, position 7" in done.stdout
