"""Tokens chosen by a rule, states replaced at one layer, attention blocked while writing: held against plain passes."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope import sweep
from vlmscope.blocking import Block, blocked
from vlmscope.config import default, plain
from vlmscope.llava_interp.ablation import choices, choices_tables, layers, layers_tables
from vlmscope.llava_interp.asking import experiments, geometry, mean, prompts
from vlmscope.llava_interp.knockout import passes, spoken, spoken_tables, windows
from vlmscope.llava_interp.knockout.windows import Intervention, Window
from vlmscope.llava_interp.lens import reading
from vlmscope.llava_interp.schemas import ANSWER
from vlmscope.llava_interp.tables import losses
from vlmscope.llava_interp.tracing import repair
from vlmscope.llava_interp.tracing.repair import Repair
from vlmscope.samples import SCHEMA, picture, table
from vlmscope.store import tables

TOLD = {"answers": "strict", "synonyms": {}, "bootstrap": 100, "seed": 1}
ALL = Window("all", "window", 0, 2)


@pytest.fixture(scope="module")
def settings():
    told = plain(default())["llava_interp"] | {"value": "mean"}
    told["choices"] |= {"images": 6, "sizes": [4, 8]}
    told["layers"] |= {"images": 6, "averaged": 8}
    told["spoken"] |= {"images": 4}
    return told


@pytest.fixture(scope="module")
def files(drawn, tmp_path_factory):
    folder, samples = drawn
    target = tmp_path_factory.mktemp("without") / "samples.parquet"
    tables.write(table(samples), target, SCHEMA)
    return {"raw": str(folder / "raw.json"), "samples": str(target), "batch": 32}


@pytest.fixture(scope="module")
def asked(shipped, drawn, chosen, settings):
    text = prompts.text(shipped, settings["asking"], chosen[0].sample.question)
    return prompts.prepare(shipped, [text], [picture(chosen[0].sample, drawn[0] / "drawn")], 1)[0]


# ---- tables --------------------------------------------------------------------------------------------------------


def said(sample, condition, prob, token=7, size=None):
    own = {"sample": sample, "class": "cat", "condition": condition, "size": size, "tokens": 2, "indices": [0, 1]}
    own |= {"text": "cat", "first": "cat", "right": [7], "token": token, "right_prob": prob, "on_object": 0.5}
    return dict.fromkeys(choices_tables.CHOICES) | own


def test_what_is_lost_is_counted_beside_its_control():
    rows = [said(name, "none", prob) for name, prob in (("a", 0.9), ("b", 0.8), ("c", 0.7))]
    rows.append(said("d", "none", 0.1, token=3))
    for name, own, random in (("a", 3, 7), ("b", 3, 3), ("c", 7, 7), ("d", 3, 3)):
        rows += [said(name, "lens", 0.2, own, 4), said(name, "random", 0.6, random, 4)]
    found = choices_tables.table(pl.DataFrame(rows, schema=choices_tables.CHOICES), TOLD)
    own, random = found.rows(named=True)
    # d was wrong from the start: a and b lose their answer, b with random tokens too.
    assert (own["condition"], own["n"], own["n_images"], own["on_object"]) == ("lens", 3, 4, 0.5)
    assert own["pct_lost"] == pytest.approx(200 / 3, abs=1e-5) and own["prob_drop"] == pytest.approx(0.6)
    assert (own["control"], own["difference"]) == ("random", pytest.approx(100 / 3, abs=1e-5))
    assert own["drop_difference"] == pytest.approx(0.4) and own["mcnemar_p"] == 1
    assert random["control"] is None and random["pct_lost"] == pytest.approx(100 / 3, abs=1e-5)


@pytest.mark.parametrize("module", [choices_tables, layers_tables, spoken_tables])
def test_no_picture_makes_an_empty_table(module):
    schema = {choices_tables: "CHOICES", layers_tables: "LAYERS", spoken_tables: "SPOKEN"}[module]
    assert module.table(pl.DataFrame(schema=getattr(module, schema)), TOLD).is_empty()


def test_texts_have_no_probability_and_changed_ones_are_counted():
    rows = []
    for name, own, random in (("a", "a dog", "a cat"), ("b", "a cat", "the cat")):
        for source, text in (("", "a cat"), ("object_1", own), ("random_1", random)):
            place = {"target": "last" if source else "", "window": "all" if source else ""}
            told = {"sample": name, "class": "cat", "source": source, "text": text, "keys": 4}
            rows.append(dict.fromkeys(spoken_tables.SPOKEN) | told | place | {"layer_first": 0, "layer_last": 2})
    own, random = spoken_tables.table(pl.DataFrame(rows, schema=spoken_tables.SPOKEN), TOLD).rows(named=True)
    assert (own["pct_lost"], own["changed"], own["control"], own["difference"]) == (50, 0.5, "random_1", 50)
    assert (random["pct_lost"], random["changed"], random["mean_tokens"]) == (0, 0.5, 4)


# ---- choices -------------------------------------------------------------------------------------------------------


def test_rules_rank_tokens_by_what_they_say(shipped, asked, chosen):
    word = prompts.word(shipped.processor.tokenizer, chosen[0].name)
    read = reading.read(shipped, asked, word.right, k=1)
    found = choices.scores(shipped, asked, read)
    assert set(found) == {"attention", "rollout", "norm", "norm_tower", "lens"}
    assert all(one.shape == (64,) and (one >= 0).all() for one in found.values())
    np.testing.assert_array_equal(found["lens"], read.share[:, asked.first : asked.end].max(0))
    np.testing.assert_allclose(found["norm"], asked.embeds[asked.first : asked.end].norm(dim=-1), rtol=1e-5)
    sets = {one.family: set(one.tokens) for one in choices.said(chosen[0], asked, word, read, 0)}
    upper = read.tokens[2:, asked.first : asked.end, 0]
    assert sets["named"] == {n for n in range(64) if set(upper[:, n].tolist()) & set(word.right)}
    assert not sets["named"] & sets["unnamed"] and len(sets["named"]) == len(sets["unnamed"])
    assert sets.get("spared", set()) == set(chosen[0].patches) - sets["named"]
    everywhere = replace(read, tokens=np.full_like(read.tokens, word.right[0]))
    assert list(choices.said(chosen[0], asked, word, everywhere, 0)) == []


def test_the_lens_names_the_tokens_that_carry_the_object(shipped, files, settings, drawn, tmp_path):
    vector = str(tmp_path / "mean.safetensors")
    told = {"folder": "", "most": 12}
    mean.write(*mean.vector(shipped, published=(), settings=told, **files), target=vector)
    records, funnel = experiments.run(choices.from_files, shipped, vector=vector, settings=settings, **files)
    assert funnel["with_question"] == 6
    rows = {(row["condition"], row["size"]): row for row in choices_tables.table(records, TOLD).iter_rows(named=True)}
    own = rows["named", None]
    assert own["pct_lost"] > 60 and own["difference"] > 50 and own["drop_difference_low"] > 0.2
    assert rows["random", 8]["pct_lost"] < 40 and rows["attention", 8]["on_object"] > rows["random", 8]["on_object"]
    again, _ = experiments.run(choices.from_files, shipped, vector=vector, settings=settings, **files)
    assert again.equals(records)


# ---- layers --------------------------------------------------------------------------------------------------------


def test_states_at_a_layer_are_replaced_as_by_a_hook(shipped, asked):
    mask = torch.ones(1, len(asked.ids), dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    vector = 3 * torch.randn(asked.embeds.shape[1], generator=generator)
    states = {layer: vector.expand(len(asked.ids), -1) for layer in (0, 2)}
    wanted = [Repair(0, (3, 9)), Repair(2, (3, 9)), Repair(2, (60,))]
    found = dict(repair.patched(shipped, asked, states, wanted, 2))
    for one in wanted:
        places = [asked.first + token for token in one.tokens]

        def put(module, args, output, places=places):
            output = output.clone()
            output[:, places] = vector
            return output

        embeds = asked.embeds.clone()
        if one.layer == 0:
            embeds[places] = vector
            handle = None
        else:
            path = shipped.family.site("resid_post").path.format(l=one.layer - 1)
            handle = shipped.model.get_submodule(path).register_forward_hook(put)
        with torch.inference_mode():
            flags = sweep.flags(shipped, asked.ids[None])
            out = sweep.decoder(shipped)(inputs_embeds=embeds[None], attention_mask=mask, use_cache=False, **flags)
        if handle:
            handle.remove()
        torch.testing.assert_close(found[one], out.logits[0, -1].float(), atol=1e-4, rtol=1e-4)


def test_the_object_s_states_matter_until_they_were_read(shipped, files, settings):
    records, _ = experiments.run(layers.from_files, shipped, settings=settings, **files)
    found = layers_tables.table(records, TOLD)
    own, other = found.filter(part="object"), found.filter(part="matched")
    assert own["layer"].to_list() == [0, 1, 2] == other["layer"].to_list()
    assert own["pct_lost"][0] > 60 and own["prob_drop"][2] < own["prob_drop"][0]
    assert (other["pct_lost"] < 40).all() and own["control"].to_list() == ["matched"] * 3


def test_means_are_those_of_all_visual_states(shipped, drawn, files, settings):
    own = experiments.Bench(shipped, lambda one: picture(one, drawn[0] / "drawn"), None, None, settings, 2)
    means = layers.averages(own, drawn[1][:3])
    text = prompts.text(shipped, settings["asking"], settings["asking"]["describe"])
    every = prompts.prepare(shipped, [text] * 3, [picture(one, drawn[0] / "drawn") for one in drawn[1][:3]], 3)
    wanted = torch.cat([one.embeds[one.first : one.end] for one in every]).mean(0)
    torch.testing.assert_close(means[0], wanted, atol=1e-5, rtol=1e-5)
    assert means.shape == (4, len(wanted))


# ---- blocked while writing -----------------------------------------------------------------------------------------


def test_what_is_written_is_what_steps_without_a_cache_give(shipped, asked, chosen):
    sources = passes.keys(chosen[0].patches, asked, 8, 0, 1)
    targets = passes.queries(asked, 8)
    wanted = [Intervention("object_1", "last", ALL), Intervention("random_1", "question_and_last", ALL)]
    texts = spoken.written(shipped, asked, wanted, sources, targets, 5)
    for one, text in zip(wanted, texts, strict=True):
        assert text == stepwise(shipped, asked, targets[one.target], sources[one.source], 5)


def stepwise(shipped, asked, queries, keys, most):
    """One token after the other, each by a pass over everything before it."""
    ids, embeds = asked.ids.tolist(), asked.embeds
    table = shipped.model.get_input_embeddings()
    for _ in range(most):
        mask = torch.ones(1, len(ids), dtype=torch.long)
        block = Block([*queries, *range(len(asked.ids), len(ids))], keys, range(3))
        flags = sweep.flags(shipped, torch.tensor([ids]))
        with torch.inference_mode(), blocked(shipped, [[block]], mask):
            out = sweep.decoder(shipped)(inputs_embeds=embeds[None], attention_mask=mask, use_cache=False, **flags)
        token = int(out.logits[0, -1].argmax())
        if token in {shipped.processor.tokenizer.eos_token_id}:
            break
        ids.append(token)
        embeds = torch.cat([embeds, table(torch.tensor([token]))])
    return shipped.processor.tokenizer.decode(ids[len(asked.ids) :], skip_special_tokens=True).strip()


def test_descriptions_lose_the_object_when_nothing_may_look_at_it(shipped, files, settings):
    records, funnel = experiments.run(spoken.from_files, shipped, settings=settings, **files)
    found = spoken_tables.table(records, TOLD).filter(window="all", target="last")
    own, other = found.rows(named=True)
    assert funnel["described"] == 4 and own["pct_lost"] > 60 and other["pct_lost"] < 40


# ---- single ways ---------------------------------------------------------------------------------------------------


def test_ways_beside_the_object_leave_its_own_tokens_alone(shipped, asked, chosen):
    sources, targets = passes.keys(chosen[0].patches, asked, 8, 0, 1), passes.queries(asked, 8)
    last = len(asked.ids) - 1
    own = {asked.first + one for one in geometry.grown(chosen[0].patches, 1, 8)}
    rest = set(range(asked.first, asked.end)) - own
    ways = {
        target: passes.block(Intervention("object_1", target, ALL), sources, targets) for _, target in windows.PATHS
    }
    assert set(ways["beside"].queries) == rest and set(ways["beside_and_last"].queries) == rest | {last}
    assert set(ways["beside_and_question"].queries) == rest | set(range(asked.end, last))
    assert set(ways["beside"].keys) == own
    question = passes.block(Intervention("question", "last", ALL), sources, targets)
    assert list(question.keys) == list(range(asked.end, last)) and list(question.queries) == [last]


def test_with_every_way_blocked_nothing_of_the_object_is_left(shipped, drawn, asked, chosen):
    sources, targets = passes.keys(chosen[0].patches, asked, 8, 0, 1), passes.queries(asked, 8)
    targets["everything"] = sorted({*targets["beside_and_question"], *targets["beside_and_last"]})
    block = Block(sorted(set(targets["everything"]) - set(sources["object_1"])), sources["object_1"], range(3))
    mask = torch.ones(1, len(asked.ids), dtype=torch.long)
    logits = []
    for strange in (0.0, 5.0):
        embeds = asked.embeds.clone()
        embeds[sources["object_1"]] += strange
        with torch.inference_mode(), blocked(shipped, [[block]], mask):
            flags = sweep.flags(shipped, asked.ids[None])
            out = sweep.decoder(shipped)(inputs_embeds=embeds[None], attention_mask=mask, use_cache=False, **flags)
        logits.append(out.logits[0, -1])
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)


def test_single_tokens_as_answers_have_all_columns():
    assert set(ANSWER) <= set(choices_tables.CHOICES) and set(losses.COLUMNS) <= set(choices_tables.TABLE)
