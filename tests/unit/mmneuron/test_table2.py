import json

import polars as pl
import pytest

from vlmscope.config import default, plain
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import meta, table2
from vlmscope.mmneuron.schemas import SCORES
from vlmscope.store import tables

CONFIG = plain(default())
DOMAINS = ["ad", "med", "rs", "com", "doc"]
KINDS = {name: one["kind"] for name, one in CONFIG["datasets"].items()}
METRIC = {"ad": "token_f1_stand_in", "med": "first_option", "rs": "exact", "com": "com_exact", "doc": "anls"}
CONDITIONS = CONFIG["mmneuron"]["conditions"]["llava_next"]
SUMMARIES = {
    module: {
        "members": {domain: base + place for place, domain in enumerate(DOMAINS)},
        "effective": dict.fromkeys(DOMAINS, 1),
        "set": f"set of {module}",
        "samples": dict.fromkeys(DOMAINS, 35),
        "positions": dict.fromkeys(DOMAINS, 100_975),
        "n_neurons": 10_000,
        "n_selected": 100,
        "threshold": 0.5,
        "bar": 0.5,
    }
    for base, module in ((10, "lang"), (100, "vision"), (1000, "mmproj"))
}


def setup(**changes):
    given = {
        "model": "llava",
        "label": "LLaVA-NeXT",
        "columns": CONFIG["mmneuron"]["columns"],
        "conditions": CONDITIONS,
        "kinds": KINDS,
        "splits": {name: one["splits"] for name, one in CONFIG["datasets"].items()},
        "summaries": SUMMARIES,
        "evaluate": CONFIG["mmneuron"]["evaluate"],
        "generate": CONFIG["mmneuron"]["generate"],
    }
    return table2.Setup(**given | changes)


def rows(domain, wrong):
    """Ten answers per condition, `wrong[condition]` of them wrong; a second metric must not be mixed in."""
    found = [
        (condition, f"q{k}", metric, 0.0 if metric == "other" or k < wrong.get(condition, 0) else 1.0)
        for condition in ("none", "lang", "vision", "mmproj", "all")
        for k in range(10)
        for metric in (METRIC[domain], "other")
    ]
    return pl.DataFrame(found, schema=SCORES, orient="row")


WRONG = {
    "ad": {"none": 1, "lang": 3},
    "med": {"none": 0, "lang": 10},
    "rs": {"all": 7},
    "com": {"none": 5, "mmproj": 4},
    "doc": {"vision": 2},
}


@pytest.fixture
def long():
    return table2.long_table({domain: rows(domain, WRONG[domain]) for domain in DOMAINS}, setup())


def test_the_published_form_is_exact_to_the_byte(long, tmp_path):
    tables.write(table2.wide_table(long, setup()), tmp_path / "t.csv", table2.wide_schema(setup()))
    assert (tmp_path / "t.csv").read_bytes().decode().splitlines(keepends=True) == [
        "baseline,module,masked_modules,VQAv2,PMC-VQA,LingoQA,DocVQA,RS-VQA\n",
        "LLaVA-NeXT,None,,50.00,100.00,90.00,100.00,100.00\n",
        "LLaVA-NeXT,LLM,lang,100.00,0.00,70.00,100.00,100.00\n",
        "LLaVA-NeXT,Vision Encoder,vision+mmproj,100.00,100.00,100.00,80.00,100.00\n",
        "LLaVA-NeXT,MLP Projector,mmproj,60.00,100.00,100.00,100.00,100.00\n",
        "LLaVA-NeXT,All,lang+vision+mmproj,100.00,100.00,100.00,100.00,30.00\n",
    ]


def test_a_domain_that_was_not_run_has_an_empty_cell(tmp_path):
    part = table2.long_table({"rs": rows("rs", {}), "com": rows("com", {})}, setup())
    tables.write(table2.wide_table(part, setup()), tmp_path / "t.csv", table2.wide_schema(setup()))
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "LLaVA-NeXT,None,,100.00,,,,100.00"


def test_the_long_form_has_one_row_per_condition_and_domain(long):
    assert ",".join(long.columns) == (
        "model,condition,masked_modules,domain,dataset,split,metric,n,score,ci_low,ci_high,delta_vs_none,"
        "n_masked_neurons,decode,seed,neuron_set,lost,gained,test,p_value"
    )
    assert [(row["condition"], row["domain"]) for row in long.iter_rows(named=True)] == [
        (condition["name"], domain) for condition in CONDITIONS for domain in DOMAINS
    ]


def test_a_cell_of_the_long_form_is_known(long):
    row = long.row(by_predicate=(pl.col("condition") == "lang") & (pl.col("domain") == "ad"), named=True)
    assert row["score"] == pytest.approx(0.7) and row["n"] == 10
    assert row["delta_vs_none"] == pytest.approx(-0.2)
    # The Wilson interval of 7 of 10.
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((0.3967781, 0.8922087), abs=1e-6)
    assert (row["dataset"], row["split"], row["metric"]) == ("LingoQA", "val", "token_f1_stand_in")
    assert (row["masked_modules"], row["n_masked_neurons"], row["decode"], row["seed"]) == ("lang", 10, "greedy", 0)
    medical = long.row(by_predicate=(pl.col("condition") == "all") & (pl.col("domain") == "med"), named=True)
    assert (medical["split"], medical["n_masked_neurons"]) == ("test_clean", 11 + 101 + 1001)


def test_the_untouched_row_knows_no_neurons(long):
    none = long.filter(pl.col("condition") == "none")
    assert none["delta_vs_none"].to_list() == [0.0] * 5
    assert none["n_masked_neurons"].to_list() == [0] * 5
    assert set(none["neuron_set"]) == {""} and set(none["masked_modules"]) == {""}


def test_a_neuron_set_is_named_by_what_is_in_it():
    changed = {**SUMMARIES, "lang": {**SUMMARIES["lang"], "set": "another"}}
    names = [table2.neuron_set(["vision", "lang"], one) for one in (SUMMARIES, changed, dict(SUMMARIES))]
    assert names[0] == names[2] != names[1]
    assert table2.neuron_set(["vision"], SUMMARIES) == table2.neuron_set(["vision"], changed)
    assert len(names[0]) == 16


@pytest.mark.parametrize("lost", ["none", "lang"])
def test_a_condition_without_scores_is_an_error_and_not_a_number(lost):
    scores = {"rs": rows("rs", {}).filter(pl.col("condition") != lost)}
    with pytest.raises(VlmscopeError, match=f"rs.*{lost}.*exact"):
        table2.long_table(scores, setup())


def described(**changes):
    data = {
        "kinds": KINDS,
        "splits": {name: one["splits"] for name, one in CONFIG["datasets"].items()},
        "options": {name: one["options"] for name, one in CONFIG["datasets"].items()},
        "capture": {"vision_positions": 100_000},
    }
    raw = {"kind": "k", "source": "drawn", "digest": "d", "root": "/secret"}
    model = {"checkpoint": "c", "revision": "r", "fingerprint": "f", "family": "llava_next"}
    model |= {"dtype": "float32", "quantize": "none", "attention": "auto"}
    given = {
        "table": "table2",
        "scale": "tiny",
        "model": model,
        "raws": {domain: {**raw, "kind": KINDS[domain]} for domain in DOMAINS},
        "data": data,
        "settings": {"evaluate": {"judge": "token_f1"}, "identify": {"top_rate": 0.01}},
        "summaries": SUMMARIES,
        "notes": table2.NOTES,
    }
    return meta.describe(**given | changes)


def test_the_metadata_says_what_made_the_table():
    told = json.loads(json.dumps(described()))
    assert set(told) == {
        *("table", "scale", "checkpoint", "data", "capture", "recorded_samples", "recorded_positions", "neurons"),
        *("settings", "judge", "prompts", "versions", "notes"),
    }
    assert told["checkpoint"]["fingerprint"] == "f" and told["checkpoint"]["revision"] == "r"
    assert told["data"]["med"]["split"] == "test_clean" and list(told["data"]) == DOMAINS
    assert told["recorded_samples"]["ad"] == 35 and told["recorded_positions"]["lang"]["ad"] == 100_975
    assert told["neurons"]["vision"]["members"]["med"] == 101
    assert {"python", "torch", "transformers", "numpy"} <= set(told["versions"])
    assert "/secret" not in json.dumps(told)
    assert told["notes"]


@pytest.mark.parametrize(("family", "expected"), [("llava_next", True), ("instructblip", False)])
def test_a_projector_is_spoken_of_where_there_is_one(family, expected):
    found = table2.notes(CONFIG["mmneuron"]["conditions"][family], official_rows=True)
    assert any("projector" in one for one in found) == expected
    assert table2.ROWS_NOTES[True] in found and table2.ROWS_NOTES[False] not in found


def test_a_stand_in_judge_is_called_one():
    assert "stand-in" in described()["judge"] and "not comparable" in described()["judge"]
    assert described(settings={"evaluate": {"judge": "lingo-judge"}})["judge"] == "lingo-judge"


def test_the_prompt_digest_depends_on_the_benchmarks():
    assert meta.prompts_digest(KINDS) == meta.prompts_digest(dict(KINDS))
    assert meta.prompts_digest(KINDS) != meta.prompts_digest({"ad": "lingoqa"})


def test_each_cell_has_its_test_against_the_untouched_model(long):
    def cell(condition, domain):
        return long.row(by_predicate=(pl.col("condition") == condition) & (pl.col("domain") == domain), named=True)

    # Untouched: q0 wrong; masked: q0, q1, q2 wrong. Two lost, none gained: p = 2 / 2**2.
    assert [cell("lang", "ad")[key] for key in ("lost", "gained", "test", "p_value")] == [2, 0, "mcnemar", 0.5]
    assert cell("lang", "med")["p_value"] == pytest.approx(2 / 2**10)
    # One question of five wrong ones is right now.
    assert [cell("mmproj", "com")[key] for key in ("lost", "gained", "p_value")] == [0, 1, 1.0]
    assert [cell("none", "ad")[key] for key in ("lost", "gained", "test", "p_value")] == [0, 0, "", None]
