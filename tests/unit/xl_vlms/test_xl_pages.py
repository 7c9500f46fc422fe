"""Pages of concepts, single pictures, concept shift and steering: what they show, and texts that want out of them."""

import json
import re

import polars as pl
import pytest
import xl_page_results
from browser import browsed, needs_browser
from PIL import Image
from xl_page_results import HOSTILE, SETTINGS, VECTORS

from vlmscope import config
from vlmscope.errors import VlmscopeError
from vlmscope.metrics.text import forms
from vlmscope.show import xl_cards, xl_pages
from vlmscope.store import files, tables
from vlmscope.world.draw import draw
from vlmscope.xl_vlms.dictionaries.schemas import SCORED
from vlmscope.xl_vlms.pages import gallery, panels
from vlmscope.xl_vlms.pages import local as local_page
from vlmscope.xl_vlms.pages import parts as page_parts
from vlmscope.xl_vlms.pages import steering as steering_page
from vlmscope.xl_vlms.pages.plan import Pages

PAGES = ("concepts", "local", "panels", "steering")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return xl_page_results.make(tmp_path_factory.mktemp("results"))


def found(results, name):
    if name == "concepts":
        names = {key: getattr(results, key) for key in ("scored", "quality", "overlap", "classes", "raw")}
        return gallery.from_files(results.dog, method="snmf", main="snmf", **names)
    if name == "local":
        files_ = {"scored": results.scored, "samples": results.coco, "raw": results.raw}
        return local_page.from_files(results.dog, **files_, settings=SETTINGS)
    if name == "panels":
        return panels.from_files(results.shift, written=[results.before, results.after], raw=results.raw, images=1)
    answered = [results.answers, results.effects, results.vqa, results.raw]
    described = [results.captions, results.steer_captions, results.examples, results.coco, results.raw]
    return steering_page.from_files(answered=answered, described=described, vectors=VECTORS, per_type=2, model="m")


def write(results, name, target, label="M"):
    page = found(results, name)
    getattr(xl_pages, name)(page.data, page.pictures, label=label, scale="tiny", pixels=32, target=target)
    return target.read_text(encoding="utf-8")


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


# ---- contents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wanted"), [(["dog", "Dog", "red", "dog"], ["dog", "red"]), (["b", "a", "b"], ["b", "a"]), ([], [])]
)
def test_words_that_come_again_are_shown_once_where_they_came_first(words, wanted):
    assert page_parts.unlike(words) == wanted


def test_a_card_has_words_size_pictures_with_activations_and_scores_beside_random_words(results):
    data = found(results, "concepts").data
    first, second, empty = data["concepts"]
    assert first["words"] == ["dog", "red", HOSTILE] and second["words"] == ["dog", "blue"] and empty["words"] == []
    assert [one["size"] for one in data["concepts"]] == [3, 3, 3]
    assert [one[:3] for one in second["images"]] == [[2, 9.0, "coco-train-1"], [3, 6.0, "coco-train-4"]]
    assert second["scores"] == {"CS": [0.6, 0.2]}
    assert data["overlap"]["random_list"] == 0.1 and data["agreement"][0]["nmi_random_samples"] == 0.4
    assert data["by"] == {"CS": "clip"} and data["random"] == {"CS": 0.2}


def test_random_words_are_not_told_with_the_pictures_of_another_method(results, tmp_path):
    own = pl.read_parquet(results.scored)
    more = own.filter(method="snmf").with_columns(method=pl.lit("kmeans"))
    tables.write(pl.concat([own, more]), tmp_path / "scored.parquet", SCORED)
    names = {key: getattr(results, key) for key in ("quality", "overlap", "classes", "raw")}
    page = gallery.from_files(
        results.dog, method="kmeans", main="snmf", scored=str(tmp_path / "scored.parquet"), **names
    )
    assert [one["scores"] for one in page.data["concepts"]] == [{"CS": [value, None]} for value in (0.5, 0.6, 0.7)]
    assert page.data["random"] == {"CS": 0.2}


def test_a_card_tells_what_most_of_its_drawn_pictures_show(results):
    (card, *_) = found(results, "concepts").data["concepts"]
    scenes = [draw("com", number) for number in range(xl_page_results.TRAIN)]
    things = [str(len(scene.things)) for scene in scenes]
    told = {kind: rest for kind, *rest in card["drawn"]}
    value, count, share = told["things"]
    assert count == [things[0], things[3]].count(value) > 0
    assert share == pytest.approx(things.count(value) / 9, abs=1e-3)
    colors = [next((one.color for one in scene.things if forms(one.name) & forms("dog")), "") for scene in scenes]
    assert told["colour"][0] in (colors[0], colors[3])


def test_nothing_is_said_of_what_photographs_show(results, tmp_path):
    raw = files.read_json(results.raw) | {"source": "folder"}
    files.write_json(raw, tmp_path / "raw.json")
    names = {key: getattr(results, key) for key in ("scored", "quality", "overlap", "classes")}
    page = gallery.from_files(results.dog, method="snmf", main="snmf", **names, raw=str(tmp_path / "raw.json"))
    assert [one["drawn"] for one in page.data["concepts"]] == [[], [], []]


def test_a_method_without_scores_has_cards_and_another_one_is_refused(results):
    names = {key: getattr(results, key) for key in ("scored", "quality", "overlap", "classes", "raw")}
    page = gallery.from_files(results.dog, method="kmeans", main="snmf", **names)
    assert [one["scores"] for one in page.data["concepts"]] == [{}, {}, {}] and page.data["quality"] is None
    with pytest.raises(VlmscopeError, match="pca"):
        gallery.from_files(results.dog, method="pca", main="snmf", **names)


def test_samples_have_their_strongest_concepts_and_inactive_ones_are_left_out(results):
    data = found(results, "local").data
    assert [one["concepts"] for one in data["samples"]] == [[[0, 3.0], [2, 2.0]], [[2, 5.0]], []]
    assert data["samples"][1]["scores"] == {"CS": [1.5, 1.1]} and data["n_test"] == 4
    assert [one["sample"] for one in data["samples"]] == ["coco-test-0", "coco-test-1", "coco-test-2"]


def test_panels_have_three_sides_and_what_each_model_wrote(results):
    page = found(results, "panels")
    assert page.data["sides"] == ["original", "shifted", "tuned"]
    (first, _) = page.data["concepts"]
    assert first["images"]["original"] == [[0, "coco-train-0", "a dog"]]
    assert first["images"]["shifted"] == [[0, "coco-train-0", f"a red dog {HOSTILE}"]]
    assert first["words"]["tuned"] == ["dog", "Red"] and (first["orig_count"], first["shifted_count"]) == (1, 1)
    assert [row["arm"] for row in page.data["arms"]] == ["none", "shift", "random"]


def test_an_imported_comparison_has_panels_without_pictures(results, tmp_path):
    told = files.read_json(results.shift)
    del told["pictures"]
    for row in told["rows"]["concepts"]:
        row |= {"images": {}, "words": {"shifted": ["red"], "vector": ["red"]}}
    told["rows"]["alpha"] = []
    files.write_json(told, tmp_path / "shift.json")
    page = panels.from_files(str(tmp_path / "shift.json"), written=[], raw=results.raw, images=1)
    assert page.data["sides"] == ["shifted"] and page.pictures == [] and page.data["arms"] == []


def test_the_slider_has_every_strength_once_in_order_with_the_answers_given_there(results):
    data = found(results, "steering").data
    one = next(item for item in data["items"] if (item["vector"], item["kind"]) == ("yes-no", "vector"))
    assert one["alphas"] == [-1.0, 0.5, 1.0]
    said = [[data["texts"][place] for place in answers] for answers in one["answers"]]
    assert said == [["-1"] * 4, ["0.5"] * 4, ["1"] * 4]
    # Two of every type: the third of yes and no is left out.
    assert [data["samples"][place]["sample"] for place in one["samples"]] == [f"vqa-val-{n}" for n in (0, 1, 2, 4)]
    assert [row["kind"] for row in one["controls"]] == ["random", "random", "shuffled"]
    assert {data["texts"][place] for row in one["controls"] for place in row["answers"]} == {"yes!"}


def test_a_gate_that_was_shut_is_told(results):
    data = found(results, "steering").data
    one = next(item for item in data["items"] if (item["vector"], item["kind"]) == ("yes-no", "gated"))
    assert one["shut"] == [True, False, False, False] and one["alphas"] == [1.0]
    assert [data["texts"][place] for place in one["answers"][0]] == ["yes", "no", "no", "no"]


def test_effects_stand_beside_means_of_their_controls(results):
    data = found(results, "steering").data
    column = data["columns"]["targeted"].index("changed_pct")
    one = next(item for item in data["items"] if (item["vector"], item["kind"]) == ("yes-no", "vector"))
    told = [(row["kind"], row["alpha"], row["draws"], row["values"][column][0]) for row in one["effects"]]
    assert told == [
        ("none", 0.0, None, 0.0),
        ("vector", -1.0, None, 30.0),
        ("vector", 0.5, None, 10.0),
        ("vector", 1.0, None, 20.0),
        ("random", 1.0, 2, 65.0),
        ("shuffled", 1.0, 1, 80.0),
    ]


def test_captions_are_those_of_the_examples_with_the_reference(results):
    data = found(results, "steering").data
    one = next(item for item in data["items"] if (item["vector"], item["kind"]) == ("style-red", "vector"))
    (place,) = one["samples"]
    assert data["samples"][place] | {"plain": 0, "picture": 0} == {
        **{"sample": "coco-val-1", "kind": "caption", "question": "", "picture": 0, "reference": "a dog"},
        **{"type": "coco", "plain": 0},
    }
    assert [(row["kind"], row["draws"], row["values"][3][0]) for row in one["effects"]] == [
        ("none", None, 60.0),
        ("vector", None, 50.0),
        ("random", 2, 50.0),
    ]


# ---- plan --------------------------------------------------------------------------------------------------------


def resolved(own, **more):
    tree = config.plain(config.default())
    tree["xl_vlms"] |= {key: tree["xl_vlms"][key] | one for key, one in own.items()}
    return config.resolve(tree | more, where="test")


def test_every_model_has_the_pages_that_it_has_results_for():
    own = {"dictionaries": {"sets": ["dog", "cat"]}, "show": {"concepts": {"cat": ["kmeans", "pca"]}}}
    plan = Pages(resolved(own, run={"xl_vlms": ["llava15", "molmo"]}))
    names = [target.removeprefix("results/xl_vlms/").removesuffix(".html") for target in plan.every()]
    first = ["concepts_cat_kmeans", "concepts_cat_pca", "local_dog", "shift_panels_llava15-color_dog"]
    assert [name for name in names if name.startswith("llava15/")][:4] == [f"llava15/{name}" for name in first]
    assert plan.dictionaries() == [one for one in plan.every() if "shift_panels" not in one and "steering" not in one]
    wanted = ["concepts_cat_kmeans", "concepts_cat_pca", "local_dog", "steering"]
    assert [name for name in names if name.startswith("molmo")] == [f"molmo/{name}" for name in wanted]


@pytest.mark.parametrize(
    ("show", "told"),
    [
        ({"concepts": {"bird": ["snmf"]}}, "concepts names bird"),
        ({"local": ["bird"]}, "local names bird"),
        ({"concepts": {"dog": ["pca"]}}, "pca"),
        ({"concepts": {"nothing": ["snmf"]}}, "nothing"),
    ],
)
def test_pages_of_what_is_not_made_are_refused(show, told):
    own = {"dictionaries": {"sets": ["dog"], "methods": ["snmf"]}, "show": show}
    with pytest.raises(VlmscopeError, match=told):
        resolved(own)


# ---- pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_no_text_of_the_data_leaves_its_place(name, results, tmp_path):
    text = write(results, name, tmp_path / "page.html", label=HOSTILE)
    assert text.count("<script") == 2 and text.count("</script>") == 2
    assert "<img" not in text
    assert "49" not in text.split("<body>")[1].split("<script")[0], "braces of data are no template"
    assert not set(text) & {"\u2028", "\u202e"}
    assert "</script>" in json.dumps(data_of(text)), "the hostile text is there, as a text"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_and_runs_one_script(name, results, tmp_path):
    text = write(results, name, tmp_path / "page.html")
    assert not re.search(r"""(src|href|url\()\s*=?\s*["']?(https?:)?//""", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    page_alone = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<[^>]*\s(style|on\w+)=", page_alone), "what the policy would not let in"
    script = text.split("<script>")[1]
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|fetch\(", script)
    assert all(one.startswith("data:image/jpeg;base64,") for one in data_of(text)["pictures"])


@pytest.mark.parametrize("name", PAGES)
def test_equal_contents_are_equal_bytes(name, results, tmp_path):
    assert write(results, name, tmp_path / "a.html") == write(results, name, tmp_path / "b.html")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_beyond_its_size_names_the_settings(name, results, tmp_path, monkeypatch):
    monkeypatch.setattr(xl_pages, "MOST_BYTES", 1000)
    with pytest.raises(VlmscopeError, match=r"xl_vlms\.show"):
        write(results, name, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_the_figure_of_a_dictionary_draws_any_word_and_needs_a_picture(results, tmp_path):
    page = found(results, "concepts")
    page.data["concepts"][0]["words"] = ["$\\frac{", HOSTILE]
    xl_cards.cards(page.data, page.pictures, tmp_path / "a.png", label="$M_", scale="tiny")
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.height > 3 * 150, "a row per concept"
    for one in page.data["concepts"]:
        one["images"] = []
    with pytest.raises(VlmscopeError, match="No concept has a picture"):
        xl_cards.cards(page.data, page.pictures, tmp_path / "b.png", label="M", scale="tiny")


# ---- in a browser ------------------------------------------------------------------------------------------------


def asked(results, name, tmp_path, script):
    """What a script finds on a page; the page's policy, which would not let it in, is taken out."""
    text = write(results, name, tmp_path / "page.html")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    ask = """<script>const heard = [], all = (query) => [...document.querySelectorAll(query)];
      const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const type = (id, value, kind) => { at(id).value = value; at(id).dispatchEvent(new Event(kind ?? "input")); };
      %s
      document.body.replaceChildren(made("pre", JSON.stringify(heard)));</script>"""
    (tmp_path / "page.html").write_text(text.replace("</body>", ask % script + "</body>"), encoding="utf-8")
    found_ = browsed(tmp_path / "page.html", tmp_path / "chromium")
    return json.loads(re.search(r"<pre>(.*?)</pre>", found_, re.DOTALL)[1])


@needs_browser
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "concepts",
            ["3 of 3 concepts", "most active for 3 of 9", "random samples 0.4", "no words"],
        ),
        ("local", ["Concept 0", "activation 3", "random words 0.1", "3 of 3 pictures"]),
        ("panels", ["2 of 2 concepts", "1 of 2", "random direction of the same length", "Words of the shift itself"]),
        ("steering", ["Meant to turn", "α = 1", "random directions, mean of 2", "4 of 4 samples change here"]),
    ],
)
def test_a_browser_draws_the_page_under_its_own_policy(name, wanted, results, tmp_path):
    write(results, name, tmp_path / "page.html")
    body = browsed(tmp_path / "page.html", tmp_path / "chromium").split("<script")[0]
    assert [part for part in wanted if part not in body] == []
    assert body.count("onerror") == body.count("&lt;img src=x onerror"), "hostile text is text"


@needs_browser
def test_cards_are_searched_ordered_and_stepped_through(results, tmp_path):
    told = asked(results, "concepts", tmp_path, """
      const ids = () => all(".card").map((one) => one.id);
      type("search", "BLUE"); heard.push(ids());
      type("search", "dog red"); heard.push(ids(), at("count").textContent);
      type("search", ""); type("order", "CLIPScore", "change"); heard.push(ids());
      press("ArrowDown"); press("j"); heard.push(all('[aria-current="true"]').map((one) => one.id), location.hash);
      press("s"); heard.push(at("order").value);
      press("/"); heard.push(document.activeElement.id);
      at("search").blur(); press("t"); heard.push(document.documentElement.dataset.theme);
    """)  # fmt: skip
    assert told[:3] == [["concept-1"], ["concept-0"], "1 of 3 concepts"]
    assert told[3] == ["concept-2", "concept-1", "concept-0"], "greatest score first"
    assert told[4:] == [["concept-1"], "#1", "samples", "search", "dark"]


@needs_browser
def test_panels_mark_what_the_fine_tuned_concept_has_too(results, tmp_path):
    told = asked(results, "panels", tmp_path, """
      const same = (one) => [...one.querySelectorAll(".same")].map((each) => each.textContent);
      heard.push(...all("#concept-0 .three > div").map(same));
      type("order", "words gained", "change"); heard.push(all(".card").map((one) => one.id));
      for (const word of ["left", "nothing"]) { type("search", word); heard.push(all(".card").length); }
    """)  # fmt: skip
    assert told == [["dog", ""], ["dog", "red", ""], [], ["concept-1", "concept-0"], 2, 0]


@needs_browser
def test_samples_are_found_by_the_words_of_their_concepts(results, tmp_path):
    told = asked(results, "local", tmp_path, """
      const listed = () => all("[role=option]").length;
      type("search", "red"); heard.push(listed(), all(".one b").map((one) => one.textContent));
      type("search", ""); type("concept", "2", "change"); heard.push(listed(), location.hash);
      type("concept", "", "change"); press("End"); heard.push(at("sample").innerText.includes("No concept"));
    """)  # fmt: skip
    assert told == [1, ["Concept 0", "Concept 2"], 1, "#coco-test-1", True]


@needs_browser
def test_the_slider_shows_the_answers_of_its_strength_beside_controls(results, tmp_path):
    told = asked(results, "steering", tmp_path, """
      const now = () => [at("strength").textContent, all(".answer .now")[0].textContent, all(".answer.changed").length];
      list.choose(data.items.find((one) => one.vector === "yes-no" && one.kind === "vector"));
      heard.push(now());
      type("alpha", 0); heard.push(now());
      press("ArrowRight"); heard.push(now());
      type("only", "changed", "change"); heard.push(all(".answer").length);
      type("only", "", "change"); type("type", "yes/no", "change"); heard.push(all(".answer").length);
      type("type", "", "change");
      heard.push(all(".answer dd")[3].textContent, all("tr[aria-current]")[0].children[1].textContent);
      press("b"); heard.push(at("vector").textContent.includes("Beside: shuffled labels"));
      list.choose(data.items.find((one) => one.kind === "gated" && one.vector === "yes-no"));
      heard.push(all(".answer").filter((one) => one.textContent.includes("gate shut")).length);
      type("only", "wanted", "change"); heard.push(all(".answer").length); type("only", "", "change");
      list.choose(data.items.find((one) => one.vector === "style-red" && one.kind === "vector"));
      heard.push(all(".answer mark").map((one) => one.textContent));
      type("search", "style"); heard.push(all("[role=option]").length);
    """)  # fmt: skip
    assert told[0] == ["α = 1", "1", 4]
    assert told[1] == ["α = -1", "-1", 4]
    assert told[2] == ["α = 0", "yes", 0]
    assert told[3:5] == [0, 2]
    assert told[5:8] == ["yes! ×2", "0", True]
    assert told[8:10] == [1, 3]
    assert told[10:] == [["1"], 2]
