"""Gallery, catalogue and page of examples: what they show, and texts that want to break out of them."""

import base64
import json
import re

import mmn_results
import numpy as np
import pytest
from browser import browsed, needs_browser
from mmn_results import ACTIVATIONS, TEXTS, UNITS

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.image import draw, grids, maps, masks
from vlmscope.mm_neurons.look import catalogue, examples, gallery
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.results import Results
from vlmscope.mm_neurons.schemas import NEURON_TOKENS
from vlmscope.show import nouns
from vlmscope.store import tables

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \u2028 {{ 7*7 }} \u202e"
SETTINGS = {
    "activations": list(ACTIVATIONS),
    "listed": 5,
    "sizes": [1, 10],
    "singles": 3,
    "percentile": 95.0,
    "interpolation": "official",
    "images": 2,
    "sigma_mode": "relative",
}
PAGES = ("gallery", "catalogue", "examples")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return mmn_results.make(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def shown(results):
    return gallery.from_files(Results.of(results), SETTINGS)


def write(results, shown, name, target, label="M"):
    tokens = tables.read(results.tokens, NEURON_TOKENS)
    look = {"label": label, "scale": "tiny", "target": target}
    if name == "gallery":
        nouns.gallery(shown.data, shown.pictures, **look)
    elif name == "catalogue":
        found = catalogue.from_files(
            nouns=results.nouns, tokens=results.tokens, neurons=results.neurons, settings={"k": 4, "listed": 3}
        )
        nouns.catalogue(catalogue.page(found, tokens), **look)
    else:
        found = examples.from_files(captions=results.captions, tokens=results.tokens, neurons=[results.neurons], k=3)
        nouns.examples(examples.page(found, tokens, 3), **look)
    return target.read_text(encoding="utf-8")


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


# ---- contents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caption", "words", "wanted"),
    [
        ("a dog and a cat.", ["cat", "dog"], [["a ", -1], ["dog", 1], [" and a ", -1], ["cat", 0], [".", -1]]),
        ("dogs, dog", ["dog"], [["dogs, ", -1], ["dog", 0]]),
        ("ice-cream", ["ice", "ice-cream"], [["ice-cream", 1]]),
        ("a <b> (c++)", ["c++", "<b>"], [["a ", -1], ["<b>", 1], [" (", -1], ["c++", 0], [")", -1]]),
        ("nothing", [], [["nothing", -1]]),
        ("", [], [["", -1]]),
    ],
)
def test_nouns_of_a_caption_are_whole_words_and_nothing_is_lost(caption, words, wanted):
    found = gallery.pieces(caption, words)
    assert found == wanted
    assert "".join(text for text, _ in found) == caption


def test_the_gallery_has_the_first_pictures_with_nouns_in_the_order_of_their_captions(shown, results):
    images = shown.data["images"]
    assert [image["sample"] for image in images] == ["sbu-train-0", "sbu-train-1"]
    assert [noun["noun"] for noun in images[0]["nouns"]] == ["dog", "cat"]
    assert images[1]["dropped"] == [["house", "spelled otherwise"]]
    with grids.opened(results.maps) as file:
        for image, picture in zip(images, shown.pictures, strict=True):
            assert picture.tobytes() == grids.picture(file, image["sample"]).tobytes()


def test_neurons_and_maps_of_the_gallery_are_those_of_the_files(shown, results):
    (dog,) = [one for one in shown.data["images"][0]["nouns"] if one["noun"] == "dog"]
    for activation in ACTIVATIONS:
        own, best = dog["by"][activation], lists.read(results.neurons, activation, "contribution")["sbu-train-0", "dog"]
        named = [shown.data["neurons"][place] for place, _, _ in own["neurons"]]
        assert [one[:2] for one in named] == np.stack([best.layer, best.unit], 1)[:5].tolist()
        assert [below for *_, below in own["neurons"]] == best.negative[:5].tolist()
        for (layer, unit, told), below in zip(named, best.negative, strict=False):
            first = layer * UNITS + unit + 5 * below
            assert told == [TEXTS[(first + rank) % len(TEXTS)] for rank in range(4)], "words of the end that it raised"
        with grids.opened(results.maps) as file:
            values = grids.read(file, activation, "contribution", "sbu-train-0", "dog")
        wanted = draw.named(values, best, SETTINGS["sizes"], SETTINGS["singles"])
        assert [one[0] for one in own["maps"]] == list(wanted)
        for name, low, high, text in own["maps"]:
            steps = np.frombuffer(base64.b64decode(text), "<u2").reshape(own["grid"])
            np.testing.assert_allclose(low + (high - low) * steps / 65535, wanted[name], atol=(high - low) / 65535)


def test_a_grid_without_differences_has_no_steps():
    low, high, text = gallery.packed(np.full((2, 2), 3.0, np.float32))
    assert (low, high) == (3.0, 3.0) and not np.frombuffer(base64.b64decode(text), "<u2").any()


def test_effects_are_means_over_draws_zeros_and_the_best_neurons_first(shown):
    (cat,) = [one for one in shown.data["images"][0]["nouns"] if one["noun"] == "cat"]
    keys = [(row["kind"], row["k"], row["set"], row["activation"]) for row in cat["changed"]]
    sets = [*(("contribution", activation) for activation in ACTIVATIONS), ("random", "")]
    assert keys == [(kind, k, *one) for kind in ("zero", "noise") for k in (1, 2) for one in sets]
    last = cat["changed"][-3]
    assert (last["gone"], last["dlogp"], last["draws"], last["caption"]) == (1.0, -1.0, 2, "a hat.")
    assert last["sigma"] == 0.5 and cat["changed"][0]["sigma"] is None
    assert shown.data["images"][1]["nouns"][0]["changed"] == []


def test_the_catalogue_s_page_begins_with_the_noun_of_most_pictures(results, shown, tmp_path):
    data = data_of(write(results, shown, "catalogue", tmp_path / "a.html"))
    assert [one["noun"] for one in data["nouns"]] == ["dog", "<b>", "cat"]
    rows = data["nouns"][0]["by"]["act_fn"]["neurons"]
    assert [row[1] for row in rows] == [3, 3, 3] and [row[2] for row in rows] == [1, 2, 3]


def test_the_page_of_examples_ends_with_the_last_image_asked_for(results):
    tokens = tables.read(results.tokens, NEURON_TOKENS)
    found = examples.from_files(captions=results.captions, tokens=results.tokens, neurons=[results.neurons], k=3)
    data = examples.page(found, tokens, 2)
    assert [one["sample"] for one in data["items"]] == ["sbu-train-0", "sbu-train-0", "sbu-train-1"]
    assert data["kinds"] == [[kind, method] for kind in ACTIVATIONS for method in ("contribution", "random")]
    best = lists.read(results.neurons, "act_fn", "random")["sbu-train-1", "dog"]
    rows = data["items"][2]["lists"][1]
    assert [data["neurons"][place][:2] for place, _ in rows] == np.stack([best.layer, best.unit], 1)[:3].tolist()


# ---- pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_no_text_of_the_data_leaves_its_place(name, results, shown, tmp_path):
    text = write(results, shown, name, tmp_path / "page.html", label=HOSTILE)
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert "<img" not in text and "<b>" not in text
    assert "49" not in text.split("<body>")[1].split("<script")[0], "braces of data are no template"
    tokens = {token for _, _, told in data_of(text)["neurons"] for token in told}
    assert "a\\u202eb" in tokens and "</script>" in tokens


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_and_runs_one_script(name, results, shown, tmp_path):
    text = write(results, shown, name, tmp_path / "page.html")
    assert not re.search(r"""(src|href|url\()\s*=?\s*["']?(https?:)?//""", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    page_alone = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"\sstyle=|\son\w+=", page_alone), "what the policy would not let in"
    script = text.split("<script>")[1]
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|fetch\(", script)


@pytest.mark.parametrize("name", PAGES)
def test_equal_contents_are_equal_bytes(name, results, shown, tmp_path):
    assert write(results, shown, name, tmp_path / "a.html") == write(results, shown, name, tmp_path / "b.html")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_beyond_its_size_names_the_settings(name, results, shown, tmp_path, monkeypatch):
    monkeypatch.setattr(nouns, "MOST_BYTES", 1000)
    with pytest.raises(VlmscopeError, match=r"mm_neurons\.show"):
        write(results, shown, name, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


# ---- in a browser ------------------------------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gallery", ["3 × 3 patches", "Neurons of “dog”", "a hat."]),
        ("catalogue", ["Shown in 2, not in 1.", "L0.u0 L0.u1"]),
        ("examples", ["control: random", "a dog and a cat."]),
    ],
)
def test_a_browser_draws_the_page(name, wanted, results, shown, tmp_path):
    write(results, shown, name, tmp_path / "page.html")
    found = browsed(tmp_path / "page.html", tmp_path / "chromium")
    body = found.split("<script")[0]
    assert all(part in body for part in wanted)
    assert body.count('role="option"') == {"gallery": 2, "catalogue": 3, "examples": 6}[name]
    assert "<b>" not in body.replace("<b></b>", "")


@needs_browser
def test_pages_without_a_noun_are_whole(results, tmp_path):
    empty = {"images": [], "neurons": [], "activations": list(ACTIVATIONS), "interpolation": "official"}
    empty |= {"percentile": 95.0, "sigma_mode": "relative"}
    nouns.gallery(empty, [], label="M", scale="tiny", target=tmp_path / "a.html")
    nouns.catalogue({**empty, "nouns": [], "k": 4}, label="M", scale="tiny", target=tmp_path / "b.html")
    nouns.examples({"kinds": [], "items": [], "neurons": []}, label="M", scale="tiny", target=tmp_path / "c.html")
    for name in "abc":
        assert "0 of 0" in browsed(tmp_path / f"{name}.html", tmp_path / "chromium")


@needs_browser
@pytest.mark.parametrize("interpolation", ["official", "centre"])
def test_a_browser_s_masks_and_maps_are_those_of_the_pictures(interpolation, results, shown, tmp_path):
    data = {**shown.data, "interpolation": interpolation}
    nouns.gallery(data, shown.pictures, label="M", scale="tiny", target=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    # The policy lets no other script in, and this one tells what the page's own would paint.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    ask = """<script>view = "mask"; const told = [];
      for (const own of Object.values(shown.nouns[0].by)) for (const one of own.maps) {
        const canvas = overlay(one, own.grid, 12, 12), brush = canvas.getContext("2d");
        const kept = [...brush.getImageData(0, 0, 12, 12).data].filter((_, k) => k % 4 === 3).map((a) => a === 0);
        told.push([...enlarged(grid(one, ...own.grid), ...own.grid, 12, 12)], kept); }
      document.body.replaceChildren(made("pre", JSON.stringify(told)));</script>"""
    (tmp_path / "page.html").write_text(text.replace("</body>", ask + "</body>"), encoding="utf-8")
    found = browsed(tmp_path / "page.html", tmp_path / "chromium")
    told = json.loads(re.search(r"<pre>(.*?)</pre>", found, re.DOTALL)[1])
    grids_ = [one for activation in ACTIVATIONS for one in grids_of(shown, activation)]
    assert len(told) == 2 * len(grids_)
    for values, kept, grid in zip(told[::2], told[1::2], grids_, strict=True):
        wanted = maps.enlarge(grid, (12, 12), interpolation)
        np.testing.assert_allclose(np.reshape(values, (12, 12)), wanted, atol=1e-9)
        np.testing.assert_array_equal(np.reshape(kept, (12, 12)), masks.above(wanted, 95.0))


def grids_of(shown, activation):
    """Grids of the first noun as the page has them."""
    own = shown.data["images"][0]["nouns"][0]["by"][activation]
    for _, low, high, text in own["maps"]:
        steps = np.frombuffer(base64.b64decode(text), "<u2").reshape(own["grid"])
        yield low + (high - low) * steps / 65535
