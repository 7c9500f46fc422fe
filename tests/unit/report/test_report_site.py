"""The report as a page: what it shows, what it escapes, what it does in a browser."""

import html
import json
import re
from html.parser import HTMLParser

import polars as pl
import pytest
from browser import browsed, needs_browser
from PIL import Image

from vlmscope import config, meta
from vlmscope.errors import VlmscopeError
from vlmscope.report import figures, run, site

ROWS = {
    "domain": ["mean", "mean", "<b onclick=x>&"], "kind": ["own", "random", "own"], "masks": [5, 5, 1],
    "n": [250, 250, 50],
    "units": [70.0, 70.0, 12.5], "deviation": [20.0, 9.0, 3.0], "deviation_low": [18.0, 8.0, 2.0],
    "deviation_high": [22.0, 10.0, 4.0], "score": [0.9] * 3, "delta": [-2.0] * 3, "delta_low": [-4.0] * 3,
    "delta_high": [1.0] * 3,
}  # fmt: skip
HOME = "results/mmneuron/llava"
OFF = {name: [] for name in config.plain(config.default())["run"] if name != "mmneuron"}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A results folder with one table, its figure, its companion and a page; returns a writer of the report."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / HOME
    home.mkdir(parents=True)
    pl.DataFrame(ROWS).write_csv(home / "effects.csv")
    (home / "effects.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script>' + " " * 9000 + "</svg>"
    )
    (home / "neurons.html").write_text("page")
    (home / "extra.csv").write_text("a\n1\n")
    meta.write(f"{HOME}/effects.meta.json", f"{HOME}/effects.csv", {"code": "0123"}, [], notes=["<i>a note</i>"])
    paths = [
        f"{HOME}/{name}" for name in ("effects.csv", "effects.svg", "neurons.html", "extra.csv", "effects.meta.json")
    ]
    told = {"rule": "mmneuron_effects", "log": "logs/e.log", "code": "9", "meta": f"{HOME}/effects.meta.json"}
    tree = config.plain(config.default())
    tree["run"] |= OFF | {"mmneuron": ["llava"]}

    def write(results=paths, tree=tree, name="index", titles=()):
        target = f"results/report/{name}.html"
        known = {one: told | {"title": dict(titles).get(one, "")} for one in results}
        site.write(target, results=results, made=known, tree=tree, engine="9.9")
        return (tmp_path / target).read_text(encoding="utf-8")

    return write


def test_a_table_is_shown_with_its_finding_figure_and_making(made):
    page = made()
    assert "above as many random neurons" in page
    assert "20 % [18, 22]" in page and "9 % [8, 10]" in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert 'href="../mmneuron/llava/effects.csv"' in page and 'href="../../logs/e.log"' in page
    assert "as the step left it" in page and "mmneuron_effects" in page
    assert 'href="../mmneuron/llava/neurons.html"' in page and 'href="../mmneuron/llava/extra.csv"' in page


class Attributes(HTMLParser):
    """Names of all attributes of a page."""

    @classmethod
    def of(cls, page):
        reader = cls()
        reader.names = set()
        reader.feed(page)
        return reader.names

    def handle_starttag(self, tag, attrs):
        self.names |= {name for name, _ in attrs}


def test_nothing_of_the_data_becomes_markup(made):
    page = made()
    assert "<b onclick" not in page and "&lt;b onclick=x&gt;&amp;" in page
    assert "&lt;i&gt;a note&lt;/i&gt;" in page
    assert "alert(1)" not in page, "a figure is a picture, its script never part of the page"
    assert not [name for name in Attributes.of(page) if name == "style" or name.startswith("on")]


def test_a_result_that_no_one_told_how_to_read_is_shown_all_the_same(made):
    page = made(titles={f"{HOME}/extra.csv": "what came of it"})
    assert "<h4>What came of it</h4>" in page and 'id="mmneuron-llava-extra"' in page
    assert "More files" not in page


def test_a_table_that_changed_since_it_was_made_is_called_so(made, tmp_path):
    frame = pl.DataFrame(ROWS).with_columns(deviation=pl.col("deviation") + 1)
    frame.write_csv(tmp_path / HOME / "effects.csv")
    page = made()
    assert "the file has changed since the step wrote it" in page
    assert "21 % [18, 22]" in page


def test_a_system_that_is_switched_off_is_said_to_be(made):
    page = made()
    assert page.count("Switched off:") == len(OFF)
    assert "run.xl_vlms" in page and 'href="#xl_vlms"' not in page


def test_results_of_a_system_that_is_switched_off_are_left_alone(made):
    page = made(results=[f"{HOME}/effects.csv", "results/xl_vlms/llava15/shift.csv"])
    assert "shift.csv" not in page


def test_a_result_that_is_not_there_is_named(made):
    with pytest.raises(VlmscopeError, match=r"A result is not there.*\n.*dose\.csv"):
        made(results=[f"{HOME}/dose.csv"])


def test_a_table_of_other_columns_is_named(made, tmp_path):
    pl.DataFrame(ROWS).drop("kind").write_csv(tmp_path / HOME / "effects.csv")
    with pytest.raises(VlmscopeError, match=r"effects\.csv"):
        made()


def test_a_table_without_rows_says_so(made, tmp_path):
    pl.DataFrame(ROWS).clear().write_csv(tmp_path / HOME / "effects.csv")
    assert "The table has no rows." in made()


def test_a_long_table_is_cut_and_tells_of_how_many(made, tmp_path):
    pl.concat([pl.DataFrame(ROWS)] * 40).write_csv(tmp_path / HOME / "effects.csv")
    page = made()
    assert "50 of 120 rows" in page
    assert page.count('<td data-v="own"') + page.count('<td data-v="random"') == 50


def test_the_same_results_give_the_same_page(made):
    assert made() == made()


def test_figures_beyond_the_budget_become_links(made, monkeypatch):
    monkeypatch.setattr(site, "MOST_BYTES", len(made().encode()) - 50)
    page = made()
    assert "too large for the page" in page and "data:image" not in page
    assert "1 figures were too large" in page and len(page.encode()) <= site.MOST_BYTES
    monkeypatch.setattr(site, "MOST_BYTES", 1000)
    with pytest.raises(VlmscopeError, match="bytes without any figure"):
        made()


def test_smaller_figures_come_first(tmp_path):
    sizes = {"small": 20, "large": 3000}
    for name, size in sizes.items():
        (tmp_path / f"{name}.svg").write_text("x" * size)
    shown = [{"path": str(tmp_path / f"{name}.svg"), "alt": ""} for name in ("large", "small")]
    assert figures.within(shown, 500) == 1
    assert [bool(one["address"]) for one in shown] == [False, True]


def test_a_picture_is_packed_without_loss_and_shown_at_its_size_in_print(tmp_path):
    noise = Image.effect_noise((400, 300), 80).convert("RGB")
    noise.save(tmp_path / "figure.png", dpi=(192, 192))
    path = str(tmp_path / "figure.png")
    assert figures.width(path) == 200
    assert figures.address(path).startswith("data:image/webp;base64,")


def test_changed_settings_are_told_with_default_and_value():
    tree = config.plain(config.default())
    assert run.changed(tree) == []
    tree["mmneuron"]["identify"]["top_rate"] = 0.1
    tree["models"]["new"] = tree["models"]["llava"] | {"label": "New"}
    changes = run.changed(tree)
    assert ("mmneuron.identify.top_rate", "0.2", "0.1") in changes
    assert ("models.new.label", "", "New") in changes
    assert run.digest(tree) != run.digest(config.plain(config.default()))


def test_time_is_added_up_by_rule(tmp_path):
    for rule, job, seconds, memory in (("a", "x", "70.5", "100"), ("a", "y", "9.5", "-"), ("b", "x", "20", "300")):
        (tmp_path / rule).mkdir(exist_ok=True)
        (tmp_path / rule / f"{job}.tsv").write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{memory}\n")
    found = run.spent(tmp_path)
    assert [(one.rule, one.jobs, one.seconds, one.memory, one.share) for one in found] == [
        ("a", 2, 80.0, 100.0, 1.0),
        ("b", 1, 20.0, 300.0, 0.25),
    ]
    assert (found[0].text, run.clock(3725)) == ("1 min 20 s", "1 h 02 min")
    assert run.spent(tmp_path / "none") == []


# ---- in a browser ------------------------------------------------------------------------------------------------

TRIED = """
<script>
const told = {};
told.wide = document.documentElement.scrollWidth - innerWidth;
told.inner = innerWidth;
const heads = [...document.querySelectorAll("#mmneuron-llava-effects th button")];
const head = heads.find((one) => one.textContent === "deviation"), place = head.closest("th").cellIndex;
const column = () => [...head.closest("table").tBodies[0].rows].map((row) => Number(row.cells[place].dataset.v));
told.before = column(); head.click(); told.up = column(); head.click(); told.down = column();
told.aria = head.closest("th").ariaSort; head.click(); told.after = column();
const paper = () => getComputedStyle(document.body).backgroundColor;
told.light = paper(); document.getElementById("theme").click(); told.dark = paper();
const links = [...document.querySelectorAll(".bar nav a, .skip")];
told.links = links.map((one) => document.querySelector(one.hash) !== null);
const group = document.querySelector('.group[data-model="blip"]');
told.hidden = group.hidden; location.hash = "#mmneuron-blip-effects";
addEventListener("hashchange", () => { told.shown = !group.hidden; parent.postMessage(JSON.stringify(told), "*"); });
</script></body>"""


# A window is never as narrow as a phone; a frame within it is.
FRAME = """<iframe src="tried.html" width="{width}" height="800"></iframe>
<script>addEventListener("message", (found) => {{ document.title = found.data; }});</script>"""


def tried(made, tmp_path, width=1200):
    """What a page with two models says of itself; the policy is taken out so that the trial may run."""
    other = tmp_path / "results" / "mmneuron" / "blip"
    other.mkdir()
    pl.DataFrame(ROWS).write_csv(other / "effects.csv")
    tree = config.plain(config.default())
    tree["run"] |= OFF | {"mmneuron": ["llava", "blip"]}
    page = made(results=[f"{HOME}/effects.csv", "results/mmneuron/blip/effects.csv"], tree=tree)
    page = re.sub(r"<meta http-equiv[^>]+>", "", page).replace("</body>", TRIED)
    (tmp_path / "tried.html").write_text(page)
    (tmp_path / "frame.html").write_text(FRAME.format(width=width))
    found = browsed(tmp_path / "frame.html", tmp_path / "chromium", "--virtual-time-budget=3000")
    return json.loads(html.unescape(re.search(r"<title>(.*?)</title>", found)[1]))


@needs_browser
def test_the_page_sorts_turns_dark_and_leads_where_its_links_say(made, tmp_path):
    told = tried(made, tmp_path)
    assert (told["before"], told["up"], told["down"]) == ([20, 9, 3], [3, 9, 20], [20, 9, 3])
    assert (told["aria"], told["after"]) == ("descending", [20, 9, 3])
    assert told["light"] != told["dark"]
    assert all(told["links"]) and len(told["links"]) == 5
    assert told["hidden"] and told["shown"], "a link into another model shows it"


@needs_browser
def test_a_phone_scrolls_downwards_alone(made, tmp_path):
    told = tried(made, tmp_path, 360)
    assert told["inner"] == 360
    assert told["wide"] <= 0


@needs_browser
def test_the_script_runs_under_the_policy_of_the_page(made, tmp_path):
    made()
    found = browsed(tmp_path / "results/report/index.html", tmp_path / "chromium", "--virtual-time-budget=2000")
    assert 'aria-current="true"' in found, "the script marks the part that is read"
