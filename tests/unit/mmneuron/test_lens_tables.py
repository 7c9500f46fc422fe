"""The lens over a domain's samples, with the embedded models."""

from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from vlmscope import config, raw, samples
from vlmscope.capture import run
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import lens
from vlmscope.mmneuron.schemas import CELLS, CURVES, LENS
from vlmscope.models.inputs import Batch, encode
from vlmscope.models.load import describe, load
from vlmscope.store import files, tables

ROOT = Path(__file__).parents[3]
SHIPPED = {name: config.default().models[name] for name in config.default().run.mmneuron}
SETTINGS = {"prompt": "full", "samples": 6, "shown": 2, "k": 10}
KINDS = {name: config.default().datasets[name].kind for name in config.default().mmneuron.domains}


@pytest.fixture(scope="module", params=sorted(SHIPPED))
def loaded(request, tmp_path_factory):
    settings = SHIPPED[request.param].model_dump()
    target = tmp_path_factory.mktemp("model") / "model.json"
    files.write_json(describe(ROOT / settings["checkpoint"], settings), target)
    return load(target)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Domain -> manifest and sample table of six drawn questions."""
    found = {}
    for domain, kind in KINDS.items():
        folder = tmp_path_factory.mktemp(domain)
        files.write_json(raw.draw_benchmark(kind, folder, {"train": "train"}, {"train": 6}), folder / "raw.json")
        table = samples.table(base.load(kind).read(folder, "train", name=domain))
        tables.write(table, folder / "train.parquet", samples.SCHEMA)
        found[domain] = str(folder / "raw.json"), str(folder / "train.parquet")
    return found


def look(loaded, data, domain, shift=(), batch=4, **settings):
    manifest, table = data[domain]
    given = {"kind": KINDS[domain], **SETTINGS, **settings}
    return lens.from_files(loaded, raw=manifest, samples=table, shift=shift, settings=given, batch=batch)


@pytest.fixture(scope="module")
def seen(loaded, data):
    return {domain: look(loaded, data, domain) for domain in KINDS}


def entropy(found, kind, layer):
    rows = found.curves.filter(pl.col("channel") == "block", pl.col("token_type") == kind, pl.col("layer") == layer)
    return rows["entropy"].sum() / rows["n"].sum()


@pytest.mark.parametrize("domain", sorted(KINDS))
def test_entropy_falls_from_the_first_to_the_last_layer_at_text_positions(domain, seen):
    last = seen[domain].about["layers"] - 1
    assert entropy(seen[domain], "text", last) < entropy(seen[domain], "text", 0)


def test_every_position_layer_and_channel_of_the_shown_samples_has_its_top_tokens(seen):
    found = seen["doc"]
    about = found.about
    positions = sum(len(one["tokens"]) for one in about["samples"])
    assert len(about["samples"]) == 2
    assert len(found.cells) == 4 * about["layers"] * positions * 10
    assert dict(found.cells.schema) == CELLS and dict(found.curves.schema) == CURVES
    ranked = found.cells.sort("sample", "channel", "layer", "position", "rank")
    falls = (
        ranked.filter(pl.col("rank") < 10)["prob"].to_numpy() >= ranked.filter(pl.col("rank") > 1)["prob"].to_numpy()
    )
    assert falls.all() and (found.cells["prob"] <= 1).all()
    for one in about["samples"]:
        assert one["types"][-1] == "last" and one["types"].count("last") == 1 and "image" in one["types"]


def test_the_last_layer_says_what_the_model_would_write(loaded, data, seen):
    manifest, table = data["com"]
    one = samples.read(table)[0]
    picture = samples.picture(one, Path(files.read_json(manifest)["root"]))
    tensors = encode(loaded, [loaded.family.worded(base.load(KINDS["com"]).prompt(one, "full"))], [picture], "right")
    with torch.inference_mode():
        share = run.forward(loaded, Batch((0,), tensors)).logits[0, -1].softmax(-1)
    cells = seen["com"].cells.filter(
        pl.col("sample") == one.sample, pl.col("channel") == "block", pl.col("token_type") == "last"
    )
    last = cells.filter(pl.col("layer") == seen["com"].about["layers"] - 1)
    assert last["id"].to_list() == share.topk(10).indices.tolist()
    assert last["prob"].to_list() == pytest.approx(share.topk(10).values.tolist(), abs=1e-5)


def test_the_table_has_the_published_columns_and_survives_csv(seen, tmp_path):
    found = lens.table(seen["ad"].cells)
    tables.write(found, tmp_path / "lens.csv", LENS)
    lines = (tmp_path / "lens.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "layer,position,token_type,rank,token,prob,entropy,sample"
    assert tables.read(tmp_path / "lens.csv", LENS).equals(found)
    assert len(found) == len(seen["ad"].cells) / 4


def test_curves_are_sums_over_the_cells_and_batches_do_not_matter(loaded, data, seen):
    shown = look(loaded, data, "rs", shown=6, batch=6)
    first = shown.cells.filter(pl.col("rank") == 1)
    keys = ["sample", "channel", "layer", "token_type"]
    own = (
        first.group_by(keys)
        .agg(pl.len().cast(pl.Int64).alias("n"), pl.col("entropy").cast(pl.Float64).sum())
        .sort(keys)
    )
    assert own.select(*keys, "n").equals(shown.curves.sort(keys).select(*keys, "n"))
    assert (own["entropy"] - shown.curves.sort(keys)["entropy"]).abs().max() < 1e-3
    alone = look(loaded, data, "rs", batch=1)
    assert (alone.curves.sort(keys)["entropy"] - shown.curves.sort(keys)["entropy"]).abs().max() < 1e-2
    assert alone.curves["sample"].equals(seen["rs"].curves["sample"])


def test_a_vector_on_the_attention_s_output_changes_what_the_lens_reads(loaded, data, seen, tmp_path):
    width = loaded.family.site("attn_out").width(loaded.config)
    save_file({"1": torch.ones(width)}, tmp_path / "shift.safetensors")
    found = look(loaded, data, "med", shift=[str(tmp_path / "shift.safetensors")])
    for layer in range(found.about["layers"]):
        before, after = entropy(seen["med"], "text", layer), entropy(found, "text", layer)
        assert (before == after) == (layer == 0)
    assert found.about["shift"]


@pytest.mark.parametrize("wrong", [{"one": (8,)}, {"1": (8,)}, {}])
def test_a_file_that_holds_no_vectors_is_refused(wrong, loaded, data, tmp_path):
    save_file({name: torch.zeros(shape) for name, shape in wrong.items()}, tmp_path / "shift.safetensors")
    with pytest.raises(VlmscopeError, match="no vectors of"):
        look(loaded, data, "med", shift=[str(tmp_path / "shift.safetensors")])


def test_a_domain_without_samples_is_named(loaded, data, tmp_path):
    manifest, table = data["ad"]
    tables.write(tables.read(table, samples.SCHEMA).head(0), tmp_path / "none.parquet", samples.SCHEMA)
    with pytest.raises(VlmscopeError, match="no sample"):
        look(loaded, {"ad": (manifest, str(tmp_path / "none.parquet"))}, "ad")


def test_the_chat_style_reads_the_prompt_in_the_model_s_template(loaded, data):
    found = look(loaded, data, "com", prompt="chat", samples=2)
    start, _, end = loaded.family.template.partition("{prompt}")
    text = found.about["samples"][0]["prompt"]
    assert text.startswith(start) and text.endswith(end)
