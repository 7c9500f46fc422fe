"""Tables 3 to 5, dose, other edits and table 1 on hand-made rows."""

from types import SimpleNamespace

import polars as pl
import pytest

from vlmscope.config import default, plain
from vlmscope.mmneuron import controls, identify, portions, scored, table1, table2, variations
from vlmscope.mmneuron.schemas import PERTURBED, SCORES
from vlmscope.store import tables

CONFIG = plain(default())
DOMAINS = CONFIG["mmneuron"]["domains"]
KINDS = {name: CONFIG["datasets"][name]["kind"] for name in DOMAINS}
CONDITIONS = CONFIG["mmneuron"]["conditions"]["instructblip"]
MODULES = ("lang", "encoder", "qformer", "query")
SUMMARIES = {module: {"members": dict.fromkeys(DOMAINS, 7), "set": module} for module in MODULES}
SETUP = table2.Setup(
    model="blip",
    label="InstructBLIP",
    columns=CONFIG["mmneuron"]["columns"],
    conditions=CONDITIONS,
    kinds=KINDS,
    splits={name: CONFIG["datasets"][name]["splits"] for name in DOMAINS},
    summaries=SUMMARIES,
    evaluate=CONFIG["mmneuron"]["evaluate"],
    generate=CONFIG["mmneuron"]["generate"],
)


def rows(masks, values, domains=DOMAINS):
    """Scored rows of four samples; masks are (kind, condition, variant), `values` gives deviation and score of one."""
    parts = []
    for place, domain in enumerate(domains):
        found, scores = [], []
        for kind, condition, variant in masks:
            name = ":".join(part for part in (kind, condition, variant) if part)
            for k in range(4):
                deviation, score = values(place, kind, condition, variant, k)
                found.append((domain, name, kind, condition, variant, f"s{k}", f"g{k}", 5, deviation, 0.1, 0.2, "x"))
                scores.append((name, f"g{k}", "m", score))
        table = pl.DataFrame(found, schema=PERTURBED, orient="row")
        parts.append(scored.with_scores(table, pl.DataFrame(scores, schema=SCORES, orient="row")))
    return pl.concat(parts)


NAMES = [row["name"] for row in CONDITIONS[1:]]
MASKS = [("none", "", "")]
MASKS += [(kind, name, variant) for name in NAMES for kind, variant in (("own", ""), ("random", "0"), ("random", "4"))]


def measured(place, kind, condition, variant, k):
    if kind == "none":
        return 0.0, 1.0
    if kind == "own":
        return 10.0 + place + k, 0.0
    return (2.0, 1.0) if variant == "0" else (4.0, float(k > 0))


@pytest.fixture(scope="module")
def found():
    return controls.tables(rows(MASKS, measured), SETUP)


def test_all_tables_have_the_rows_and_columns_of_table_2(found, tmp_path):
    tables.write_all(found, {name: str(tmp_path / f"{name}.csv") for name in found})
    for name in ("table3", "table4", "table5"):
        lines = (tmp_path / f"{name}.csv").read_text().splitlines()
        assert lines[0] == "baseline,module,masked_modules,VQAv2,PMC-VQA,LingoQA,DocVQA,RS-VQA"
        assert [line.split(",")[1:3] for line in lines[1:]] == [
            ["None", ""],
            ["LLM", "lang"],
            ["Vision Encoder", "encoder"],
            ["Q-Former", "qformer+query"],
            ["Vision Encoder & Q-Former", "encoder+qformer+query"],
            ["All", "lang+encoder+qformer+query"],
        ]


def test_cells_are_means_over_questions_and_draws(found):
    def cells(name, row):
        return list(found[name][0].row(row))[3:]

    # Columns com, med, ad, doc, rs are places 3, 1, 0, 4, 2 of the domains.
    assert cells("table3", 1) == ["14.50", "12.50", "11.50", "15.50", "13.50"]
    assert cells("table3", 0) == cells("table5", 0) == ["0.00"] * 5
    assert cells("table4", 0) == ["100.00"] * 5
    assert cells("table4", 5) == ["87.50"] * 5
    assert cells("table5", 5) == ["3.00"] * 5


def test_long_forms_tell_every_draw_and_the_own_neurons_beside_it(found):
    four, five = found["table4_long"][0], found["table5_long"][0]
    assert len(found["table3_long"][0]) == 5 * 6
    assert len(four) == len(five) == 5 * (1 + 5 * 2)
    drawn = four.filter((pl.col("condition") == "lang") & (pl.col("domain") == "ad"))
    assert drawn.select("random_seed", "score", "own_score", "delta_vs_none", "n").rows() == [
        (0, 1.0, 0.0, 0.0, 4),
        (4, 0.75, 0.0, -0.25, 4),
    ]
    none = four.filter(pl.col("condition") == "none")
    assert none["random_seed"].to_list() == [None] * 5 and none["domain"].to_list() == DOMAINS
    assert five.filter(pl.col("random_seed") == 4)["own_deviation"].min() == 11.5
    sets = found["table3_long"][0].filter(pl.col("domain") == "ad")["neuron_set"].to_list()
    assert sets[0] is None or sets[0] == ""
    assert len(set(sets)) == 6


# ---- variations --------------------------------------------------------------------------------------------------

VARIED = [("none", "", ""), ("zero", "all", ""), ("mean", "all", ""), ("scale", "all", "0.5"), ("scale", "all", "2")]
VARIED += [(kind, "all", rate + end) for rate in ("0.1", "0.2") for kind, end in (("dose", ""), ("dose_random", ":0"))]


def varied(place, kind, condition, variant, k):
    times = {"none": 0, "zero": 8, "mean": 4, "scale": 2, "dose": 6, "dose_random": 1}[kind]
    return float(times * (2 if variant.startswith("0.2") else 1) + place), float(kind in ("none", "dose_random"))


def test_the_dose_stands_by_domain_rate_and_kind_with_a_mean_over_domains():
    table = variations.dose(rows(VARIED, varied, ["a", "b"]), 50, 0)
    assert table.schema == pl.Schema(variations.DOSE)
    assert table.select("domain", "rate", "kind").rows() == [
        (domain, rate, kind) for domain in ("a", "b", "mean") for rate in (0.1, 0.2) for kind in ("own", "random")
    ]
    assert table["deviation"].to_list() == [6, 1, 12, 2, 7, 2, 13, 3, 6.5, 1.5, 12.5, 2.5]
    assert table["delta"].to_list() == [-100, 0] * 6


def test_other_edits_stand_beside_zero():
    table = variations.ablations(rows(VARIED, varied, ["a"]), 50, 0)
    assert table.select("domain", "edit", "factor", "deviation").rows()[:4] == [
        ("a", "zero", 0.0, 8.0),
        ("a", "mean", None, 4.0),
        ("a", "scale", 0.5, 2.0),
        ("a", "scale", 2.0, 2.0),
    ]


# ---- table 1 and portions ----------------------------------------------------------------------------------------


def test_table_1_tells_what_identification_reports():
    one = {"n_neurons": 100, "n_selected": 10, "union": 9, "shared_ge2": 2, "threshold": 0.25, "bar": 0.5}
    told = {"mmproj": {**one, "members": {"a": 1, "b": 0}}, "lang": {**one, "members": {"a": 4, "b": 7}}}
    told["vision"] = told["mmproj"]
    table = table1.table(told, label="LLaVA-NeXT", family="llava_next", domains=["a", "b"])
    assert table.columns == [
        *("baseline", "module", "n_neurons", "n_selected", "a", "b", "union", "shared_ge2", "threshold")
    ]
    assert table["module"].to_list() == ["lang", "vision", "mmproj"]
    assert table.row(0) == ("LLaVA-NeXT", "lang", 100, 10, 4, 7, 9, 2, 0.25)


def test_the_union_never_exceeds_what_was_selected(counts_of):
    for seed in range(5):
        found = counts_of(seed)
        chosen = identify.select(found.fired, found.seen, top_rate=0.1, filter_rate=0.6, bar_rate=0.6)
        told = identify.summary(found, chosen, "lang")
        assert told["union"] <= told["n_selected"]
        assert told["union"] == sum(told["members"].values()) or told["shared_ge2"] > 0


def test_one_job_takes_all_domains_at_tiny_scale_and_one_each_at_paper_scale():
    config = default()
    tiny = portions.Portions(config)
    asked = SimpleNamespace(model="m", portion="all")
    assert tiny.files("effects")(asked) == ["results/mmneuron/m/effects/all.parquet"]
    assert tiny.samples(asked) == [f"results/data/{domain}/val.parquet" for domain in DOMAINS]
    assert (tiny.each, tiny.job) == (list(DOMAINS), "{model}")
    assert tiny.raws(SimpleNamespace(model="m")) == [f"results/data/{domain}/raw.json" for domain in DOMAINS]
    paper = portions.Portions(config.model_copy(update={"scale": "paper"}))
    assert paper.files("varied")(asked) == [f"results/mmneuron/m/varied/{domain}.parquet" for domain in DOMAINS]
    for one in (SimpleNamespace(model="m", portion="rs"), SimpleNamespace(model="m", domain="rs")):
        assert (paper.raws(one), paper.kinds(one)) == (["results/data/rs/raw.json"], '{"rs": "rsvqa"}')
        assert paper.tables("train")(one) == ["results/data/rs/train.parquet"]
    assert (paper.each, paper.job) == (["{domain}"], "{model}-{domain}")
    assert paper.own_readers == ["vlmscope.datasets.{kind:domain}"]
