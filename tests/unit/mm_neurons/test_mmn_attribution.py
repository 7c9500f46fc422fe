import copy
import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope import samples as sample_table
from vlmscope.capture import places, run, taps
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.rank import attribute, attribution, gradient, lists
from vlmscope.mm_neurons.rank.gradient import Place
from vlmscope.mm_neurons.schemas import ATTRIBUTION, CAPTIONS, NOUNS
from vlmscope.models.inputs import Batch
from vlmscope.store import files, tables

MODELS = ("llava-llama2", "blip", "mplug-owl2")
every_model = pytest.mark.parametrize("name", MODELS)


def asked(batch, steps=(0, 2, 5)):
    """Places of some written tokens of every row."""
    ids, ends = batch.inputs["input_ids"], batch.inputs["attention_mask"].sum(1).tolist()
    return [
        Place(row, start + step - 1, int(ids[row, start + step]))
        for row, (start, end) in enumerate(zip(batch.starts, ends, strict=True))
        for step in steps
        if start + step < end
    ]


def alone(batch, row):
    """One row of a batch without its padding."""
    length = int(batch.inputs["attention_mask"][row].sum())
    cut = ("input_ids", "attention_mask")
    one = {
        key: value[row : row + 1, :length] if key in cut else value[row : row + 1]
        for key, value in batch.inputs.items()
    }
    return Batch((batch.rows[row],), one, (batch.starts[row],))


# ---- exact parts -------------------------------------------------------------------------------------------------


@every_model
def test_parts_of_the_stream_add_up_to_the_stream(described, name):
    """mm_neurons.md 11, check 5, the sum before the norm."""
    loaded, batch = described(name)
    seen = {}
    sites = {key: loaded.family.site(key) for key in ("embeds", "attn_out", "mlp_out", "resid_post")}
    with torch.inference_mode():
        for key, site in sites.items():
            layers = range(site.layers(loaded.config))
            with taps.reading(
                loaded, site, layers, lambda layer, value, key=key: seen.setdefault(key, []).append(value)
            ):
                run.forward(loaded, batch)
    real = batch.inputs["attention_mask"].bool()
    total = (sum(seen["embeds"]) + sum(seen["attn_out"]) + sum(seen["mlp_out"]))[real]
    torch.testing.assert_close(total, seen["resid_post"][-1][real], rtol=1e-4, atol=1e-4)


@every_model
def test_parts_of_a_logit_add_up_to_it(described, name):
    """mm_neurons.md 11, check 5, with the norm folded in."""
    loaded, batch = described(name)
    wanted = asked(batch)
    traced = gradient.trace(loaded, batch, wanted, attribution.sites(loaded))
    found = attribution.of(loaded, wanted, traced)
    with torch.inference_mode():
        logits = run.forward(loaded, batch, 0).logits
    direct = torch.stack([logits[place.row, place.position, place.token] for place in wanted]).double()
    torch.testing.assert_close(found.logit, direct, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.total(), direct, rtol=1e-5, atol=1e-4)
    layers, units = loaded.family.site("mlp_hidden").layers(loaded.config), found.neurons.shape[2]
    assert found.neurons.shape == (len(wanted), layers, units)
    assert found.heads.shape == (len(wanted), layers, loaded.config.get_text_config().num_attention_heads)
    # Every kind of part matters.
    assert all(one.abs().max() > 1e-3 for one in (found.neurons, found.heads, found.embedding))


def test_biases_have_a_part_of_their_own(described):
    loaded, batch = described("llava-llama2")
    other = dataclasses.replace(loaded, model=copy.deepcopy(loaded.model))
    torch.manual_seed(0)
    for site in ("mlp_out", "attn_out"):
        for layer in range(3):
            module = taps.module_at(other.model, other.family.site(site).path, layer)
            module.bias = torch.nn.Parameter(torch.randn(module.weight.shape[0]), requires_grad=False)
    head = other.model.get_submodule(other.family.head)
    head.bias = torch.nn.Parameter(torch.randn(len(head.weight)), requires_grad=False)
    wanted = asked(batch)
    found = attribution.of(other, wanted, gradient.trace(other, batch, wanted, attribution.sites(other)))
    assert found.bias.abs().max() > 0.1
    torch.testing.assert_close(found.total(), found.logit, rtol=1e-5, atol=1e-4)


def test_a_neuron_has_the_part_that_goes_when_its_weights_go_from_the_last_layer(described):
    loaded, batch = described("llava-llama2")
    wanted = asked(batch)
    traced = gradient.trace(loaded, batch, wanted, attribution.sites(loaded))
    found = attribution.of(loaded, wanted, traced)
    # Without the unit the stream at the place is another one, and so is its rms: the norm is held fixed here.
    stream, gain = traced.seen["stream"][0, 0], loaded.model.get_submodule(loaded.family.norm).weight
    rows = loaded.model.get_submodule(loaded.family.head).weight[wanted[0].token] * gain
    down = taps.module_at(loaded.model, loaded.family.site("mlp_hidden").columns, 2).weight
    scale = (stream.square().mean() + 1e-5).rsqrt()
    for unit in found.neurons[0, 2].abs().topk(5).indices:
        less = stream - traced.seen["hidden"][0, 2, unit] * down[:, unit]
        gone = float(rows @ (stream - less) * scale)
        assert float(found.neurons[0, 2, unit]) == pytest.approx(gone, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("damage", ["bias", "mean"])
def test_a_norm_of_another_kind_is_refused(described, damage):
    loaded, batch = described("llava-llama2")
    other = dataclasses.replace(loaded, model=copy.deepcopy(loaded.model))
    norm = torch.nn.LayerNorm(96, bias=damage == "bias")
    torch.nn.init.normal_(norm.bias) if damage == "bias" else None
    other.model.set_submodule(other.family.norm, norm.requires_grad_(False))
    wanted = asked(batch)
    with pytest.raises(VlmscopeError, match="The final norm is not a gain times one number"):
        attribution.of(other, wanted, gradient.trace(other, batch, wanted, attribution.sites(other)))


def test_parts_that_miss_the_logit_are_refused(described):
    """A head that does more than multiply."""
    loaded, batch = described("llava-llama2")
    wanted = asked(batch)
    traced = gradient.trace(loaded, batch, wanted, attribution.sites(loaded))
    with pytest.raises(VlmscopeError, match="parts of a logit miss it by"):
        attribution.of(loaded, wanted, traced._replace(logits=traced.logits * 0.5))


@every_model
def test_rows_of_a_noun_add_up_to_its_logit(described, name):
    loaded, batch = described(name)
    wanted = asked(batch)
    found = attribution.of(loaded, wanted, gradient.trace(loaded, batch, wanted, attribution.sites(loaded)))
    names = [(f"s{place.row}", f"w{number}") for number, place in enumerate(wanted)]
    table = attribution.table(names, found, 5)
    assert dict(table.schema) == ATTRIBUTION
    sums = table.group_by("sample", "noun", maintain_order=True).agg(pl.col("score").sum(), pl.col("logit").first())
    np.testing.assert_allclose(sums["score"], sums["logit"], rtol=1e-9)
    assert table["kind"].unique(maintain_order=True).to_list() == [
        *("neuron", "head", "embedding", "bias", "other neurons", "other heads", "rounding")
    ]
    first = table.filter(noun="w0", kind="neuron")
    best = found.neurons[0].flatten().sort(descending=True).values[:5]
    np.testing.assert_allclose(first["score"], best)
    both = torch.cat([found.neurons[0].flatten(), found.heads[0].flatten()]).sort(descending=True).values
    ranked = table.filter(pl.col("rank").is_not_null(), noun="w0")
    np.testing.assert_allclose(ranked["score"], both.numpy()[ranked["rank"].to_numpy()])


# ---- gradients ---------------------------------------------------------------------------------------------------


@every_model
def test_effects_are_how_the_logit_moves_when_units_at_the_picture_are_scaled(described, name):
    """Finite differences: z -> (1 + h) z of one unit at all image positions moves the logit by h times the sum."""
    loaded, batch = described(name)
    one = alone(batch, 0)
    wanted = asked(one, steps=(2,))
    traced = gradient.trace(loaded, one, wanted, {})
    [(_, found)] = gradient.effects(loaded, one, wanted, traced, "sum")
    for layer in range(2):
        for unit in found[layer].abs().topk(3).indices.tolist():
            moved = [logit(loaded, one, wanted[0], layer, unit, factor) for factor in (1.05, 0.95)]
            assert (moved[0] - moved[1]) / 0.1 == pytest.approx(float(found[layer, unit]), rel=0.01, abs=5e-5)


def logit(loaded, batch, place, layer, unit, factor):
    """The logit with one unit multiplied at the image's positions."""
    image = places.positions("image", batch, loaded.family.image_token(loaded.config))
    site = loaded.family.site("mlp_hidden")

    def scaled(module, args):
        value = args[0].clone()
        value[..., unit] = torch.where(image, factor, 1.0) * value[..., unit]
        return (value, *args[1:])

    handle = taps.module_at(loaded.model, site.path, layer).register_forward_pre_hook(scaled)
    with torch.no_grad():
        found = run.forward(loaded, batch, torch.tensor([place.position])).logits[place.row, 0, place.token]
    handle.remove()
    return float(found)


@pytest.mark.parametrize("reduce", ["max", "sum", "mean"])
def test_reductions_run_over_the_positions_of_the_picture_alone(described, reduce):
    loaded, batch = described("llava-llama2")
    wanted = asked(batch, steps=(2,))[:1]
    traced = gradient.trace(loaded, batch, wanted, {})
    slopes = torch.autograd.grad(traced.logits.sum(), traced.hidden, retain_graph=True)
    [(_, found)] = gradient.effects(loaded, batch, wanted, traced, reduce)
    image = batch.inputs["input_ids"][0] == loaded.family.image_token(loaded.config)
    for layer, (z, slope) in enumerate(zip(traced.hidden, slopes, strict=True)):
        product = (z.detach() * slope)[0][image]
        wanted_values = {"max": product.max(0).values, "sum": product.sum(0), "mean": product.mean(0)}[reduce]
        torch.testing.assert_close(found[layer], wanted_values)


@every_model
def test_nouns_of_a_batch_have_the_effects_that_they_have_alone(described, name):
    loaded, batch = described(name)
    wanted = asked(batch)
    traced = gradient.trace(loaded, batch, wanted, {})
    found = dict(gradient.effects(loaded, batch, wanted, traced))
    assert sorted(found) == list(range(len(wanted)))
    for row in range(len(batch.rows)):
        numbers = [number for number, place in enumerate(wanted) if place.row == row]
        own = [wanted[number]._replace(row=0) for number in numbers]
        single = alone(batch, row)
        again = dict(gradient.effects(loaded, single, own, gradient.trace(loaded, single, own, {})))
        for place, number in enumerate(numbers):
            torch.testing.assert_close(found[number], again[place], rtol=1e-3, atol=1e-6)


def test_a_trace_leaves_the_model_frozen_and_without_hooks_of_its_own(described):
    def hooks():
        return [len(one._forward_hooks) + len(one._forward_pre_hooks) for one in loaded.model.modules()]

    loaded, batch = described("llava-llama2")
    before = hooks()
    gradient.trace(loaded, batch, asked(batch), attribution.sites(loaded))
    assert hooks() == before
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in loaded.model.parameters())


# ---- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def work(described, scenes, tmp_path):
    """Files of the drawn pictures and captions of llava-llama2, with made-up nouns."""
    batch = described("llava-llama2")[1]
    samples, root = scenes
    ids, ends = batch.inputs["input_ids"].tolist(), batch.inputs["attention_mask"].sum(1).tolist()
    places = list(zip(batch.rows, batch.starts, ends, strict=True))
    texts = {number: ids[row][start:end] for row, (number, start, end) in enumerate(places)}
    rows = [(one.sample, "", texts[number], "", 0) for number, one in enumerate(samples)]
    tables.write(pl.DataFrame(rows, CAPTIONS, orient="row"), tmp_path / "captions.parquet", CAPTIONS)
    # Two nouns may begin with the same piece at the same place; the last sample has no noun.
    given = (("first", 1, "kept"), ("same", 1, "kept"), ("later", 4, "kept"), ("gone", 1, "dropped"))
    nouns = [
        (one.sample, noun, [texts[number][step]], texts[number][step], step, 1, True, status, None, None)
        for number, one in enumerate(samples[:-1])
        for noun, step, status in given
    ]
    tables.write(pl.DataFrame(nouns, NOUNS, orient="row"), tmp_path / "nouns.parquet", NOUNS)
    tables.write(sample_table.table(samples), tmp_path / "samples.parquet", sample_table.SCHEMA)
    files.write_json({"format": "vlmscope.raw/1", "root": str(root)}, tmp_path / "raw.json")
    return tmp_path


def made(loaded, work, batch=4):
    """Lists and table, in batches of a size."""
    names = {name: str(work / f"{name}.parquet") for name in ("samples", "captions", "nouns")}
    settings = {"kind": "sbu", "prompt": "chat", "begin": ""}
    settings |= {"reduce": "max", "keep_others": 30, "attributed": 3}
    target = str(work / "gradient.h5")
    table = attribute.from_files(loaded, target, raw=str(work / "raw.json"), settings=settings, batch=batch, **names)
    return lists.read(target, "down_proj_input", "gradient"), table


def test_every_kept_noun_has_a_list_and_parts_in_the_order_of_the_samples(described, scenes, work):
    loaded, batch = described("llava-llama2")
    found, table = made(loaded, work)
    wanted = [(one.sample, noun) for one in scenes[0][:-1] for noun in ("first", "same", "later")]
    assert sorted(found) == sorted(wanted)
    assert table.select("sample", "noun").unique(maintain_order=True).rows() == wanted
    for sample in {name for name, _ in wanted}:
        for one, other in zip(found[sample, "first"], found[sample, "same"], strict=True):
            np.testing.assert_array_equal(one, other)
        assert (np.diff(found[sample, "first"].score) <= 0).all()
    # The same as straight from the batch, at the position that predicts the second token.
    row = 0
    number, start = batch.rows[row], batch.starts[row]
    place = Place(row, start, int(batch.inputs["input_ids"][row, start + 1]))
    traced = gradient.trace(loaded, batch, [place], {})
    [(_, effect)] = gradient.effects(loaded, batch, [place], traced)
    best, own = effect.flatten().sort(descending=True).values[:30], found[scenes[0][number].sample, "first"]
    np.testing.assert_allclose(own.score, best, rtol=1e-3, atol=1e-6)
    active = gradient.active(traced, place).numpy()[own.layer, own.unit]
    clear = np.abs(active) > 1e-5
    np.testing.assert_array_equal(own.negative[clear], active[clear] < 0)
    assert own.negative.any() and not own.negative.all()


def test_the_size_of_batches_does_not_change_the_lists(described, work):
    loaded, _ = described("llava-llama2")
    (many, parts), (single, again) = (made(loaded, work, batch) for batch in (5, 1))
    for key, one in many.items():
        np.testing.assert_allclose(one.score, single[key].score, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(parts["logit"], again["logit"], rtol=1e-4)


def test_without_a_noun_there_are_no_lists_and_no_parts(described, work):
    nouns = tables.read(work / "nouns.parquet", NOUNS)
    tables.write(nouns.filter(status="dropped"), work / "nouns.parquet", NOUNS)
    found, table = made(described("llava-llama2")[0], work)
    assert found == {} and table.is_empty() and dict(table.schema) == ATTRIBUTION
