import numpy as np
import pytest
import torch

from vlmscope.capture import plan, run
from vlmscope.errors import VlmscopeError

TAKES = [
    {"site": "mlp_gate", "where": "all", "keep": "counts"},
    {"site": "vision_gate", "where": "all", "keep": "counts"},
    {"site": "resid_post", "where": "last", "keep": "values"},
    {"site": "resid_post[1]", "where": "image", "keep": "top(3)"},
    {"site": "mlp_out", "where": "text", "keep": "mean"},
]


def captured(tiny, batches, takes=TAKES):
    found = run.capture(tiny, plan.resolve(takes, tiny.family, tiny.config), batches)
    return {one.take.name: one.arrays for one in found}


def test_takes_equal_what_the_model_itself_reports(tiny, single):
    found = captured(tiny, [single(0), single(3)])
    for place, number in enumerate((0, 3)):
        inputs = single(number).inputs
        with torch.inference_mode():
            output = tiny.model(**inputs, output_hidden_states=True, use_cache=False)
        states = torch.stack(output.hidden_states)[:, 0].numpy()
        kept = found["resid_post.last.values"]["values"][place]
        # The model reports the last state behind its final norm; the others are raw.
        np.testing.assert_allclose(kept[:-1], states[1:-1, -1], atol=1e-6)
        norm = tiny.model.get_submodule(tiny.family.norm)
        np.testing.assert_allclose(norm(torch.tensor(kept[-1])).numpy(), states[-1, -1], atol=1e-5)

        is_image = inputs["input_ids"][0].numpy() == tiny.config.image_token_id
        top = found["resid_post[1].image.top3"]
        rows = top["sample"] == number
        np.testing.assert_array_equal(top["units"][rows, 0], np.argsort(-states[2][is_image], axis=-1)[:, :3])
        np.testing.assert_array_equal(top["position"][rows], np.flatnonzero(is_image))


def test_several_batches_give_what_each_gives_alone(tiny, single):
    whole = captured(tiny, [single(k) for k in (4, 1, 2)])
    parts = {k: captured(tiny, [single(k)]) for k in (1, 2, 4)}
    for name in ("mlp_gate.all.counts", "vision_gate.all.counts"):
        assert whole[name]["seen"] == sum(part[name]["seen"] for part in parts.values())
        np.testing.assert_array_equal(whole[name]["fired"], sum(part[name]["fired"] for part in parts.values()))
    for name in ("resid_post.last.values", "resid_post[1].image.top3", "mlp_out.text.mean"):
        for key in whole[name]:
            np.testing.assert_array_equal(whole[name][key], np.concatenate([parts[k][name][key] for k in (1, 2, 4)]))


def test_positions_counted_are_those_of_the_inputs(tiny, single):
    found = captured(tiny, [single(k) for k in range(3)])
    assert found["mlp_gate.all.counts"]["seen"] == sum(single(k).inputs["input_ids"].shape[1] for k in range(3))
    # A tile of the golden model has four patches and a class token.
    tiles = sum(single(k).inputs["pixel_values"].shape[1] for k in range(3))
    assert found["vision_gate.all.counts"]["seen"] == 5 * tiles


def test_nothing_to_run_keeps_nothing(tiny):
    found = captured(tiny, [])
    assert found["mlp_gate.all.counts"]["seen"] == 0
    assert len(found["resid_post.last.values"]["values"]) == 0


def test_a_failing_stream_leaves_the_model_as_it_was(tiny, single):
    def stream():
        yield single(0)
        raise VlmscopeError("A picture is not there.")

    before = captured(tiny, [single(0)])
    with pytest.raises(VlmscopeError, match="picture"):
        captured(tiny, stream())
    assert not any(
        module._forward_hooks for name, module in tiny.model.named_modules() if name.endswith(("act_fn", "down_proj"))
    )
    after = captured(tiny, [single(0)])
    np.testing.assert_array_equal(before["mlp_gate.all.counts"]["fired"], after["mlp_gate.all.counts"]["fired"])
