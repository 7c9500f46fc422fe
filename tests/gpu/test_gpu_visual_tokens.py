"""Visual tokens taken away, shut off and read as words on a GPU, in float32 and in 16 bit."""

import machine
import numpy as np
import pytest
import torch
from PIL import Image
from test_contract import bench

from vlmscope.llava_interp.ablation import gradient
from vlmscope.llava_interp.asking import prompts
from vlmscope.llava_interp.knockout import passes, windows
from vlmscope.llava_interp.lens import reading as lens_reading

if machine.lacking():
    pytest.skip(machine.lacking(), allow_module_level=True)

FAMILIES = ("llava", "llava_phi")
# dtype -> how far probabilities may lie apart.
CLOSE = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.01}
WANTED = [windows.Intervention(*group, one) for group in windows.GROUPS for one in windows.windows(4)]
every_case = pytest.mark.parametrize(("family", "precision"), [(one, kind) for one in FAMILIES for kind in CLOSE])


def asked_of(loaded):
    pixels = np.random.default_rng(3).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    return prompts.prepare(loaded, ["<image>\nw1 w2 w3 w4"], [Image.fromarray(pixels)], 1)[0]


@every_case
def test_a_shared_prefix_changes_no_outcome(family, precision):
    loaded = bench(family, precision).loaded
    asked, grid = asked_of(loaded), prompts.view(loaded).grid
    sources, targets = passes.keys([0], asked, grid, 0, 0), passes.queries(asked, grid)
    found = dict(passes.outcomes(loaded, asked, WANTED, sources, targets, 8))
    assert len(found) == len(WANTED)
    for one, logits in found.items():
        whole = passes.outcome(loaded, asked, one, sources, targets)
        assert (logits.softmax(-1) - whole.softmax(-1)).abs().max() <= CLOSE[precision], one


@every_case
def test_rows_gradients_and_lenses_stay_on_their_device(family, precision):
    loaded = bench(family, precision).loaded
    asked = asked_of(loaded)
    value = asked.embeds[asked.first : asked.end].float().mean(0)
    plain, without = prompts.next_logits(loaded, [(asked, ()), (asked, range(asked.visual))], value, 2)
    assert plain.isfinite().all() and (plain - without).abs().max() > 0
    found = gradient.attributions(loaded, asked, value, int(plain.argmax()), steps=6, mode="fixed", chunk=4)
    assert np.isfinite(found).all() and not found[: asked.first].any()
    reading = lens_reading.read(loaded, asked, [5, 6], k=3)
    assert reading.tokens.shape == (5, len(asked.ids), 3) and np.isfinite(reading.probs).all()
    shares = plain.softmax(-1)
    assert abs(float(shares[[5, 6]].max()) - float(reading.share[-1, -1])) <= CLOSE[precision]
    assert torch.equal(prompts.without(asked, (), value), asked.embeds)
