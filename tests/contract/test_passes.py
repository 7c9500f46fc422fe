"""Captions read and written again give what the model gives alone, in every family, and so does each row's change."""

import numpy as np
import pytest
import torch
from test_families import WRITERS, bench, picture, question

from vlmscope.capture import taps
from vlmscope.mm_neurons.runs import columns, passes
from vlmscope.models import answer

# Decoders that derive positions or masks from the picture, and one that is no part which writes by itself.
WHOLE = {"gemma3", "molmo", "qwen2_vl", "qwen2_5_vl"}
TOKENS = 5
SAMPLES = (0, 1, 2, 1)
every_writer = pytest.mark.parametrize("family", WRITERS)


def prompts(set_up, numbers):
    texts = [set_up.loaded.family.template.format(prompt=f"<image>\n{question(one)}") for one in numbers]
    return passes.prepare(set_up.loaded, texts, [picture(set_up.sizes[one], one) for one in numbers], batch=2)


def noise(loaded, seed, k):
    """Strong noise on some neurons, so that captions differ."""
    layers, units = columns.shape(loaded)
    drawn, width = np.random.default_rng(seed), columns.weight(loaded, 0).shape[0]
    rows = drawn.standard_normal((k, width)).astype(np.float32)
    return columns.Added(drawn.integers(0, layers, k), drawn.integers(0, units, k), rows)


def alone(set_up, number, change):
    """One sample by itself with the change in the weights: its answer, and the logits of each of its steps."""
    loaded, tensors, steps = set_up.loaded, set_up.one(number), []

    def see(layer, value):
        steps.append(value[0, -1])

    head = loaded.family.site("logits")
    with columns.merged(loaded, [change]), torch.inference_mode(), taps.reading(loaded, head, [0], see):
        written = answer.new_tokens(loaded, tensors, TOKENS)[0]
    return written, torch.stack(steps[: len(written)])


@every_writer
def test_every_row_with_its_own_change_equals_the_sample_alone_with_changed_weights(family):
    set_up = bench(family)
    loaded, ready = set_up.loaded, prompts(set_up, SAMPLES)
    assert all((one.embeds is None) == (family in WHOLE) for one in ready)
    changes = [noise(loaded, seed, k) for seed, k in enumerate((3, 20, 7, 1))]
    seen, captions = [], set()
    for rows in passes.batches(ready, 3):
        some, own = [ready[row] for row in rows], [changes[row] for row in rows]
        with columns.added(loaded, own):
            written = passes.write(loaded, some, TOKENS)
            found = passes.log_probs(loaded, some, written)
        for place, row in enumerate(rows):
            tokens, steps = alone(set_up, SAMPLES[row], changes[row])
            assert written[place] == tokens
            wanted = steps.float().log_softmax(-1)
            torch.testing.assert_close(found[place, : len(steps)], wanted, atol=1e-4, rtol=1e-4)
            captions.add((SAMPLES[row], tuple(tokens)))
        seen += rows
    assert sorted(seen) == [0, 1, 2, 3] and len(captions) == 4


@every_writer
def test_a_change_of_nothing_changes_nothing_and_no_hook_stays(family):
    set_up = bench(family)
    loaded, ready = set_up.loaded, prompts(set_up, (1,))
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    hooks = sum(len(module._forward_hooks) for module in loaded.model.modules())
    tokens = [[5, 6]]
    untouched = passes.log_probs(loaded, ready, tokens)
    real = noise(loaded, 1, 4)
    nothing = columns.Added(real.layer, real.unit, 0 * real.rows)
    for change in (columns.added, columns.merged):
        with change(loaded, [nothing]):
            assert torch.equal(passes.log_probs(loaded, ready, tokens), untouched)
        with change(loaded, [real]):
            assert not torch.allclose(passes.log_probs(loaded, ready, tokens), untouched, atol=1e-3)
    assert torch.equal(passes.log_probs(loaded, ready, tokens), untouched)
    assert all(torch.equal(before[name], value) for name, value in loaded.model.state_dict().items())
    assert sum(len(module._forward_hooks) for module in loaded.model.modules()) == hooks
