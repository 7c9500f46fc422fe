"""Figures and pages of MMNeuron on a finished run, and what a change makes anew."""

import json

import polars as pl
import pytest
from checkout import Checkout

HOME = "results/mmneuron/llava"
TARGET = ("mmneuron_figures",)
LENS = {"mmneuron_lens", "mmneuron_lens_pages", "mmneuron_stages"}
NEURONS = {"mmneuron_stages", "mmneuron_distribution"}

# What changes -> the rules of this system's figures that must run again.
KEYS = {
    "mmneuron.lens.page_positions=60": {"mmneuron_lens_pages"},
    "mmneuron.lens.samples=5": LENS,
    "mmneuron.lens.prompt=chat": LENS,
    "mmneuron.stages.resamples=50": {"mmneuron_stages"},
    "mmneuron.pca.samples=4": {"mmneuron_embed", "mmneuron_pca"},
    "mmneuron.identify.top_rate=0.15": {"mmneuron_identify"} | NEURONS,
    "models.llava.label=LLaVA": {"mmneuron_lens_pages", "mmneuron_pca"} | NEURONS,
}


@pytest.fixture(scope="module")
def drawn(finished: Checkout) -> Checkout:
    """The finished run with figures and pages of few samples."""
    finished.run(*TARGET, "--cores", "2")
    return finished


def test_every_file_is_there(drawn):
    made = {path.name for path in (drawn.folder / HOME).iterdir()}
    for name in ("entropy", "layers", "sharing", "overlap", "stages"):
        assert {f"fig_{name}.csv", f"fig_{name}.png", f"fig_{name}.svg"} <= made
    for domain in ("ad", "med", "rs", "com", "doc"):
        assert {f"lens_{domain}.csv", f"lens_{domain}_0.html", f"lens_{domain}_1.html"} <= made
    rest = {"stages.csv", "neurons.csv", "prompts.json", "fig2_pca.csv", "fig2_pca.png", "fig2_pca.svg"}
    assert rest <= made
    assert all((drawn.folder / HOME / name).stat().st_size < 2_000_000 for name in made if name.endswith(".html"))


def test_tables_have_their_columns(drawn):
    heads = {name: drawn.read(f"{HOME}/{name}.csv").decode().splitlines()[0] for name in ("lens_ad", "fig_entropy")}
    assert heads["lens_ad"] == "layer,position,token_type,rank,token,prob,entropy,sample"
    assert heads["fig_entropy"] == "layer,domain,token_type,mean_entropy,std,n"
    neurons = drawn.read(f"{HOME}/neurons.csv").decode().splitlines()[0]
    assert neurons == "module,layer,index,domain,p_ad,p_med,p_rs,p_com,p_doc,entropy"
    assert drawn.read(f"{HOME}/fig2_pca.csv").decode().splitlines()[0] == "domain,sample,pc1,pc2"
    prompts = json.loads(drawn.read(f"{HOME}/prompts.json"))
    assert [sorted(one) for one in prompts] == [["domain", "model", "text"]] * 5


def test_three_layers_are_said_to_mean_nothing(drawn):
    table = pl.read_csv(drawn.folder / HOME / "stages.csv")
    assert not table["meaningful"].any() and table["agreement"].null_count() == len(table)
    assert "Not meaningful" in json.loads(drawn.read(f"{HOME}/stages.meta.json"))["verdict"]


@pytest.mark.parametrize("change", sorted(KEYS))
def test_a_change_makes_anew_what_depends_on_it_and_nothing_else(change, drawn):
    planned = drawn.planned(change, TARGET)
    assert set(planned) - {"mmneuron_figures"} == KEYS[change]


def test_a_changed_template_draws_the_pages_anew(drawn):
    with drawn.edited("vlmscope/show/templates/page.css", "font-size: 1.25rem", "font-size: 1.3rem"):
        assert set(drawn.planned(targets=TARGET)) - {"mmneuron_figures"} == {"mmneuron_lens_pages"}
