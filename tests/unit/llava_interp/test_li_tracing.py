"""Single visual tokens given back: the same as a whole pass, and what tables make of it."""

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope import sweep
from vlmscope.config import default, plain
from vlmscope.llava_interp.asking import experiments, mean, prompts
from vlmscope.llava_interp.knockout import passes
from vlmscope.llava_interp.tracing import pictures as tracing_pictures
from vlmscope.llava_interp.tracing import repair
from vlmscope.llava_interp.tracing import run as tracing_run
from vlmscope.llava_interp.tracing import tables as tracing_tables
from vlmscope.llava_interp.tracing.repair import Repair
from vlmscope.samples import SCHEMA, picture, table
from vlmscope.show import traces
from vlmscope.store import tables

TOLD = {"bootstrap": 50, "seed": 1}


@pytest.fixture(scope="module")
def settings():
    told = plain(default())["llava_interp"]
    return {"objects": told["objects"], "asking": told["asking"]} | told["tracing"] | {"images": 8}


@pytest.fixture(scope="module")
def asked(shipped, drawn, chosen, settings):
    text = prompts.text(shipped, settings["asking"], chosen[0].sample.question)
    return prompts.prepare(shipped, [text], [picture(chosen[0].sample, drawn[0] / "drawn")], 1)[0]


def whole(loaded, asked, corrupted, one, clean):
    """Logits of one repair by a pass over everything, float [vocabulary]."""
    embeds = corrupted.clone()
    places = [token + asked.first for token in one.tokens]
    if one.layer == 0:
        embeds[places] = asked.embeds[places]
    path = loaded.family.site("resid_post").path.replace("{l}", str(max(0, one.layer - 1)))

    def put(module, args, output):
        states = output[0] if isinstance(output, tuple) else output
        states = states.clone()
        states[0, places] = clean[one.layer][places]
        return (states, *output[1:]) if isinstance(output, tuple) else states

    handle = loaded.model.get_submodule(path).register_forward_hook(put) if one.layer else None
    with torch.inference_mode():
        found = sweep.decoder(loaded)(inputs_embeds=embeds[None], use_cache=False).logits[0, -1]
    if handle:
        handle.remove()
    return found.float()


def test_a_repair_is_what_a_whole_pass_gives(shipped, asked):
    lost, generator = range(asked.visual), np.random.default_rng(0)
    value = torch.zeros(asked.embeds.shape[1])
    corrupted = prompts.without(asked, lost, value)
    with torch.inference_mode():
        out = sweep.decoder(shipped)(inputs_embeds=asked.embeds[None], use_cache=False, output_hidden_states=True)
    clean = [states[0] for states in out.hidden_states]
    wanted = [Repair(layer, (int(generator.integers(64)),)) for layer in (0, 1, 2) for _ in range(3)]
    wanted += [Repair(layer, (40, 3, 17)) for layer in (0, 1, 2)]
    found = dict(repair.restored(shipped, asked, lost, value, wanted, 5))
    assert set(found) == set(wanted)
    for one, logits in found.items():
        torch.testing.assert_close(logits, whole(shipped, asked, corrupted, one, clean), atol=1e-4, rtol=1e-4)
    # All of them at the entrance: the untouched prompt.
    every = Repair(0, tuple(range(asked.visual)))
    again = dict(repair.restored(shipped, asked, lost, value, [every], 1))[every]
    torch.testing.assert_close(again, out.logits[0, -1].float(), atol=1e-4, rtol=1e-4)


def test_a_prompt_behind_its_own_cache_answers_as_ever(shipped, asked):
    with torch.inference_mode():
        cache = passes.read(shipped, asked)
        for first in (0, asked.first, asked.end, len(asked.ids) - 1):
            embeds = asked.embeds[first:].expand(2, -1, -1)
            found = passes.behind(shipped, asked, cache, first, embeds)
            plain = prompts.next_logits(shipped, [(asked, ())], None, 1)
            torch.testing.assert_close(found.float(), plain.expand(2, -1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("depth", "most", "expected"),
    [(3, 8, [0, 1, 2]), (32, 3, [0, 16, 31]), (32, 1, [0]), (1, 4, [0]), (32, 8, [0, 4, 9, 13, 18, 22, 27, 31])],
)
def test_layers_are_spread_to_the_last_but_one(depth, most, expected):
    assert repair.layers(depth, most) == expected


@pytest.mark.parametrize("corrupted", ["whole", "object"])
def test_the_object_s_patches_give_the_answer_back(shipped, drawn, settings, tmp_path, corrupted):
    folder, samples = drawn
    tables.write(table(samples), tmp_path / "samples.parquet", SCHEMA)
    files = {"raw": str(folder / "raw.json"), "samples": str(tmp_path / "samples.parquet")}
    vector = str(tmp_path / "mean.safetensors")
    mean.write(
        *mean.vector(shipped, published=(), settings={"folder": "", "most": 12}, batch=16, **files), target=vector
    )
    told = settings | {"value": "mean", "corrupted": corrupted}
    records, funnel = experiments.run(tracing_run.from_files, shipped, vector=vector, settings=told, batch=32, **files)
    tables.write(records, tmp_path / "r.parquet", tracing_tables.TRACES)
    assert funnel["with_question"] == 8 >= records["sample"].n_unique() >= 6
    found = tracing_tables.table(records, TOLD)
    own = found.filter(part="object")
    assert own["layer"].to_list() == [0, 1, 2] and (own["difference_low"] > 0.1).all()
    assert (own["highest"] > 0.7).all() and (own["chance"] < 0.3).all()
    sets = found.filter(part="object_set", layer=0)
    assert sets["share"][0] > 0.8 and found.filter(part="matched_set")["gain"].abs().max() < 0.3
    if corrupted == "object":
        # What was never lost changes nothing where it enters.
        assert found.filter(part="other", layer=0)["gain"].abs().max() < 1e-4
        assert sets["share"][0] == pytest.approx(1, abs=1e-3)
    gains = tracing_tables.gains(records).drop_nulls("patch")
    pictures = tracing_pictures.shown(gains, files["raw"], files["samples"], 2)
    assert [one.size for one in pictures.values()] == [(112, 112)] * 2
    traces.maps(gains, pictures, "maps", tmp_path / "m.svg", tmp_path / "m.png")
    assert (tmp_path / "m.png").stat().st_size > 1000


def record(sample, part, layer, patch, prob):
    same = {"sample": sample, "image_id": 1, "ann_id": 1, "class": "cat", "grid": 2, "corrupted": "whole", "tokens": 1}
    return same | {"part": part, "layer": layer, "patch": patch, "prob": prob, "log_prob": float(np.log(prob))}


def test_the_table_follows_its_definitions():
    rows = []
    for sample, (clean, broken, values) in {
        "a": (0.9, 0.1, (0.5, 0.3, 0.2, 0.1)),
        "b": (0.8, 0.2, (0.2, 0.4, 0.6, 0.2)),
    }.items():
        rows += [record(sample, "clean", None, None, clean), record(sample, "corrupted", None, None, broken)]
        parts = ("object", "object", "near", "other")
        rows += [record(sample, part, 1, n, prob) for n, (part, prob) in enumerate(zip(parts, values, strict=True))]
    found = tracing_tables.table(pl.DataFrame(rows, schema=tracing_tables.TRACES), TOLD)
    own = found.row(by_predicate=pl.col("part") == "object", named=True)
    # a: (0.4 + 0.2) / 2, b: (0 + 0.2) / 2; lost 0.8 and 0.6.
    assert own["gain"] == pytest.approx(0.2) and own["share"] == pytest.approx(0.2 / 0.7, abs=1e-6)
    assert (own["highest"], own["chance"], own["control"]) == (0.5, 0.5, "other")
    assert own["difference"] == pytest.approx(0.2)
    near = found.row(by_predicate=pl.col("part") == "near", named=True)
    assert near["gain"] == pytest.approx(0.25) and near["highest"] == 0.5
    assert found["part"].to_list() == ["object", "near", "other"]


def test_no_picture_makes_an_empty_table(tmp_path):
    empty = pl.DataFrame(schema=tracing_tables.TRACES)
    assert tracing_tables.table(empty, TOLD).is_empty()
    assert tracing_pictures.shown(tracing_tables.gains(empty), "", "", 3) == {}
    traces.maps(tracing_tables.gains(empty), {}, "none", tmp_path / "m.svg", tmp_path / "m.png")
