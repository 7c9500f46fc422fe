"""Feature browser and text view: the numbers they hold, texts that want out of them, and what a browser does."""

import base64
import html
import json
import re
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import sae_page_results
from browser import browsed, needs_browser
from sae_page_results import GRID, HOSTILE, LATENTS, NAMES, TEXTS, TOLD, data_of

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.look import browse, overview, text_view
from vlmscope.multimodal_sae.look import parts as look_parts
from vlmscope.multimodal_sae.look.parts import Rows
from vlmscope.show import latent_pages
from vlmscope.show.xl_pages import legible
from vlmscope.store import tables

PARTS = ("texts", "tokens", "explanations", "text_names", "steering", "effects", "attribution")
NOTHING = {key: [] for key in PARTS}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return sae_page_results.make(tmp_path_factory.mktemp("results") / "data")


@pytest.fixture(scope="module")
def browser(results):
    with ExitStack() as stack:
        yield browse.from_files(stack, results, TOLD)


@pytest.fixture(scope="module")
def folder(browser, tmp_path_factory):
    target = tmp_path_factory.mktemp("pages") / "features"
    return written(browser, target)


@pytest.fixture(scope="module")
def text_page(results, tmp_path_factory):
    page = text_view.from_files(
        texts=results.texts[0],
        tokens=results.tokens[0],
        explanations=results.explanations,
        text_names=results.text_names,
        most=9,
        limit=0,
    )
    target = tmp_path_factory.mktemp("texts") / "text_view.html"
    latent_pages.save("text_view", page, HOSTILE, "tiny", target)
    return target


def written(browser, target):
    pages = browser.overview(), browser.pages(), browser.regions()
    latent_pages.write(*pages, label=HOSTILE, scale="tiny", target=target)
    return target


def decoded(packed):
    return np.frombuffer(base64.b64decode(packed["values"]), f"<{packed['kind']}")


# ---- numbers -----------------------------------------------------------------------------------------------------


def test_firing_is_that_of_the_dense_values(browser):
    values = sae_page_results.dense()
    np.testing.assert_allclose(browser.firing.density, (values > 0).mean((0, 1)))
    np.testing.assert_allclose(browser.firing.pictures, (values > 0).any(1).mean(0))
    np.testing.assert_allclose(browser.firing.highest, values.max((0, 1)))


def test_latents_that_fire_together_are_counted_over_positions_of_either(browser):
    fires = (sae_page_results.dense() > 0).reshape(-1, LATENTS)
    for latent, found in browser.partners.items():
        own = fires[:, [latent]]
        share = (fires & own).sum(0) / np.maximum((fires | own).sum(0), 1)
        share[latent] = 0
        order = [int(one) for one in np.argsort(-share, kind="stable")[:2] if share[one] > 0]
        assert found.other.tolist() == order
        np.testing.assert_allclose(found.both, share[order])
    assert browser.partners[2].other[0] == 3 and browser.partners[2].both[0] == 1
    assert not len(browser.partners[11].other), "silent, but it has a name"


@pytest.mark.parametrize(
    ("first", "most", "wanted"),
    [([], 0, [0, 1, 3]), ([2], 0, [0, 1, 2, 3]), ([2], 2, [2, 3]), ([0, 1], 1, [0]), ([], 1, [3])],
)
def test_named_latents_have_a_page_first_then_those_of_most_pictures(first, most, wanted):
    assert overview.chosen(np.array([0.2, 0.1, 0, 0.5]), first, most) == wanted


def test_a_page_tells_what_every_result_knows(browser):
    told = browser.page(2).data
    assert (told["name"], told["highest"], told["pictures"]) == (HOSTILE, 6, 1), "the name of the highest IoU"
    assert [one["sample"] for one in told["examples"]] == NAMES[:2:-1]
    assert [one["half"] for one in told["examples"]] == ["held_out", "reference", "held_out"]
    assert told["examples"][0]["map"].tolist() == [0] * 5 + [255] * 2 + [0] * 2
    assert [one["region"] for one in told["examples"]] == [False, False, True]
    assert told["tokens"]["promoted"] == [[" red", 2.5], [HOSTILE, 0.25]]
    assert [(one["refined"], one["rubric"]) for one in told["text_names"]] == [(HOSTILE, 2.5)]
    assert told["typical"] == {"promoted": 2.5, "suppressed": -0.75, "nearest": 0.9}
    assert told["nearest"] == [[3, 0.9, "", True], [11, 0.1, "silence", True]]
    assert told["windows"] == [
        {"text": "text-0", "tokens": TEXTS["text-0"], "values": [0, 0, 4, 0]},
        {"text": "chunk-0", "tokens": TEXTS["chunk-0"][4:], "values": [0, 2]},
    ]
    assert [(one["value"], one["category"]) for one in told["answers"]] == [
        (50.0, "names"), (100.0, "other"), (50.0, "same"),
    ]  # fmt: skip
    assert [one["named"] for one in told["effects"]] == [0.75]
    assert [(one["image"], one["sum"]) for one in told["shares"]] == [(NAMES[1], -0.9), (NAMES[0], 0.5)]
    assert browser.page(4).data["effects"] == [], "as a random control it has none of its own"


def test_a_latent_that_knows_nothing_has_an_empty_page(browser):
    told = browser.page(11)
    assert told.pictures == [] and told.thumb is None and told.data["windows"] == []
    assert (told.data["answers"], told.data["shares"], told.data["tokens"]["promoted"]) == ([], [], [])


def test_results_that_were_left_out_are_left_out(results, tmp_path):
    with ExitStack() as stack:
        found = browse.from_files(stack, SimpleNamespace(**vars(results) | NOTHING), TOLD | {"latents": 2})
        assert found.chosen == [0, 2] and found.page(2).data["windows"] is None
        told = data_of(written(found, tmp_path) / "index.html")
    assert told["names"] == {} and [one["latent"] for one in told["pages"]] == [0, 2]


def test_the_overview_has_every_latent_that_fires(browser, folder):
    told = data_of(folder / "index.html")
    columns = {name: decoded(one) for name, one in told["columns"].items()}
    assert columns["latent"].tolist() == [0, 2, 3, 4, 5, 6] and told["latents"] == LATENTS
    np.testing.assert_allclose(columns["density"], browser.firing.density[columns["latent"]], rtol=1e-6)
    assert columns["steered"].tolist() == [0, 1, 0, 1, 0, 0] and columns["paged"].tolist() == [1] * 6
    named = {one["place"]: one["refined"] for one in told["names"]["local"]}
    assert named == {0: sae_page_results.REFUSED, 1: "car", 4: "sky"}, "by place among those that fire"
    pages = sorted(path.name for path in folder.iterdir())
    assert pages == sorted(["index.html", "regions.html", *(f"latent-{one}.html" for one in (0, 2, 3, 4, 5, 6, 11))])


def test_regions_hold_the_highest_latents_of_every_patch(folder):
    told, values = data_of(folder / "regions.html"), sae_page_results.dense()
    assert [one["sample"] for one in told["images"]] == NAMES[:4] and told["top"] == 2
    for one, dense in zip(told["images"], values, strict=False):
        latents, kept = (decoded(one[key]).reshape(GRID * GRID, 2) for key in ("latents", "values"))
        np.testing.assert_array_equal(kept, -np.sort(-dense, axis=1)[:, :2])
        np.testing.assert_array_equal(np.where(kept > 0, np.take_along_axis(dense, latents.astype(int), 1), 0), kept)


def test_a_map_is_zero_only_where_the_latent_is_silent():
    assert browse.coded(np.float32([0, 1e-4, 1])).tolist() == [0, 1, 255]
    assert browse.coded(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_the_text_view_holds_all_entries_and_silent_latents_with_a_name(text_page):
    told, dense = data_of(text_page), np.concatenate(sae_page_results.text_values())
    ptr, place, value = (decoded(told[key]) for key in ("ptr", "place", "value"))
    assert [one["latent"] for one in told["latents"]] == [0, 2, 5, 6, 7, 11]
    for number, one in enumerate(told["latents"]):
        part = slice(ptr[number], ptr[number + 1])
        assert dict(zip(place[part], value[part], strict=True)) == {
            row: dense[row, one["latent"]] for row in np.flatnonzero(dense[:, one["latent"]])
        }
    assert told["latents"][0]["refined"] == "", "a refusal is no name"
    assert [len(one["said"]) for one in told["latents"]] == [0, 1, 0, 1, 0, 0]


def test_the_text_view_shows_named_latents_before_others(results):
    with ExitStack() as stack:
        texts = browse.read_texts(stack, results.texts[0], results.tokens[0])
    page = text_view.page(texts, {5: []}, {}, 1, 2)
    assert [one["latent"] for one in page["latents"]] == [2, 5] and len(page["texts"]) == 1
    assert page["place"].tolist() == [2] and page["ptr"].tolist() == [0, 1, 1]


def test_rows_of_a_latent_keep_their_order():
    frame = pl.DataFrame({"latent": [3, None, 1, 3], "value": [1, 2, 3, 4]})
    rows = Rows(frame, "latent")
    assert rows.latents == [1, 3] and rows.of(3)["value"].to_list() == [1, 4] and rows.of(2).is_empty()


def test_nobody_s_name_is_the_best_of_none():
    assert look_parts.best([]) is None and look_parts.best([{"refused": True, "iou": None}]) is None


# ---- refusals ----------------------------------------------------------------------------------------------------


def test_texts_and_tokens_of_two_runs_are_refused(results, tmp_path):
    other = pl.read_parquet(results.tokens[0])[1:]
    tables.write(other, tmp_path / "t.parquet", dict(other.schema))
    with ExitStack() as stack, pytest.raises(VlmscopeError, match="not of the same texts"):
        browse.read_texts(stack, results.texts[0], str(tmp_path / "t.parquet"))


def test_pictures_that_no_table_knows_are_refused(results):
    with pytest.raises(VlmscopeError, match="sample tables do not"):
        browse.reader(results.raws, results.samples, ["elsewhere-1"])


def test_a_cache_without_a_square_view_is_refused(results, tmp_path):
    sae_page_results.cache(tmp_path / "c.h5", sae_page_results.dense(), NAMES, 0)
    with ExitStack() as stack, pytest.raises(VlmscopeError, match="square"):
        browse.from_files(stack, SimpleNamespace(**vars(results) | {"cache": str(tmp_path / "c.h5")}), TOLD)


def test_a_page_beyond_its_size_is_refused(browser, tmp_path, monkeypatch):
    monkeypatch.setitem(latent_pages.MOST, "latent", 1000)
    with pytest.raises(VlmscopeError, match="more than 1000"):
        written(browser, tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_text_of_the_data_leaves_its_place_and_nothing_is_asked_for(folder, text_page):
    for path in [*sorted(folder.glob("*.html")), text_page]:
        text = path.read_text(encoding="utf-8")
        assert text.count("<script") == 2 and text.count("</script>") == 2, "hostile text is a text"
        assert not set(text) & {"\u2028", "\u202e"}
        assert not re.search(r"https?:|url\(|@import|innerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", text)
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
        assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
        alone = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        assert not re.search(r"<[^>]*\s(style|on\w+)=", alone), "what the policy would not let in"


# ---- in a browser ------------------------------------------------------------------------------------------------

WIDE = "--window-size=1200,900"


def asked(path, tmp_path, script, at=""):
    """What a script finds on a page; the page's policy, which would not let it in, is taken out."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text(encoding="utf-8"))
    ask = """<script>const heardAll = [], say = (...told) => heardAll.push(...told);
      const all = (query) => [...document.querySelectorAll(query)];
      const press = (key, more) =>
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, ...more }));
      const type = (id, value) => { at(id).value = value; at(id).dispatchEvent(new Event("input")); };
      %s
      document.body.replaceChildren(made("pre", JSON.stringify(heardAll)));</script>"""
    page = tmp_path / path.name
    page.write_text(text.replace("</body>", ask % script + "</body>"), encoding="utf-8")
    found = re.search(r"<pre>(.*?)</pre>", browsed(page, tmp_path / "chromium", WIDE, at=at), re.DOTALL)
    assert found, "the page's script failed"
    return json.loads(html.unescape(found[1]))


@needs_browser
def test_latents_are_searched_filtered_ordered_and_walked_through(folder, tmp_path):
    told = asked(folder / "index.html", tmp_path, """
      const shown = () => all(".entry").map((one) => columns.latent[one.dataset.place]);
      const now = () => columns.latent[chosen];
      say(shown(), at("order").value, now());
      press("ArrowDown"); say(now(), at("stand").getAttribute("src"));
      press("ArrowDown"); press("ArrowDown"); press("ArrowUp"); say(now());
      type("search", "SKY"); say(shown(), now()); type("search", "#4"); say(shown());
      type("search", "red"); say(shown()); type("search", "");
      type("class", "scene"); say(shown()); type("class", "");
      type("which", "steered"); say(shown()); type("which", "asked"); say(shown());
      type("which", "refused"); say(shown()); type("which", "");
      type("by", "oracle"); say(shown()[0], shownName(places.get(5))); type("by", "best");
      type("order", "rare"); say(shown());
      all("#bins button").find((one) => one.title.startsWith("3 ")).click(); say(shown(), picked.size);
      all("#bins [aria-pressed=true]")[0].click(); say(shown().length);
      const source = at("stand").contentWindow;
      heard({ source, data: { latent: 6, view: "raw" } }); say(now(), view, location.hash);
      heard({ source, data: { latent: "x", key: "constructor" } }); heard({ source: window, data: { latent: 0 } });
      say(now());
      press("t"); say(document.documentElement.dataset.theme);
    """)  # fmt: skip
    assert told[:3] == [[2, 5, 0, 3, 4, 6], "iou", 2], "those without a score last"
    assert told[3] == 5 and told[4].startswith("latent-5.html#view=dark") and told[5] == 0
    assert told[6:10] == [[5], 5, [4], [2, 5, 0]], "by name, by number, by promoted word"
    assert told[10:14] == [[5], [2, 4], [3, 4, 6], [0]]
    assert told[14:17] == [2, "", [4, 5, 6, 2, 3, 0]]
    assert told[17:20] == [[4, 5, 6], 1, 6]
    assert told[20] == 6 and told[21] == "raw" and "latent=6" in told[22] and told[23] == 6 and told[24] == "dark"


@needs_browser
def test_a_released_size_is_a_few_lines_in_the_document(tmp_path):
    count, random = 131_072, np.random.default_rng(0)
    columns = {name: random.random(count).astype(np.float32) for name in ("density", "pictures", "highest")}
    columns |= {"latent": np.arange(count, dtype=np.uint32), "steered": np.zeros(count, np.uint8)}
    columns["paged"] = (columns["latent"] < 6000).astype(np.uint8)
    name = {"refined": "a name of four words", "concept": "object", "refused": False, "iou": 0.1234, "clip": 20.1234}
    pages = [
        {"latent": one, "words": [" one", " two", " three"], "thumb": "data:," + "x" * 1500} for one in range(6000)
    ]
    told = {
        "latents": count,
        "k": 256,
        "samples": 1000,
        "hookpoint": "model.layers.24",
        "columns": columns,
        "pages": pages,
    }
    told["names"] = {"server": [{"place": place, **name, "detection": 0.7} for place in range(5000)]}
    latent_pages.save("latents_index", told, "M", "paper", tmp_path / "index.html")
    assert (tmp_path / "index.html").stat().st_size < latent_pages.MOST["latents_index"] / 2
    (tmp_path / "in").mkdir()
    found = asked(tmp_path / "index.html", tmp_path / "in", """
      say(at("count").textContent, all(".entry").length); 
      press("End"); say(columns.latent[chosen], all(".entry").length, at("lonely").hidden);
      type("search", "name four"); say(listed.length);
    """)  # fmt: skip
    assert found[0] == "131,072 of 131,072 that fire; 0 are silent." and max(found[1], found[3]) < 60
    assert found[2] == count - 1 and found[4] is False and found[5] == 5000


@needs_browser
def test_a_page_of_a_latent_shows_pictures_in_three_ways(folder, tmp_path):
    told = asked(folder / "latent-2.html", tmp_path, """
      const alpha = (canvas, x, y) => canvas.getContext("2d").getImageData(x, y, 1, 1).data[3];
      const canvas = () => all("#pictures canvas")[0];
      say(view, canvas().width, alpha(canvas(), 4, 4), alpha(canvas(), 20, 12), at("key").hidden);
      press("m"); say(view, canvas().width, alpha(canvas(), 0, 0), alpha(canvas(), 2, 1) > 0, at("key").hidden);
      press("m"); say(view, all("#pictures canvas").length); press("m"); say(view);
      say(at("name").textContent, all("#names .card").length, all("#near a").map((one) => one.getAttribute("href")));
      const textsOf = (query) => all(query).map((one) => one.textContent);
      say(textsOf("#said p")); say(textsOf("#pieces .fires"), textsOf("#answers mark").slice(0, 2));
      say(all("main > section").filter((one) => one.hidden).length, all("script").length, all("img[onerror]").length);
    """, at="#view=nonsense")  # fmt: skip
    assert told[:3] == ["dark", 24, 224] and told[3] <= 14 and told[4], "dark where it is silent, as for the explainer"
    assert told[5:10] == ["mask", 3, 0, True, False]
    assert told[10:13] == ["raw", 0, "dark"]
    assert told[13:15] == [f"2 \u00b7 {legible(HOSTILE)}", 2]
    assert told[15] == ["latent-3.html", "latent-11.html", "latent-3.html", "latent-0.html"]
    assert told[16] == [f"{legible(HOSTILE)} oracle, by texts rated 2.5 of 3, another\u2019s name 0.5"]
    assert told[17:19] == [[" red", " red"], ["red", "</script><script>alert(1)</script><img"]]
    assert told[19:] == [0, 3, 0]


@needs_browser
def test_regions_are_clicked_drawn_and_walked_over(folder, tmp_path):
    told = asked(folder / "regions.html", tmp_path, """
      const mouse = (kind, row, column) => {
        const shape = at("cover").getBoundingClientRect(), cell = shape.width / side;
        const [clientX, clientY] = [shape.left + (column + .5) * cell, shape.top + (row + .5) * cell];
        at("cover").dispatchEvent(new PointerEvent(kind, { bubbles: true, clientX, clientY })); };
      const shown = () => all("#tops tr").map((one) => Number(one.dataset.latent));
      mouse("pointerdown", 0, 1); mouse("pointerup", 0, 1); say(shown(), tops.map((one) => one[1]));
      mouse("pointerdown", 0, 0); mouse("pointermove", 1, 2); mouse("pointerup", 1, 2);
      say(region(), tops.map(([latent, mean]) => [latent, Number(mean.toFixed(4))]));
      press("ArrowLeft"); say(state.from, state.to); press("ArrowDown", { shiftKey: true }); say(region());
      press("n"); say(images[state.image].sample); press("."); say(state.latent === tops[0][0]);
      pick(2); say(all("#others img").map((one) => one.alt), at("own-name").textContent, location.hash);
      press("Escape"); say(state.latent, at("own").hidden); type("search", "train-3"); say(all("#film button").length);
    """)  # fmt: skip
    assert told[0] == [0, 2] and told[1] == [2, 1]
    assert told[2] == [0, 1, 2, 3, 4, 5] and told[3] == [[0, 2], [2, 0.3333]]
    assert told[4:7] == [[1, 1], [1, 1], [4, 7]] and told[7] == NAMES[1]
    assert (
        told[8] is True and told[9] == NAMES[3::-1] and told[10] == f"2 {legible(HOSTILE)}" and "latent=2" in told[11]
    )
    assert told[12:] == [None, True, 1]


@needs_browser
def test_an_address_without_a_picture_begins_where_the_latent_is_highest(folder, tmp_path):
    told = asked(
        folder / "regions.html", tmp_path, "say(images[state.image].sample, state.from);", at="#latent=5&to=9+9"
    )
    assert told == [NAMES[1], [2, 2]]


@needs_browser
def test_tokens_are_colored_and_silence_is_no_color(text_page, tmp_path):
    told = asked(text_page, tmp_path, """
      const colors = () => all(".piece").map((one) =>
        [...one.querySelectorAll("span")].map((node) => node.style.getPropertyValue("--v")));
      list.choose(data.latents[1]); say(colors()); press("m"); say(colors());
      at("only").value = ""; at("only").dispatchEvent(new Event("change"));
      list.choose(data.latents.at(-1)); say(colors(), at("latent").textContent);
      at("quiet").click(); say(colors()); say(all(".piece")[0].textContent, all("script").length);
      type("search", "silence"); say(at("count").textContent);
    """)  # fmt: skip
    assert told[0] == [["", "", "1.000", ""], ["", "", "0.500", "", "", "1.000"]], "each text by itself"
    assert told[1] == [["", "", "1.000", ""], ["", "", "0.250", "", "", "0.500"]], "all alike"
    assert told[2] == [] and "Latent 11: silence" in told[3] and "Silent at every token of these 2 texts." in told[3]
    assert told[4] == [[""] * 4, [""] * 6] and "NaN" not in json.dumps(told)
    assert told[5] == "text-0" + "".join(legible(TEXTS["text-0"])) and told[6] == 3
    assert told[7] == "1 of 6 latents"


def test_a_cache_of_silence_makes_an_overview_of_nothing(results, tmp_path):
    sae_page_results.cache(tmp_path / "c.h5", np.zeros((6, GRID * GRID, LATENTS), np.float32), NAMES, GRID * GRID)
    with ExitStack() as stack:
        read = SimpleNamespace(**vars(results) | NOTHING | {"cache": str(tmp_path / "c.h5")})
        found = browse.from_files(stack, read, TOLD)
        assert found.chosen == [] and not len(found.overview()["columns"]["latent"])
    with cache_files.opened(tmp_path / "c.h5") as own:
        assert overview.firing(own).highest.tolist() == [0] * LATENTS
