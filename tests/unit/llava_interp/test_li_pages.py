"""Pages of the lens: the numbers they hold, texts that want out of them, and what a browser does with them."""

import base64
import html
import json
import re
import shutil

import li_page_results
import numpy as np
import pytest
from browser import browsed, needs_browser
from li_page_results import FIRST, GRID, HOSTILE, LAYERS, PATCHES, POSITIONS, SAMPLES, TOLD, WORDS, K

from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.lens import file as lens_file
from vlmscope.llava_interp.lens import scores as lens_scores
from vlmscope.llava_interp.look import arrays as look_arrays
from vlmscope.llava_interp.look import pages, views_file
from vlmscope.show import patch_pages
from vlmscope.show.pages import visible


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return li_page_results.make(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    """The pages of all pictures, and the overview."""
    target = tmp_path_factory.mktemp("pages") / "m" / "lens"
    patch_pages.write(
        pages.from_files(**results.named, told=TOLD), model="m", label=HOSTILE, scale="tiny", pixels=32, target=target
    )
    return target


def arrays_of(results, name=SAMPLES[0]):
    with lens_file.opened(results.named["shown"]) as file:
        return {key: file[name][key][()] for key in ("tokens", "probs", "share", "rank", "vocabulary")}


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def decoded(packed):
    return np.frombuffer(base64.b64decode(packed["values"]), f"<u{packed['bytes']}")


def views_of(results, name=SAMPLES[0]):
    found = {}
    with views_file.opened(results.named["views"]) as file:
        file[name].visititems(lambda key, one: found.update({key: one[()]} if hasattr(one, "dtype") else {}))
    return found


# ---- contents ----------------------------------------------------------------------------------------------------


def test_a_page_holds_the_very_numbers_of_the_file(results, folder):
    for name in SAMPLES:
        data, arrays = data_of(folder / f"{name}.html"), arrays_of(results, name)
        assert (data["layers"], data["positions"], data["k"]) == arrays["tokens"].shape
        own = arrays.pop("vocabulary").tolist()
        for key, values in arrays.items():
            np.testing.assert_array_equal(decoded(data[key]).reshape(values.shape), values)
        told = decoded(data["vocabulary"]).tolist()
        assert told == sorted(set(own) | {40_000, 40_001}) and len(data["texts"]) == len(told)
        assert data["texts"][told.index(40_000)] == "nearest"
        assert set(data["texts"]) <= {visible(text) for text in (*WORDS, "nearest", "cup")} and "<s>" in data["texts"]


@pytest.mark.parametrize(("most", "size"), [(65535, 2), (65536, 4), (151_000, 4)])
def test_numbers_take_two_bytes_where_they_can(most, size):
    packed = look_arrays.array(np.array([0, most], np.uint32))
    assert packed["bytes"] == size
    np.testing.assert_array_equal(decoded(packed), [0, most])


def test_a_page_has_attention_and_states_in_steps(results, folder):
    data, views = data_of(folder / f"{SAMPLES[0]}.html"), views_of(results)
    for key, values in (
        ("entropy", views["entropy"]),
        ("lengths", views["lengths"]),
        ("turned", 1 - views["previous"]),
    ):
        found = decoded(data[key]).reshape(values.shape) * data[key]["most"] / (256 ** data[key]["bytes"] - 1)
        np.testing.assert_allclose(found, values, atol=data[key]["most"] / 500)
    for part, name in (("mean", "attention"), ("single", "attention_heads")):
        told, values = data["looks"][part], views[name]
        np.testing.assert_allclose(told["picture"], values.sum(-1), rtol=1e-3)
        steps = decoded(told).reshape(values.shape) * np.array(told["most"])[..., None] / 255
        np.testing.assert_allclose(steps, values, atol=values.max() / 400)
    other = data["lenses"]["cosine"]
    np.testing.assert_array_equal(decoded(other["tokens"]), views["lenses/cosine/tokens"].ravel())
    values = np.clip(views["lenses/cosine/values"], 0, 1).ravel()
    np.testing.assert_allclose(decoded(other["values"]) / 65535, values, atol=1e-4)


def test_pages_name_their_neighbours_and_the_answers_of_their_picture(results):
    first, second, third = (one.data for one in pages.from_files(**results.named, told=TOLD))
    order = sorted(SAMPLES)
    assert [one["sample"] for one in (first, second, third)] == order
    assert [(one["before"], one["after"]) for one in (first, second, third)] == [
        (None, order[1]), (order[0], order[2]), (order[1], None),
    ]  # fmt: skip
    rows = {(setting, condition): (text, ok, which) for setting, condition, _, text, ok, which in first["answers"]}
    assert rows["polling", "object"] == ("no", False, [1, 4]) and rows["generative", "none"] == ("a cat", True, [])
    assert rows["vqa", "object"][1] is False
    assert first["blocked"] == [["", "", "", "cat", True], ["object", "last", "all", "dog", False]], "windows alone"
    assert second["sample"] == "objects-train-10" and second["answers"] == []


def test_the_overview_tells_best_layers_and_what_became_of_the_object(results):
    rows = {one.row["sample"]: one.row for one in pages.from_files(**results.named, told=TOLD)}
    lost, kept, unasked = (rows[name] for name in SAMPLES)
    assert (lost["rate"], lost["iou"], lost["criterion"]) == ([0.5, 1], [0.3, 1], "strict")
    assert (unasked["rate"], unasked["iou"], unasked["criterion"]) == ([0.125, 0], None, "lenient")
    assert lost["verdicts"] == {"generative": [False, True], "polling": [False, True], "vqa": [False, None]}
    assert kept["verdicts"] == {"generative": [True, True], "polling": [True, True], "vqa": None}
    assert set(unasked["verdicts"].values()) == {None}
    assert len(list(pages.from_files(**results.named, told=TOLD | {"pages": 2}))) == 2


@pytest.mark.parametrize("name", ["index", "a b", "..", "a\u202eb"])
def test_a_sample_that_is_no_name_of_a_file_is_refused(name, results, tmp_path):
    with lens_file.published(tmp_path / "lens.h5", {}) as file:
        li_page_results.random_group(file, name)
    with pytest.raises(VlmscopeError, match="cannot give its name"):
        list(pages.from_files(**results.named | {"shown": str(tmp_path / "lens.h5")}, told=TOLD))


# ---- pages -------------------------------------------------------------------------------------------------------


def files_of(folder, results):
    """Every page, that of the comparison too."""
    found = pages.compared(shown=[results.named["shown"]] * 2, models=["m", "m"], labels={"m": HOSTILE}, most=9)
    patch_pages.compare(found, scale="tiny", target=folder.parents[1] / "compare.html")
    return [*sorted(folder.glob("*.html")), folder.parents[1] / "compare.html"]


def test_no_text_of_the_data_leaves_its_place_and_nothing_is_asked_for(folder, results):
    paths = files_of(folder, results)
    assert [path.name for path in paths] == [
        "index.html",
        *(f"{name}.html" for name in sorted(SAMPLES)),
        "compare.html",
    ]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert text.count("<script") == 2 and text.count("</script>") == 2, "hostile text is a text"
        assert not set(text) & {"\u2028", "\u202e"}
        assert not re.search(r"https?:|url\(|@import|innerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", text)
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
        assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
        alone = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        assert not re.search(r"<[^>]*\s(style|on\w+)=", alone), "what the policy would not let in"
        assert "49" not in alone.split("<body>")[1], "braces of data are no template"
    page = data_of(paths[1])
    assert {"<s>", "<image>", visible(HOSTILE)} <= set(page["prompt"]) and "\\u202egnitirw" in page["texts"]


def test_a_page_of_a_model_of_seven_billion_parameters_stays_small(tmp_path):
    words = [f" word{number}" for number in range(30_000)]
    with lens_file.published(tmp_path / "lens.h5", {}) as file:
        li_page_results.random_group(
            file, "a", layers=33, positions=593, k=5, grid=24, words=words, first=5, pixels=336
        )
        with views_file.published(tmp_path / "views.h5", {}) as more:
            # As profiles/paper/config.yaml has it.
            li_page_results.random_views(
                more, "a", layers=33, positions=593, k=1, grid=24, words=words, first=5, queries=8, heads=2, start=2000
            )
            data = look_arrays.packed(file["a"], more["a"])
        picture = file["a"]["picture"][()].tobytes()
    about = {
        "sample": "a",
        "class": "cat",
        "threshold": 0.5,
        "before": None,
        "after": None,
        "answers": [],
        "blocked": [],
    }
    patch_pages.write([(about | data, picture, {})], model="m", label="M", scale="paper", pixels=32, target=tmp_path)
    size = (tmp_path / "a.html").stat().st_size
    assert 1_000_000 < size < patch_pages.MOST_BYTES == 2_000_000
    assert data_of(tmp_path / "a.html")["picture"].startswith("data:image/jpeg"), "noise is large as PNG"


def test_a_page_beyond_its_size_is_refused(results, tmp_path, monkeypatch):
    monkeypatch.setattr(patch_pages, "MOST_BYTES", 1000)
    own = pages.from_files(**results.named, told=TOLD)
    with pytest.raises(VlmscopeError, match=r"more than 1000"):
        patch_pages.write(own, model="m", label="M", scale="tiny", pixels=32, target=tmp_path)
    assert not list(tmp_path.iterdir())


# ---- in a browser ------------------------------------------------------------------------------------------------

WIDE = "--window-size=1200,1200"


def asked(path, tmp_path, script, at=""):
    """What a script finds on a page; the page's policy, which would not let it in, is taken out."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text(encoding="utf-8"))
    ask = """<script>const heard = [], all = (query) => [...document.querySelectorAll(query)];
      const press = (key, on = document.body) => on.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const type = (id, value, kind) => { at(id).value = value; at(id).dispatchEvent(new Event(kind ?? "input")); };
      const mouse = (kind, patch) => { const box = at("cover").getBoundingClientRect(), cell = box.width / side;
        at("cover").dispatchEvent(new MouseEvent(kind, { bubbles: true, clientX: box.left + (patch %% side + .5) * cell,
          clientY: box.top + (Math.floor(patch / side) + .5) * cell })); };
      %s
      document.body.replaceChildren(made("pre", JSON.stringify(heard)));</script>"""
    (tmp_path / path.name).write_text(text.replace("</body>", ask % script + "</body>"), encoding="utf-8")
    found = browsed(tmp_path / path.name, tmp_path / "chromium", WIDE, at=at)
    return heard(found)


def heard(document):
    """What a script left in a page's document."""
    return json.loads(html.unescape(re.search(r"<pre>(.*?)</pre>", document, re.DOTALL)[1]))


def texts_at(results, layer, position):
    """What the table of a position has to show in a layer."""
    with lens_file.opened(results.named["shown"]) as file:
        group = file[SAMPLES[0]]
        told = dict(zip(group["vocabulary"][()].tolist(), group["texts"].asstr()[()], strict=True))
        return [visible(told[one]) for one in group["tokens"][layer, position].tolist()]


@needs_browser
def test_a_browser_draws_the_page_under_its_own_policy(folder, tmp_path):
    found = browsed(folder / f"{SAMPLES[0]}.html", tmp_path / "chromium", WIDE)
    body = found.split('<script type="application/json"')[0]
    assert "&lt;image&gt; 0,0" in body and "&lt;s&gt;" in body
    assert "<title>gone" not in found and body.count("<script") == 0
    assert body.count('data-position="') == POSITIONS
    assert body.count("<option value=") > 12 and "overlap (IoU)" in body


@needs_browser
def test_a_browser_reads_the_numbers_back(results, folder, tmp_path):
    told = asked(folder / f"{SAMPLES[0]}.html", tmp_path, "heard.push(ids, probs, share, rank);")
    arrays = arrays_of(results)
    for values, name in zip(told, ("tokens", "probs", "share", "rank"), strict=True):
        np.testing.assert_array_equal(values, arrays[name].ravel(), err_msg=name)


@needs_browser
def test_another_lens_takes_the_place_of_the_own_one(results, folder, tmp_path):
    told = asked(folder / f"{SAMPLES[0]}.html", tmp_path, """
      const row = (layer) => all(`#reading tr[data-layer="${layer}"] td > span`).map((one) => one.textContent);
      mouse("click", 5); const before = row(2);
      type("lens", "cosine", "change"); heard.push(row(2), location.hash.includes("lens=cosine"));
      heard.push(all('#grid tr[data-position="0"] td').map((one) => one.textContent));
      type("word", "nearest"); heard.push(colors.maps[1].map((one) => Math.round(one * STEPS)));
      at("copy").click(); heard.push(at("csv").value.split("\\n")[1]);
      type("lens", "own", "change"); heard.push(row(2).join() === before.join());
    """)  # fmt: skip
    views = views_of(results)
    tokens, values = views["lenses/cosine/tokens"], lens_scores.quantised(views["lenses/cosine/values"])
    assert told[:2] == [[("nearest", "cup")[one - 40_000] for one in tokens[2, 5]], True]
    assert told[2] == [""] * LAYERS, "no other lens of the text"
    # The first token that matches counts.
    wanted = np.where((tokens[1] == 40_000).any(-1), values[1][np.arange(9), (tokens[1] == 40_000).argmax(-1)], 0)
    assert told[3] == wanted.tolist()
    assert told[4].startswith(f'0,1,{tokens[0, 5, 0]},"') and told[5] is True


@needs_browser
def test_attention_is_shown_of_the_position_that_is_chosen(results, folder, tmp_path):
    told = asked(folder / f"{SAMPLES[0]}.html", tmp_path, """
      const score = () => at("look-score").textContent;
      heard.push(all("#minis button").length, score());
      type("by", "look", "change"); heard.push(colors.maps[2]);
      type("head", "1", "change"); heard.push(colors.maps[1], score());
      choose({ position: positions - 2 }); heard.push(state.query, at("head").disabled, colors.maps[3]);
      all("#minis button")[0].click(); heard.push(state.layer, location.hash.includes(`query=${positions - 2}`));
      type("by", "entropy", "change"); heard.push(colors.maps[1], at("what").textContent);
    """, at="#layer=3")  # fmt: skip
    views = views_of(results)
    mean, single = views["attention"], views["attention_heads"]
    assert told[0] == LAYERS - 1 and told[1].startswith("Layer 3:") and "to the cat" in told[1]
    assert told[2] == pytest.approx(mean[1, 1].tolist(), abs=0.01)
    assert told[3] == pytest.approx(single[1, 0].tolist(), abs=0.01)
    assert f"head {views['heads'][1, 2]} of" in told[4]
    assert told[5:7] == [0, True] and told[7] == pytest.approx(mean[0, 2].tolist(), abs=0.01)
    assert told[8:10] == [1, True]
    wanted = views["entropy"][1, FIRST : FIRST + GRID * GRID]
    assert told[10] == pytest.approx(wanted.tolist(), abs=0.02) and "entropy" in told[11]


@needs_browser
def test_patches_and_table_are_linked_by_mouse_and_keys(results, folder, tmp_path):
    told = asked(folder / f"{SAMPLES[0]}.html", tmp_path, """
      const row = (layer) => all(`#reading tr[data-layer="${layer}"] td > span`).map((one) => one.textContent);
      const now = () => [state.layer, state.position, location.hash.includes(`patch=${state.position - first}`)];
      mouse("mousemove", 7); heard.push(at("here").textContent, row(2), state.position === start.position);
      mouse("mouseleave", 7);
      mouse("click", 5); heard.push(now(), row(3));
      press("ArrowLeft"); press("ArrowUp"); heard.push(now());
      press("ArrowUp"); heard.push(now());
      press(","); press(","); heard.push(now()); press("."); heard.push(now());
      type("layer", 0); heard.push(now(), at("layer-shown").textContent, all("#grid .now").length);
      const cell = all('tr[data-position="3"] [data-layer="2"]')[0];
      cell.dispatchEvent(new MouseEvent("mouseover", { bubbles: true })); heard.push(looked(), at("here").textContent);
      cell.click(); heard.push(now());
      press("ArrowDown", at("lines")); press("ArrowRight", at("lines")); heard.push(now());
      press("Home", at("lines")); heard.push([state.position, at("here").textContent]);
      press("p"); press("ArrowDown"); heard.push(state.pins, all("#pins thead th").map((one) => one.textContent));
      at("copy").click(); heard.push(at("csv").value.split("\\n").length);
      at("play").click(); heard.push(at("play").textContent); play(false);
      press("t"); heard.push(document.documentElement.dataset.theme);
    """)  # fmt: skip
    assert told[:3] == ["<image> 2,1: row 2, column 1", texts_at(results, 2, FIRST + 7), True]
    assert told[3:5] == [[3, FIRST + 5, True], texts_at(results, 3, FIRST + 5)]
    assert told[5:9] == [[3, FIRST + 1, True], [3, FIRST + 1, True], [1, FIRST + 1, True], [2, FIRST + 1, True]]
    assert told[9:12] == [[0, FIRST + 1, True], "0", 1]
    assert told[12:15] == [3, "<image> 0,1: row 0, column 1", [2, 3, True]]
    assert told[15:17] == [[3, 4, True], [0, "<s>: text"]]
    assert told[17:19] == [[0], ["layer", "<s>"]]
    assert told[19:] == [LAYERS * K + 2, "Stop", "dark"]


@needs_browser
def test_a_word_lights_up_where_its_tokens_are(results, folder, tmp_path):
    told = asked(folder / f"{SAMPLES[0]}.html", tmp_path, """
      const maps = () => colors.maps.map((map) => map.map((one) => Math.round(one * STEPS)));
      const now = () => [state.found.reduce((a, b) => a + b, 0), maps()];
      type("word", "DOG"); heard.push(now());
      type("word", "ca"); type("match", "part", "change"); heard.push(now()[0]);
      type("word", "catalogue"); type("match", "begin", "change"); heard.push(now()[0]);
      type("match", "whole", "change"); type("word", "cat"); heard.push(now()[1]);
      type("by", "depth", "change"); heard.push(colors.maps[0].map((one) => layers - one));
      type("rows", "object", "change"); heard.push(all("tr[data-position]").map((one) => Number(one.dataset.position)));
      type("word", "nowhere"); heard.push(at("word-note").textContent); press("m"); heard.push(state.by);
    """)  # fmt: skip
    arrays = arrays_of(results)
    with lens_file.opened(results.named["shown"]) as file:
        group = file[SAMPLES[0]]
        words = dict(zip(group["texts"].asstr()[()], group["vocabulary"][()].tolist(), strict=True))
    patches = slice(FIRST, FIRST + GRID * GRID)
    tokens, probs = arrays["tokens"][:, patches], arrays["probs"][:, patches]
    dog = np.where(tokens == words[" dog"], probs, 0).max(-1)
    assert told[0] == [1, dog.tolist()]
    assert told[1:3] == [5, 3], "texts with ca in them; cat, Cat and catalogue begin catalogue"
    assert told[3] == arrays["share"][:, patches].tolist(), "of the class the whole probability is known"
    seen = np.isin(tokens, [words[" cat"], words["Cat"]]) & (probs > 0)
    wanted = np.where(seen.any(-1).any(0), seen.any(-1).argmax(0), LAYERS)
    assert told[4] == wanted.tolist()
    assert told[5] == [FIRST + one for one in PATCHES]
    assert "No patch" in told[6] and told[7] == "share"


@needs_browser
def test_answers_without_tokens_outline_them_and_lost_ones_are_told(folder, tmp_path):
    told = asked(folder / f"{SAMPLES[0]}.html", tmp_path, """
      const row = all(".says tr").find((one) => one.textContent === "object 1nolost");
      row.dispatchEvent(new Event("mouseenter")); heard.push(state.marked, row.tabIndex);
      row.dispatchEvent(new Event("mouseleave")); heard.push(state.marked);
      row.click(); const held = state.held; row.click(); heard.push([held, state.held]);
      heard.push(all(".broad tr").map((one) => [...one.cells].map((cell) => cell.textContent)));
      heard.push(all(".broad .lost").length);
    """)  # fmt: skip
    assert told[:4] == [[1, 4], 0, None, [[1, 4], None]]
    assert told[4] == [["attention blocked", "", "all"], ["none", "cat", ""], ["object \u2192 last", "", "dog"]]
    assert told[5] == 1


@needs_browser
@pytest.mark.parametrize("threshold", [0.2, 0.5, 1])
def test_a_browser_s_overlap_is_that_of_the_tables(threshold, results, folder, tmp_path):
    told = asked(folder / f"{SAMPLES[0]}.html", tmp_path, f"""
      const told = ({{ iou, ap, pointing }}) => [iou, ap, pointing];
      type("cut", {threshold}); heard.push(...cuts.scores.map(told));
      for (const over of ["max", "mean"]) {{ type("over", over, "change"); heard.push(told(scored())); }}
    """)  # fmt: skip
    share = arrays_of(results)["share"][:, FIRST : FIRST + GRID * GRID] / 65535
    inside = np.isin(np.arange(GRID * GRID), PATCHES)
    for found, scores in zip(told, [*share, share.max(0), share.mean(0)], strict=True):
        assert found == pytest.approx(list(lens_scores.overlap(scores, inside, threshold)))


@needs_browser
@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("#layer=1&patch=8&word=dog", [1, FIRST + 8, "dog", "word"]),
        ("#position=0&by=norm", [LAYERS - 1, 0, "cat", "norm"]),
        ("#layer=99&patch=-4&word=%3Cs%3E&by=nothing", [LAYERS - 1, None, "<s>", "word"]),
        ("#%E0%A4%A", [LAYERS - 1, None, "cat", "word"]),
    ],
)
def test_an_address_says_what_is_shown(address, wanted, folder, tmp_path):
    script = "heard.push(state.layer, state.position, state.word, state.by, start.position);"
    told = asked(folder / f"{SAMPLES[0]}.html", tmp_path, script, at=address)
    *found, begin = told
    assert found == [begin if one is None else one for one in wanted]


@needs_browser
def test_the_overview_is_searched_filtered_ordered_and_leads_to_its_pages(folder, tmp_path):
    told = asked(folder / "index.html", tmp_path, """
      const shown = () => all("#room a").map((one) => one.getAttribute("href"));
      const by = (name) => all("#head button").find((one) => one.dataset.name === name).click();
      heard.push(shown());
      by("named"); heard.push(shown()); by("named"); heard.push(shown());
      type("search", "TRAIN-7"); heard.push(shown(), at("count").textContent); type("search", "");
      type("verdict", "polling false"); heard.push(shown()); type("verdict", "");
      press("ArrowDown"); heard.push(chosen.sample);
    """)  # fmt: skip
    zero, seven, ten = (f"{name}.html" for name in SAMPLES)
    assert told[0] == [zero, seven, ten], "numbers in their order"
    assert told[1] == [zero, seven, ten] and told[2] == [ten, zero, seven]
    assert told[3:6] == [[seven], "1 of 3 pictures", [zero]]
    assert told[6] in SAMPLES and all((folder / name).is_file() for name in told[0])


@needs_browser
def test_thousands_of_pictures_are_a_few_lines_in_the_document(folder, tmp_path):
    told = asked(folder / "index.html", tmp_path, """
      const one = data.pictures[0];
      for (let k = 0; k < 5000; k += 1) data.pictures.push({ ...one, sample: `more-${k}` });
      refresh(); heard.push(at("count").textContent, all("#room a").length, room.style.height);
      press("End"); heard.push(all("#room a").at(-1).getAttribute("href"), all("#room a").length);
    """)  # fmt: skip
    assert told[0] == "5003 of 5003 pictures" and told[2] == f"{5003 * 56}px"
    assert told[3] == "objects-train-10.html" and max(told[1], told[4]) < 60


@needs_browser
def test_two_models_stand_side_by_side_and_follow_each_other(folder, results, tmp_path):
    files_of(folder, results)
    more = ["--allow-file-access-from-files", "--virtual-time-budget=3000"]
    found = browsed(folder.parents[1] / "compare.html", tmp_path / "chromium", WIDE, *more)
    frames = re.findall(r'<iframe[^>]* src="([^"]*)"', found)
    assert len(frames) == 2 and all(one.startswith(f"m/lens/{SAMPLES[0]}.html#layer=3") for one in frames)
    told = asked_beside(folder, tmp_path)
    assert told == ["m/lens/objects-train-0.html#layer=1&word=cat&patch=6"] * 2 + [
        "1 / 1",
        "3 pictures that all of them have",
    ]


def asked_beside(folder, tmp_path):
    """Where the frames are once a page in one of them told of a choice, and nonsense besides."""
    home = tmp_path / "beside"
    shutil.copytree(folder.parents[1], home)
    script = """
      const tell = (data) => heard({ source: frames[0].contentWindow, data });
      tell({ layer: 1, layers: 4, patch: 6, side: 3 });
      tell({ layer: "2", layers: 4, patch: 0, side: 3 }); tell({ layer: 7, layers: 4, patch: 0, side: 3 }); tell(null);
      heard({ source: window, data: { layer: 2, layers: 4, patch: 0, side: 3 } });
      const told = frames.map((one) => one.getAttribute("src"));
      told.push(at("depth-shown").textContent, at("count").textContent);
      document.body.replaceChildren(made("pre", JSON.stringify(told)));"""
    text = (home / "compare.html").read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    (home / "compare.html").write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    found = browsed(home / "compare.html", tmp_path / "chromium", WIDE)
    return heard(found)
