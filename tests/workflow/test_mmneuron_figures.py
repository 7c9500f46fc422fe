"""Figures, pages and tables of MMNeuron on a finished run: names and columns as mmneuron.md 7.3 lists them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from checkout import DOMAINS, EVERYTHING, Checkout

TABLES = ("table1", "table2", "table2_long", "table3", "table3_long", "table4", "table4_long", "table5", "table5_long")
WIDE = "baseline,module,masked_modules,VQAv2,PMC-VQA,LingoQA,DocVQA,RS-VQA"
# File -> its first columns, as published; ours may follow behind.
COLUMNS = {
    "table1": "baseline,module,n_neurons,n_selected,ad,med,rs,com,doc,union,shared_ge2,threshold",
    **dict.fromkeys(("table2", "table3", "table4", "table5"), WIDE),
    "table2_long": "model,condition,masked_modules,domain,dataset,split,metric,n,score,ci_low,ci_high,delta_vs_none,"
    "n_masked_neurons,decode,seed,neuron_set",
    "fig2_pca": "domain,sample,pc1,pc2",
    "fig_layers": "module,layer,domain,count,share_of_layer",
    "fig_sharing": "module,n_domains,count",
    "fig_overlap": "module,domain_a,domain_b,intersection,frac_of_b",
    "fig_entropy": "layer,domain,token_type,mean_entropy,std,n",
    "neurons": "module,layer,index,domain,p_ad,p_med,p_rs,p_com,p_doc,entropy",
    **{f"lens_{domain}": "layer,position,token_type,rank,token,prob,entropy" for domain in DOMAINS},
}
EXACT = COLUMNS.keys() - {"table2_long", *(f"lens_{domain}" for domain in DOMAINS)}


ROWS = {
    "llava": {
        "None": "",
        "LLM": "lang",
        "Vision Encoder": "vision+mmproj",
        "MLP Projector": "mmproj",
        "All": "lang+vision+mmproj",
    },
    "blip": {
        "None": "",
        "LLM": "lang",
        "Vision Encoder": "encoder",
        "Q-Former": "qformer+query",
        "Vision Encoder & Q-Former": "encoder+qformer+query",
        "All": "lang+encoder+qformer+query",
    },
}


@dataclass(frozen=True)
class Drawn:
    """A model's finished results."""

    checkout: Checkout
    model: str

    @property
    def folder(self) -> Path:
        return self.checkout.folder / "results" / "mmneuron" / self.model

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture(scope="module", params=["llava", pytest.param("blip", marks=pytest.mark.slow)])
def drawn(request, everything):
    """Everything made of a model with few samples."""
    everything.run(*(one.replace("/llava/", f"/{request.param}/") for one in EVERYTHING), "--cores", "2")
    return Drawn(everything, request.param)


def test_every_file_is_there(drawn):
    made = {path.name for path in drawn.folder.iterdir()}
    assert {f"{name}.csv" for name in TABLES} | {"table2.meta.json", "effects.meta.json"} <= made
    for name in ("entropy", "layers", "sharing", "overlap", "stages"):
        assert {f"fig_{name}.csv", f"fig_{name}.png", f"fig_{name}.svg"} <= made
    for domain in DOMAINS:
        assert {f"lens_{domain}.csv", f"lens_{domain}_0.html", f"lens_{domain}_1.html"} <= made
    rest = {"stages.csv", "neurons.csv", "prompts.json", "fig2_pca.csv", "fig2_pca.png", "fig2_pca.svg"}
    assert rest <= made
    assert all((drawn.folder / name).stat().st_size < 2_000_000 for name in made if name.endswith(".html"))


@pytest.mark.parametrize("name", COLUMNS)
def test_tables_have_the_published_columns(name, drawn):
    content = drawn.read(f"{name}.csv")
    head = content.decode("utf-8").splitlines()[0]
    assert head == COLUMNS[name] if name in EXACT else head.startswith(COLUMNS[name] + ",")
    assert b"\r" not in content and content.endswith(b"\n")
    assert len(content.splitlines()) > 1


@pytest.mark.parametrize("name", ["table2", "table3", "table4", "table5"])
def test_the_rows_are_the_published_conditions(name, drawn):
    found = pl.read_csv(drawn.folder / f"{name}.csv", infer_schema=False).fill_null("")
    assert dict(found.select("module", "masked_modules").rows()) == ROWS[drawn.model]
    assert found["module"].to_list() == list(ROWS[drawn.model])
    assert set(found["baseline"]) == {{"llava": "LLaVA-NeXT", "blip": "InstructBLIP"}[drawn.model]}
    cells = found.drop("baseline", "module", "masked_modules")
    assert all(re.fullmatch(r"\d+\.\d\d", cell) for row in cells.rows() for cell in row)
    if name in ("table3", "table5"):
        assert set(cells.row(0)) == {"0.00"}


def test_deviations_and_draws_stand_in_the_long_tables(drawn):
    heads = {name: drawn.read(f"{name}.csv").decode().splitlines()[0].split(",") for name in TABLES}
    assert {"deviation", "one_minus_cos", "kl_next"} <= set(heads["table3_long"])
    assert {"random_seed", "score"} <= set(heads["table4_long"])
    assert {"random_seed", "deviation", "one_minus_cos", "kl_next"} <= set(heads["table5_long"])


def test_prompts_and_explained_variance_are_told(drawn):
    prompts = json.loads(drawn.read("prompts.json"))
    assert [sorted(one) for one in prompts] == [["domain", "model", "text"]] * 5
    assert [one["domain"] for one in prompts] == list(DOMAINS)
    explained = json.loads(drawn.read("fig2_pca.meta.json"))["explained_variance"]
    assert len(explained) == 2 and 0 < sum(explained) <= 1


def test_the_metadata_of_table_2_is_complete(drawn):
    told = json.loads(drawn.read("table2.meta.json"))
    assert {"versions", "prompts", "capture", "judge", "notes", "recorded_samples"} <= told.keys()
    assert "revision" in told["checkpoint"]


def test_three_layers_are_said_to_mean_nothing(drawn):
    table = pl.read_csv(drawn.folder / "stages.csv")
    assert not table["meaningful"].any() and table["agreement"].null_count() == len(table)
    assert "Not meaningful" in json.loads(drawn.read("stages.meta.json"))["verdict"]


def test_the_lens_is_surer_in_the_last_layer_than_in_the_first(drawn):
    text = pl.read_csv(drawn.folder / "fig_entropy.csv").filter(pl.col("token_type") == "text")
    means = text.group_by("layer").agg(pl.mean("mean_entropy")).sort("layer")["mean_entropy"].to_list()
    assert means[-1] < means[0]
