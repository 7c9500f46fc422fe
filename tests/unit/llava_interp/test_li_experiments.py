"""Ablation, gradients, blocked attention and the lens on embedded models and drawn pictures."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.capture import attention
from vlmscope.config import default, plain
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.ablation import gradient
from vlmscope.llava_interp.ablation import run as ablation_run
from vlmscope.llava_interp.ablation import tables as ablation_tables
from vlmscope.llava_interp.asking import experiments, mean, prompts
from vlmscope.llava_interp.knockout import passes, windows
from vlmscope.llava_interp.knockout import run as knockout_run
from vlmscope.llava_interp.knockout import tables as knockout_tables
from vlmscope.llava_interp.lens import run as lens_run
from vlmscope.llava_interp.lens import tables as lens_tables
from vlmscope.samples import SCHEMA, picture, table
from vlmscope.store import tables, torch_files
from vlmscope.store.pieces import Pieces

TOLD = {
    "answers": "strict",
    "synonyms": {},
    "geometry": "aligned",
    "bootstrap": 100,
    "seed": 1,
    "family": "llava",
}


@pytest.fixture(scope="package")
def files(drawn):
    folder, samples = drawn
    tables.write(table(samples), folder / "samples.parquet", SCHEMA)
    return {"raw": str(folder / "raw.json"), "samples": str(folder / "samples.parquet"), "batch": 16}


@pytest.fixture(scope="package")
def settings():
    told = plain(default())["llava_interp"] | {"value": "mean"}
    told["ablation"] |= {"images": 8, "sizes": [2, 8]}
    told["ablation"]["gradient"] |= {"steps": 4, "sizes": [8]}
    told["knockout"]["images"] = 8
    told["lens"] |= {"images": 8, "shown": 2}
    return told


@pytest.fixture(scope="package")
def vector(shipped, files, settings, tmp_path_factory):
    target = tmp_path_factory.mktemp("mean") / "mean.safetensors"
    mean.write(*mean.vector(shipped, published=(), settings=settings["mean"], **files), str(target))
    return str(target)


@pytest.fixture(scope="package")
def asked(shipped, drawn, chosen, settings):
    """Questions of pictures, embedded."""
    texts = [prompts.text(shipped, settings["asking"], one.sample.question) for one in chosen[:4]]
    return prompts.prepare(shipped, texts, [picture(one.sample, drawn[0] / "drawn") for one in chosen[:4]], 4)


def test_rows_of_a_batch_answer_as_alone(shipped, asked, vector):
    value = mean.load(vector, shipped)
    rows = [(one, places) for one in asked for places in ((), (0, 5), range(one.visual))]
    together = prompts.next_logits(shipped, rows, value, 12)
    alone = torch.cat([prompts.next_logits(shipped, [row], value, 1) for row in rows])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=1e-4)
    texts = prompts.write(shipped, rows, value, 4, 12)
    assert texts == [prompts.write(shipped, [row], value, 4, 1)[0] for row in rows]
    # Without any visual token the picture plays no role: questions of the same words have the same answer.
    whole = prompts.next_logits(shipped, [(one, range(one.visual)) for one in asked], value, 4)
    for first, one in enumerate(asked):
        for second, other in enumerate(asked):
            if torch.equal(one.ids, other.ids):
                torch.testing.assert_close(whole[first], whole[second], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("begin", "name", "wanted"), [("it is {a}", "cat", "a"), ("it is {a}", "Umbrella", "an")])
def test_an_answer_is_begun_with_the_article_of_its_class(shipped, drawn, chosen, settings, begin, name, wanted):
    told = settings | {"asking": settings["asking"] | {"begin": begin}}
    own = experiments.Bench(shipped, lambda one: picture(one, drawn[0] / "drawn"), None, None, told, 1)
    asked, *_ = experiments.question(own, replace(chosen[0], name=name))
    assert shipped.processor.tokenizer.decode(asked.ids).split()[-3:] == ["it", "is", wanted]


def test_gradients_add_up_to_what_the_picture_does(shipped, asked, vector):
    value, one = mean.load(vector, shipped), asked[0]
    plain, without = prompts.next_logits(shipped, [(one, ()), (one, range(one.visual))], value, 2)
    token = int(plain.argmax())
    options = {"steps": 300, "mode": "fixed"}
    found = gradient.attributions(shipped, one, value, token, chunk=60, **options)
    change = float(plain[token] - without[token])
    assert abs(found.sum() - change) < 0.05 * max(1, abs(change))
    other = gradient.attributions(shipped, one, value, token, chunk=50, **options)
    np.testing.assert_allclose(found, other, atol=1e-5)


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
def test_a_shared_prefix_changes_no_outcome(shipped, chosen, asked, kind):
    grid, wanted = 8, knockout_run.interventions(3, [2])
    wanted = wanted[:: 3 if kind == "sdpa" else 9]
    one, target = asked[0], chosen[0]
    sources, targets = passes.keys(target.patches, one, grid, 0, target.image_id), passes.queries(one, grid)
    found = dict(passes.outcomes(shipped, one, wanted, sources, targets, 16))
    assert set(found) == set(wanted)
    with attention.eager(shipped) if kind == "eager" else torch.inference_mode():
        for each in wanted:
            whole = passes.outcome(shipped, one, each, sources, targets)
            torch.testing.assert_close(found[each], whole, atol=1e-4, rtol=1e-4)


def test_random_keys_lie_beside_the_object_and_are_as_many(chosen, asked):
    for one, target in zip(asked, chosen, strict=False):
        sources = passes.keys(target.patches, one, 8, 0, target.image_id)
        for object_, random in (("object", "random"), ("object_1", "random_1"), ("object_2", "random_2")):
            rest = one.visual - len(sources[object_])
            assert not set(sources[object_]) & set(sources[random])
            assert len(sources[random]) == min(len(sources[object_]), rest)
        assert sources == passes.keys(target.patches, one, 8, 0, target.image_id)
        assert sources != passes.keys(target.patches, one, 8, 1, target.image_id)


def test_the_object_s_tokens_matter_and_as_many_others_do_not(shipped, files, settings, vector):
    records, funnel = experiments.run(ablation_run.described, shipped, vector=vector, settings=settings, **files)
    asked, _ = experiments.run(ablation_run.answered, shipped, vector=vector, settings=settings, **files)
    assert funnel["pictures"] == 24 and funnel["with_object"] >= funnel["in_view"] >= 8
    found = ablation_tables.table(pl.concat([records, asked]), TOLD)
    own = found.filter(condition="object", buffer=1)
    assert own["setting"].to_list() == ["generative", "polling", "vqa"]
    assert (own["pct_decrease"] > 60).all()
    assert (found.filter(condition="matched", buffer=1)["pct_decrease"] < 30).all()
    assert (own["difference"] > 40).all() and (own["difference_low"] > 0).all()
    drops = found.filter(setting="vqa")["correct_prob_drop"]
    assert drops.is_not_null().all() and found.filter(setting="polling")["correct_prob_drop"].is_null().all()
    # Draws depend on picture and condition alone.
    again, _ = experiments.run(ablation_run.answered, shipped, vector=vector, settings=settings, **files)
    assert again.select("indices").equals(asked.select("indices"))


class Stopped(Exception):
    """Ends an experiment."""


@pytest.mark.parametrize("experiment", [ablation_run.described, ablation_run.answered])
def test_a_stopped_step_goes_on_behind_the_pictures_it_had(
    experiment, shipped, files, settings, vector, tmp_path, monkeypatch
):
    told = {"vector": vector, "settings": settings, **files}
    whole, funnel = experiments.run(experiment, shipped, **told)
    sets, seen = ablation_run._sets, []

    def counted(own, target, *rest):
        seen.append(target.ann_id)
        return sets(own, target, *rest)

    def stopping(*given):
        if len(seen) == 3:
            raise Stopped
        return counted(*given)

    monkeypatch.setattr(ablation_run, "_sets", stopping)
    with pytest.raises(Stopped):
        experiments.run(experiment, shipped, pieces=Pieces(tmp_path, "one", least=0), **told)
    monkeypatch.setattr(ablation_run, "_sets", counted)
    again, same = experiments.run(experiment, shipped, pieces=Pieces(tmp_path, "one", least=0), **told)
    assert again.equals(whole) and same == funnel
    assert len(seen) == len(set(seen)) > 3


def test_blocked_attention_from_the_object_matters(shipped, files, settings):
    records, _ = experiments.run(knockout_run.from_files, shipped, settings=settings, **files)
    found = knockout_tables.table(records, TOLD)
    every = found.filter(sort="window", window="all", target="last")
    drop = dict(every.select("source", "correct_prob_drop").iter_rows())
    assert drop["object_1"] > 0.3 and abs(drop["random_1"]) < 0.1 and abs(drop["all_but_object_1"]) < 0.2
    nothing = found.filter(target="last_row")["relative_accuracy"]
    assert (nothing >= 0.8).all()
    assert set(found.filter(sort="layer")["window"]) == {"layer_0", "layer_1", "layer_2"}
    assert [tuple(row) for row in found.select("source", "target").unique(maintain_order=True).iter_rows()] == list(
        windows.GROUPS
    )


def test_objects_are_named_by_later_layers(shipped, files, settings, tmp_path):
    hits, maps = lens_run.from_files(shipped, settings=settings, target=str(tmp_path / "lens.h5"), **files)
    rates = lens_tables.rates(hits, TOLD).filter(criterion="strict", topk=1)
    assert rates["layer"].to_list() == [0, 1, 2, 3]
    assert rates["rate_mean"][3] > 0.4 and rates["rate_mean"][3] > 2 * rates["rate_mean"][0]
    assert (rates["background_mean"] < 0.3).all()
    means = lens_tables.means(maps, TOLD)
    last = means.row(by_predicate=pl.col("layer") == "3", named=True)
    assert last["ap"] > 3 * last["share"] and last["pointing"] > 0.7
    summary = lens_tables.summary(hits, TOLD)
    assert (summary["mean_best_rate"] >= summary["best_mean_rate"]).all()


def test_another_model_s_mean_is_refused(shipped, vector, tmp_path):
    other = str(tmp_path / "mean.safetensors")
    mean.write({"mean": mean.load(vector, shipped)}, {"fingerprint": "other"}, other)
    with pytest.raises(VlmscopeError, match="another model"):
        mean.load(other, shipped)


def test_a_published_mean_is_taken_as_it_is(shipped, files, settings, tmp_path):
    values = np.arange(96, dtype=np.float32)
    torch_files.write(values, tmp_path / "mean.pt")
    tensors, about = mean.vector(shipped, published=[str(tmp_path / "mean.pt")], settings=settings["mean"], **files)
    assert (tensors["mean"].numpy() == values).all() and about["source"] == "imported"
    torch_files.write(values[:5], tmp_path / "short.pt")
    with pytest.raises(VlmscopeError, match="no vector of 96"):
        mean.vector(shipped, published=[str(tmp_path / "short.pt")], settings=settings["mean"], **files)


def test_pictures_without_a_question_are_passed_over(shipped, files, settings, vector, drawn, tmp_path):
    from dataclasses import replace

    none = [replace(one, question="") for one in drawn[1]]
    tables.write(table(none), tmp_path / "s.parquet", SCHEMA)
    own = files | {"samples": str(tmp_path / "s.parquet")}
    records, funnel = experiments.run(ablation_run.answered, shipped, vector=vector, settings=settings, **own)
    blocked, _ = experiments.run(knockout_run.from_files, shipped, settings=settings, **own)
    assert len(records) == len(blocked) == funnel["with_question"] == 0
    assert ablation_tables.table(records, TOLD).is_empty() and knockout_tables.table(blocked, TOLD).is_empty()
