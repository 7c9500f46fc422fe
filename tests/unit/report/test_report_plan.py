"""Which files the report depends on, and what it tells of their making."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from vlmscope import config
from vlmscope.report import makers
from vlmscope.report.systems import SYSTEMS

ROOT = Path(__file__).resolve().parents[3]


class File(str):
    """What the engine makes of a pattern, as far as it is asked."""

    def regex(self):
        """Wildcards hold no slash."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", str(self)) + "$")

    def apply_wildcards(self, wildcards):
        """A path of the pattern."""
        return self.format(**wildcards)


def rule(name, outputs, inputs=()):
    params = SimpleNamespace(code=lambda wildcards: f"digest of {name}, {getattr(wildcards, 'model', '')}")
    return SimpleNamespace(
        name=name, output=[*map(File, outputs)], log=[File(f"logs/{name}.log")], params=params, input=inputs
    )


OF = "results/mmneuron/{model}/"
EFFECTS = rule("mmneuron_effects", [OF + "effects.csv", OF + "effects.svg", OF + "raw.h5", OF + "effects.meta.json"])
PAGE = rule("mmneuron_page", [OF + "neurons.html"])
ALL = rule(
    "all", [], ["results/mmneuron/llava/effects.csv", "results/mmneuron/llava/neurons.html", "results/data/x.json"]
)
MADE = "results/mmneuron/llava/"


def planned(**run):
    tree = config.plain(config.default())
    tree["run"] |= run
    return makers.Plan(config.resolve(tree), SimpleNamespace(rules=[EFFECTS, PAGE, ALL]))


def test_a_target_brings_figures_and_companion_of_its_job_but_nothing_else():
    asked = SimpleNamespace(scope="index")
    names = ["effects.csv", "effects.svg", "effects.meta.json", "neurons.html"]
    assert planned().results(asked) == [MADE + name for name in names]


def test_a_system_that_is_switched_off_brings_nothing():
    assert planned(mmneuron=[]).results(SimpleNamespace(scope="index")) == []


def test_a_file_is_told_with_its_rule_log_code_and_companion():
    told = json.loads(planned().made(SimpleNamespace(scope="index")))
    assert told[MADE + "effects.svg"] == {
        "rule": "mmneuron_effects",
        "log": "logs/mmneuron_effects.log",
        "code": "digest of mmneuron_effects, llava",
        "meta": MADE + "effects.meta.json",
        "title": "",
    }
    assert told[MADE + "neurons.html"]["meta"] == ""


def test_what_the_engine_reports_is_read_too_and_keeps_its_title():
    named = rule("mmneuron_new", [OF + "new.csv", OF + "new.png"])
    named.output[1].flags = {"report": SimpleNamespace(labels={"model": "{model}", "result": "new, {model}"})}
    wanted = rule("all", [], [MADE + "new.csv"])
    plan = makers.Plan(config.default(), SimpleNamespace(rules=[named, wanted]))
    told = json.loads(plan.made(SimpleNamespace(scope="index")))
    assert {path: one["title"] for path, one in told.items()} == {MADE + "new.csv": "", MADE + "new.png": "new, llava"}


def test_a_file_that_no_rule_makes_is_passed_over():
    assert makers.made([EFFECTS], "results/other.csv") is None


def flagged():
    """Files that rules hand to the engine's own report, with the text of the flag."""
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for block in re.findall(r"report\(\n(.*?)\n\s+\),", path.read_text(encoding="utf-8"), flags=re.DOTALL):
            found = re.search(r'"(results/[^"]+)"', block)
            yield found[1] if found else block.split()[0], block, path


FLAGGED = list(flagged())


@pytest.mark.parametrize(("file", "block", "path"), FLAGGED, ids=[one[0] for one in FLAGGED])
def test_what_the_engine_reports_has_a_caption_a_category_and_labels(file, block, path):
    caption = re.search(r'caption="([^"]+)"', block)[1]
    assert (path.parent / caption).resolve().is_file()
    assert re.search(r'category="\w', block)
    assert re.search(r'labels=\{"model": "[^"]+", "result": "[^"]+"\}', block)


def test_no_result_is_listed_twice_and_every_figure_belongs_to_one():
    for system in SYSTEMS:
        files = [one.file for one in system.results]
        assert len(files) == len(set(files))
        figures = [name for one in system.results for name in one.figures]
        assert len(figures) == len(set(figures))
        assert any(one.key for one in system.results)
