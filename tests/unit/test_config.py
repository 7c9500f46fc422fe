import difflib
import json
import re
from pathlib import Path

import configured
import pytest
import yaml

from vlmscope import checks, config, config_files
from vlmscope.errors import VlmscopeError

ROOT = Path(__file__).resolve().parents[2]


def assert_in_step(name, printed):
    stored = (ROOT / name).read_text(encoding="utf-8")
    difference = difflib.unified_diff(
        stored.splitlines(), printed.splitlines(), name, "vlmscope/config.py", lineterm=""
    )
    lines = "\n".join(difference)
    assert stored == printed, f"run python -m vlmscope config\n{lines}"


def test_config_yaml_is_the_printed_default():
    assert_in_step("config.yaml", config_files.default_text())


def test_config_schema_is_the_printed_schema():
    assert_in_step("config.schema.json", config_files.schema_text())


def test_config_yaml_alone_is_the_whole_default():
    assert config.load(ROOT / "config.yaml") == config.default()
    assert config.plain(config.default()) == yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


SECTIONS = [
    one
    for one in vars(config).values()
    if isinstance(one, type) and issubclass(one, config.Section) and one != config.Section
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: one.__name__)
def test_every_key_has_a_description_and_every_section_a_docstring(section):
    assert section.__doc__ and section.__doc__.strip()
    for key, field in section.model_fields.items():
        assert field.description, key
    assert section.model_config["extra"] == "forbid" and section.model_config["frozen"]


def test_every_description_stands_in_the_yaml_or_the_schema():
    shown = (ROOT / "config.yaml").read_text(encoding="utf-8") + (ROOT / "config.schema.json").read_text(
        encoding="utf-8"
    )
    for section in SECTIONS:
        for field in section.model_fields.values():
            assert field.description in shown or json.dumps(field.description)[1:-1] in shown


def test_settings_of_the_machine_are_not_in_the_configuration():
    keys = {key for section in SECTIONS for key in section.model_fields}
    assert not keys & {"threads", "memory", "mem_mb", "partition", "batch", "batch_size", "gpu", "output"}
    # Models differ in it, so it stands there; it reaches jobs as a resource (tests/workflow/test_reruns.py).
    assert [one.__name__ for one in SECTIONS if "device" in one.model_fields] == ["Model"]


BAD = [
    ({"scal": "tiny"}, ["scal: no such key"]),
    ({"scale": "huge"}, ["scale:", "'tiny' or 'paper'", '"huge"']),
    ({"mmneuron__identify__top_rate": 2}, ["mmneuron.identify.top_rate:", "less than or equal to 1", "(is 2)"]),
    ({"mmneuron__identify__top_rat": 0.1}, ["mmneuron.identify.top_rat: no such key"]),
    ({"mmneuron__generate__max_new_tokens": 0}, ["mmneuron.generate.max_new_tokens:", "(is 0)"]),
    ({"captures__domain_counts__take": []}, ["captures.domain_counts.take:", "at least 1 item"]),
    ({"captures__domain_counts__take": [{"site": "x y"}]}, ["captures.domain_counts.take.0.site:", '"x y"']),
    ({"captures__domain_counts__take": [{"site": "x", "keep": "top"}]}, ["captures.domain_counts.take.0.keep:"]),
    ({"captures__domain_counts__take": [{"site": "x", "where": "here"}]}, ["captures.domain_counts.take.0.where:"]),
    ({"captures__domain_counts__take": [{"site": "x", "where": "word"}]}, ["take.0: `words` must be listed"]),
    ({"captures__domain_counts__take": [{"site": "x", "at": [0]}]}, ["take.0: `at` must be listed with `where: at`"]),
    ({"captures__domain_counts__take": [{"site": "x", "units": [3, 3]}]}, ["take.0: `units` lists something twice"]),
    ({"captures__domain_counts__take": [{"site": "x", "units": [-1]}]}, ["take.0.units.0:", "(is -1)"]),
    (
        {"captures__domain_counts__take": [{"site": "x", "where": "word", "words": ["a.b"]}]},
        ["take.0.words.0:", '"a.b"'],
    ),
    ({"captures__domain_counts__shards": 0}, ["captures.domain_counts.shards:"]),
    ({"models__Llava": {"family": "x", "label": "x"}}, ["models.Llava"]),
    ({"models": None}, ["models:", "null"]),
    (
        {"models__llava__quantize": "8bit", "models__llava__device": "cpu"},
        ["models.llava: quantize: 8bit needs a GPU, but device is cpu"],
    ),
    ({"run__mmneuron": ["blob"]}, ["run.mmneuron names 'blob', which models does not have (known: llava, blip, "]),
    ({"mmneuron__capture": "no"}, ["mmneuron.capture names 'no', which captures does not have"]),
    (
        {"captures__domain_counts__data": ["no"]},
        ["captures.domain_counts.data names 'no', which datasets does not have"],
    ),
    ({"mmneuron__evaluate__judge": "no"}, ["mmneuron.evaluate.judge names 'no'", "lingo-judge"]),
    ({"mmneuron__columns": ["ad"]}, ["mmneuron.columns must list the same domains"]),
    (
        {"mmneuron__domains": ["ad", "ad"], "mmneuron__columns": ["ad", "ad"]},
        ["mmneuron.columns must list the same domains as mmneuron.domains, each once"],
    ),
    ({"mmneuron__tables__deviation": "table2"}, ["mmneuron.tables must name five different tables"]),
    ({"mmneuron__tables__deviation": "effects"}, ["mmneuron.tables.deviation"]),
    ({"mmneuron__conditions": {}}, ["mmneuron.conditions has no rows for family 'llava_next' of model 'llava'"]),
    (
        {"mmneuron__conditions__llava_next": [{"name": "all", "label": "A", "modules": ["lang"]}]},
        ["just 'none' has no modules"],
    ),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_a_wrong_value_is_named_with_its_key(change, words):
    with pytest.raises(VlmscopeError) as caught:
        config.resolve(configured.tree(**change), where="mine.yaml")
    for word in words:
        assert word in str(caught.value)
    assert "mine.yaml" in str(caught.value) and "config.schema.json" in str(caught.value)


def test_all_wrong_values_are_told_at_once():
    wrong = configured.tree(scale="x", mmneuron__identify__top_rate=-1, mmneuron__generate__decode="beam", extra=1)
    with pytest.raises(VlmscopeError) as caught:
        config.resolve(wrong)
    for key in ("scale:", "mmneuron.identify.top_rate:", "mmneuron.generate.decode:", "extra:"):
        assert re.search(rf"^    {re.escape(key)}", str(caught.value), flags=re.M)


def test_all_names_that_lead_nowhere_are_told_at_once():
    wrong = configured.tree(run__mmneuron=["blob"], mmneuron__capture="no", mmneuron__domains=["ad", "x"])
    with pytest.raises(VlmscopeError) as caught:
        config.resolve(wrong)
    for words in ("'blob'", "'no'", "names 'x'", "mmneuron.columns must"):
        assert words in str(caught.value)


@pytest.mark.parametrize("tree", [[], "text", 3, {}])
def test_what_is_no_configuration_is_refused(tree):
    with pytest.raises(VlmscopeError, match="does not hold together"):
        config.resolve(tree)


@pytest.mark.parametrize("content", [b"", b"a: [1", b"\xff\xfe\x00", b"- 1\n", b"a: 1\n\tb: 2\n"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(VlmscopeError) as caught:
        config.load(tmp_path / "c.yaml")
    assert caught.value.where == str(tmp_path / "c.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VlmscopeError, match="cannot be read") as caught:
        config.load(tmp_path / "c.yaml")
    assert caught.value.where == str(tmp_path / "c.yaml")


def test_yaml_cannot_run_code(tmp_path):
    (tmp_path / "c.yaml").write_text(f"scale: !!python/object/apply:os.mkdir ['{tmp_path}/hole']\n")
    with pytest.raises(VlmscopeError):
        config.load(tmp_path / "c.yaml")
    assert not (tmp_path / "hole").exists()


def test_the_paper_overlay_changes_keys_that_exist():
    def merge(below, above):
        for key, value in above.items():
            below[key] = merge(below.get(key) or {}, value) if isinstance(value, dict) else value
        return below

    overlay = yaml.safe_load((ROOT / "profiles" / "paper" / "config.yaml").read_text(encoding="utf-8"))
    found = config.resolve(merge(config.plain(config.default()), overlay))
    # Numbers of the released code (mmneuron.md 3).
    assert (found.mmneuron.identify.top_rate, found.mmneuron.identify.filter_rate) == (0.01, 0.95)
    assert found.mmneuron.identify.bar_rate == 0.95 and found.mmneuron.identify.assign == "bar"
    assert found.captures["domain_counts"].vision_positions == 100_000
    assert found.captures["domain_counts"].samples == 10_001
    # Sizes of xl_vlms.md 3 and 5.
    assert found.datasets["coco"].limit == {"train": 82_783, "val": 5_000}
    assert found.datasets["vqa"].options["subset"] == 5_000 and found.datasets["vqa"].options["seed"] == 0
    checks.check_plan(found)


def test_equal_values_give_the_same_text_in_every_order():
    assert config.digest_ready({"b": [1, 2.5, None], "a": "é"}) == config.digest_ready({"a": "é", "b": [1, 2.5, None]})
    assert config.digest_ready({"b": 1, "a": "é"}) == '{"a":"\\u00e9","b":1}'


def test_a_configuration_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        config.default().scale = "paper"
