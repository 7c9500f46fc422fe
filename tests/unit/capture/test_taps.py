"""Reductions on hand-made tensors against plain numpy."""

import numpy as np
import pytest
import torch

from vlmscope.capture import places, taps
from vlmscope.capture.plan import Take
from vlmscope.models.inputs import Batch

CPU = torch.device("cpu")
IMAGE = 90
# Two samples: image image text text | text image text padding; one padded on the left.
INPUTS = {
    "input_ids": torch.tensor([[90, 90, 5, 6], [7, 90, 8, 0], [0, 90, 9, 4]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1]]),
}
WHERE = {
    "all": [[1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1]],
    "image": [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
    "text": [[0, 0, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1]],
    "last": [[0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]],
}


@pytest.mark.parametrize("where", WHERE)
def test_positions_never_include_padding(where):
    assert places.positions(where, Batch((), INPUTS), IMAGE).int().tolist() == WHERE[where]


def test_padding_with_the_image_token_is_not_an_image():
    inputs = {"input_ids": torch.tensor([[90, 5, 90]]), "attention_mask": torch.tensor([[1, 1, 0]])}
    assert places.positions("image", Batch((), inputs), IMAGE).tolist() == [[True, False, False]]


def test_a_row_of_padding_alone_has_no_last_position():
    inputs = {"input_ids": torch.zeros(1, 3, dtype=torch.long), "attention_mask": torch.zeros(1, 3, dtype=torch.long)}
    assert not places.positions("last", Batch((), inputs), IMAGE).any()


def values(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def fed(sink, blocks, layers):
    """A sink that saw blocks of (rows, inputs, mask, {layer: tensor})."""
    for rows, inputs, mask, seen in blocks:
        sink.begin(mask)
        for layer in layers:
            sink.see(layer, seen[layer])
        if isinstance(sink, taps.Keeper):
            sink.end(rows, inputs)
    return sink.result()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_counts_equal_plain_numpy_over_batches_of_different_shapes(kind):
    take = Take("mlp_gate", "all", "counts", (0, 3))
    seen = [{layer: values(10 * n + layer, n + 1, 4, 5).to(kind) for layer in (0, 3)} for n in range(3)]
    seen[1][3][0, 0, 0] = 0.0
    masks = [torch.rand(n + 1, 4, generator=torch.Generator().manual_seed(n)) > 0.4 for n in range(3)]
    blocks = [((0,), INPUTS, mask, one) for mask, one in zip(masks, seen, strict=True)]
    found = fed(taps.Counter(take, 5, CPU), blocks, (0, 3))
    for row, layer in enumerate((0, 3)):
        kept = np.concatenate(
            [one[layer].double().numpy()[mask.numpy()] for mask, one in zip(masks, seen, strict=True)]
        )
        np.testing.assert_array_equal(found["fired"][row], (kept > 0).sum(0))
        np.testing.assert_allclose(found["total"][row], kept.sum(0), atol=1e-5)
        assert found["seen"] == len(kept)
    assert found["fired"].dtype == np.int64 and found["total"].dtype == np.float64


@pytest.mark.parametrize("space", [1, 5, 7, 40, 1 << 20])
def test_parts_of_a_batch_add_up_to_the_whole(space, monkeypatch):
    monkeypatch.setitem(taps.WORK, "cpu", space)
    seen, mask = [values(n, 3 + n, 4, 5) for n in range(2)], [torch.rand(3 + n, 4) > 0.4 for n in range(2)]
    stream = [((0,), INPUTS, mask[n], {0: seen[n]}) for n in range(2)]
    found = fed(taps.Counter(Take("mlp_gate", "all", "counts", (0,)), 5, CPU), stream, (0,))
    kept = np.concatenate([one.numpy()[where.numpy()] for one, where in zip(seen, mask, strict=True)])
    np.testing.assert_array_equal(found["fired"][0], (kept > 0).sum(0))
    np.testing.assert_allclose(found["total"][0], kept.sum(0), atol=1e-5)


def test_exactly_zero_does_not_fire():
    take = Take("mlp_gate", "all", "counts", (0,))
    tensor = torch.tensor([[[0.0, -0.0, 1e-30, -1e-30]]])
    found = fed(taps.Counter(take, 4, CPU), [((0,), INPUTS, torch.ones(1, 1).bool(), {0: tensor})], (0,))
    assert found["fired"].tolist() == [[0, 0, 1, 0]]


def test_without_a_mask_every_position_of_every_tile_counts():
    take = Take("vision_gate", "all", "counts", (0, 1))
    seen = {layer: values(layer, 5, 7, 3) for layer in (0, 1)}
    found = fed(taps.Counter(take, 3, CPU), [((0,), INPUTS, None, seen)], (0, 1))
    assert found["seen"] == 35
    for layer in (0, 1):
        np.testing.assert_array_equal(found["fired"][layer], (seen[layer].numpy().reshape(35, 3) > 0).sum(0))


def test_nothing_seen_counts_nothing():
    found = taps.Counter(Take("mlp_gate", "all", "counts", (0, 1)), 3, CPU).result()
    assert found["seen"] == 0 and found["fired"].shape == (2, 3) and not found["fired"].any()


# Samples 2, 0 and 1 arrive in that order, in two batches.
BLOCKS = [((2, 0), slice(0, 2)), ((1,), slice(2, 3))]
LAYERS = (1, 2)


def blocks(where, seen):
    mask = torch.tensor(WHERE[where]).bool()
    return [
        (rows, {key: value[part] for key, value in INPUTS.items()}, mask[part], {k: v[part] for k, v in seen.items()})
        for rows, part in BLOCKS
    ]


@pytest.mark.parametrize("where", WHERE)
def test_values_stand_in_the_order_of_samples_and_positions(where):
    seen = {layer: values(layer, 3, 4, 6) for layer in LAYERS}
    found = fed(taps.Keeper(Take("resid_post", where, "values", LAYERS), 6, CPU), blocks(where, seen), LAYERS)
    # Row of the tensors above that holds sample 0, 1, 2.
    expected = [
        (sample, position, row)
        for sample, row in enumerate((1, 2, 0))
        for position in np.flatnonzero(WHERE[where][row]).tolist()
    ]
    assert list(zip(found["sample"].tolist(), found["position"].tolist(), strict=True)) == [
        (sample, position) for sample, position, _ in expected
    ]
    assert found["token"].tolist() == [INPUTS["input_ids"][row, position].item() for _, position, row in expected]
    for place, (_, position, row) in enumerate(expected):
        for column, layer in enumerate(LAYERS):
            np.testing.assert_array_equal(found["values"][place, column], seen[layer][row, position].numpy())


def test_means_have_one_row_per_sample_and_leave_padding_out():
    seen = {layer: values(layer, 3, 4, 6) for layer in LAYERS}
    seen[1][1, 3] = 1e6
    found = fed(taps.Keeper(Take("resid_post", "all", "mean", LAYERS), 6, CPU), blocks("all", seen), LAYERS)
    assert found["sample"].tolist() == [0, 1, 2]
    assert found["position"].tolist() == found["token"].tolist() == [-1, -1, -1]
    for sample, row in enumerate((1, 2, 0)):
        keep = np.array(WHERE["all"][row], dtype=bool)
        for column, layer in enumerate(LAYERS):
            np.testing.assert_allclose(
                found["values"][sample, column], seen[layer][row].numpy()[keep].mean(0), rtol=1e-5
            )


def test_top_units_equal_a_full_sort():
    seen = {layer: values(layer, 3, 4, 6) for layer in LAYERS}
    found = fed(taps.Keeper(Take("resid_post", "text", "top", LAYERS, k=3), 6, CPU), blocks("text", seen), LAYERS)
    assert found["values"].shape == found["units"].shape == (6, 2, 3)
    place = 0
    for row in (1, 2, 0):
        for position in np.flatnonzero(WHERE["text"][row]):
            for column, layer in enumerate(LAYERS):
                order = np.argsort(-seen[layer][row, position].numpy())[:3]
                np.testing.assert_array_equal(found["units"][place, column], order)
                np.testing.assert_array_equal(found["values"][place, column], seen[layer][row, position].numpy()[order])
            place += 1


def test_a_sample_without_such_a_position_has_no_mean():
    seen = {layer: values(layer, 3, 4, 6) for layer in LAYERS}
    mask = torch.tensor(WHERE["text"]).bool()
    mask[1] = False
    sink = taps.Keeper(Take("resid_post", "text", "mean", LAYERS), 6, CPU)
    found = fed(sink, [((2, 0, 1), INPUTS, mask, seen)], LAYERS)
    # Row 1 of the tensors holds sample 0.
    assert found["sample"].tolist() == [1, 2]
    np.testing.assert_allclose(found["values"][1, 0], seen[1][0, 2:].mean(0), rtol=1e-5)


@pytest.mark.parametrize("keep", ["values", "mean", "top", "counts"])
def test_listed_units_are_those_of_all_units(keep):
    units, seen = (1, 4, 5), {layer: values(layer, 3, 4, 6) for layer in LAYERS}
    kind = taps.Counter if keep == "counts" else taps.Keeper
    some, every = (
        fed(kind(Take("resid_post", "text", keep, LAYERS, k=k, units=chosen), 6, CPU), blocks("text", seen), LAYERS)
        for chosen, k in ((units, 2), ((), 6))
    )
    assert some.pop("chosen").tolist() == list(units) and "chosen" not in every
    if keep == "counts":
        for key in ("fired", "total"):
            np.testing.assert_array_equal(some[key], every[key][:, units])
        assert some["seen"] == every["seen"] == 6
    elif keep == "top":
        for row, column in np.ndindex(every["units"].shape[:2]):
            best = [unit for unit in every["units"][row, column] if unit in units][:2]
            assert some["units"][row, column].tolist() == best
    else:
        np.testing.assert_array_equal(some["values"], every["values"][..., units])


@pytest.mark.parametrize("keep", ["values", "mean", "top"])
def test_sites_computed_at_some_positions_give_what_all_positions_give(keep):
    seen = {layer: values(layer, 3, 4, 6) for layer in LAYERS}
    mask, columns = torch.tensor(WHERE["text"]).bool(), torch.tensor([0, 2, 3])
    found = []
    for part in (None, columns):
        sink = taps.Keeper(Take("logits", "text", keep, LAYERS, k=2 * (keep == "top")), 6, CPU)
        sink.begin(mask, part)
        for layer in LAYERS:
            sink.see(layer, seen[layer] if part is None else seen[layer][:, part])
        sink.end((2, 0, 1), INPUTS)
        found.append(sink.result())
    for key in found[0]:
        np.testing.assert_array_equal(found[0][key], found[1][key])


def test_counts_at_some_positions_are_those_of_all_positions():
    seen, mask, columns = values(0, 3, 4, 5), torch.tensor(WHERE["text"]).bool(), torch.tensor([0, 2, 3])
    found = []
    for part in (None, columns):
        sink = taps.Counter(Take("logits", "text", "counts", (0,)), 5, CPU)
        sink.begin(mask, part)
        sink.see(0, seen if part is None else seen[:, part])
        found.append(sink.result())
    assert found[0]["seen"] == found[1]["seen"] == 6
    np.testing.assert_array_equal(found[0]["fired"], found[1]["fired"])


@pytest.mark.parametrize("keep", ["values", "mean", "top"])
def test_no_batch_gives_no_rows(keep):
    found = taps.Keeper(Take("resid_post", "all", keep, LAYERS, k=2 * (keep == "top")), 6, CPU).result()
    assert found["values"].shape == (0, 2, 2 if keep == "top" else 6)
    assert len(found["sample"]) == len(found["position"]) == len(found["token"]) == 0
