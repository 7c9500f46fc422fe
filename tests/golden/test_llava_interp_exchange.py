"""A released result file as records, tables and the same file again (llava_interp.md 11)."""

import json
from pathlib import Path

import polars as pl
import pytest

from vlmscope.datasets import coco_objects
from vlmscope.llava_interp.exchange import imported, results
from vlmscope.llava_interp.knockout import tables as knockout_tables
from vlmscope.models.load import describe
from vlmscope.samples import SCHEMA, table
from vlmscope.store import files, tables

HERE = Path(__file__).parent / "llava_interp"
RELEASED = HERE / "knockout_official.json"
ASKING = {"prompt": "<image>\n{question}", "prompts": {}, "describe": "Describe this image."}
OBJECTS = {"most": 3, "least_area": 1000, "most_area": 2000, "area": "whole"}
TOLD = {"answers": "official", "geometry": "official", "bootstrap": 50, "seed": 1, "family": "llava_phi"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    target = tmp_path_factory.mktemp("golden") / "model.json"
    about = {"family": "llava", "checkpoint": "golden", "revision": "", "dtype": "float32"}
    files.write_json(describe(HERE / "tiny_llava", about), target)
    return imported.speech(str(target), ASKING)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    target = tmp_path_factory.mktemp("golden") / "samples.parquet"
    tables.write(table(coco_objects.read(HERE / "coco", "val", name="golden")), target, SCHEMA)
    return imported.objects(str(target), OBJECTS)


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """The valid part of the file, as the released code would have written it."""
    target = tmp_path_factory.mktemp("golden") / "knockout.json"
    target.write_text(json.dumps(json.loads(RELEASED.read_text())["sdpa"]))
    return target


def test_blocked_attention_comes_out_as_it_went_in(model, known, part):
    records = imported.knockout(str(part), known, model)
    assert (model.depth, model.first) == (32, 4)
    assert len(records) == 9 + 8 * 36 and records.filter(source="")["sample"].n_unique() == 9
    assert results.knockout(records) == json.loads(part.read_text())


def test_tables_of_imported_records_are_those_of_the_file(model, known, part):
    tree = json.loads(part.read_text())
    found = knockout_tables.table(imported.knockout(str(part), known, model), TOLD)
    assert len(found) == 36
    groups = {(one["source"], one["target"], one["window"]): one for one in found.iter_rows(named=True)}
    right = [one for one in tree.values() if one["baseline"]["is_correct"]]
    for (source, target, window), row in groups.items():
        key = results.names.group(source, target, window)
        each = [one["attn_block_results"][key] for one in right]
        assert row["relative_accuracy"] == pytest.approx(sum(one["is_correct"] for one in each) / len(right), abs=1e-6)
        drops = [
            one["baseline"]["generated_token_prob"] - other["generated_token_prob"]
            for one, other in zip(right, each, strict=True)
        ]
        assert row["official_prob_drop"] == pytest.approx(sum(drops) / len(drops), abs=1e-6)


def test_strict_judgement_of_imported_tokens(model, known, part):
    plain = imported.knockout(str(part), known, model).filter(source="")
    for row in plain.iter_rows(named=True):
        assert (row["token"] in row["right"]) == (row["text"] == row["first"].lstrip("▁"))
    assert plain.filter(pl.col("class") == "car")["text"].to_list() == ["car", "yes"]
