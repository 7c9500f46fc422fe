"""Image embeddings in another order, in every family that writes text."""

from functools import cache

import numpy as np
import pytest
import tiny_families
import torch
from PIL import Image

from vlmscope.capture.batches import left_padded
from vlmscope.edits import shuffled
from vlmscope.errors import VlmscopeError
from vlmscope.models import base, inputs

WRITERS = [name for name in base.names() if base.family(name).head]


@cache
def set_up(name):
    """A tiny model, and tensors of two samples whose prompts differ in length."""
    loaded, builder = tiny_families.loaded(name), tiny_families.BUILDERS[name]
    noise = np.random.default_rng(0)
    size = builder.pictures[0]
    pictures = [Image.fromarray(noise.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)) for _ in range(2)]
    prompts = [loaded.family.template.format(prompt=f"<image>\n{words}") for words in ("w1 w2 w3", "w4")]
    return loaded, inputs.encode(loaded, prompts, pictures, side="right")


def counts(loaded, tensors):
    return (tensors["input_ids"] == loaded.family.image_token(loaded.config)).sum(1).tolist()


def at_the_end(loaded, tensors):
    """Logits behind each prompt."""
    with torch.inference_mode():
        logits = loaded.model(**tensors, use_cache=False).logits
    return logits[torch.arange(len(logits)), tensors["attention_mask"].sum(1) - 1]


@pytest.mark.parametrize("family", WRITERS)
def test_the_order_that_is_there_changes_no_bit_and_another_does(family):
    loaded, tensors = set_up(family)
    places = counts(loaded, tensors)
    before = at_the_end(loaded, tensors)
    with shuffled(loaded, tensors, [range(count) for count in places]):
        assert torch.equal(at_the_end(loaded, tensors), before)
    with shuffled(loaded, tensors, [range(places[0]), range(places[1])[::-1]]):
        moved = at_the_end(loaded, tensors)
    torch.testing.assert_close(moved[0], before[0], atol=1e-5, rtol=0)
    assert (moved[1] - before[1]).abs().max() > 1e-4
    assert torch.equal(at_the_end(loaded, tensors), before)


@pytest.mark.parametrize("family", WRITERS)
def test_rows_of_a_batch_have_orders_of_their_own(family):
    loaded, tensors = set_up(family)
    own = [np.random.default_rng(number).permutation(count) for number, count in enumerate(counts(loaded, tensors))]
    with shuffled(loaded, tensors, own):
        both = at_the_end(loaded, tensors)
    for row in range(2):
        orders = [own[row] if other == row else range(len(order)) for other, order in enumerate(own)]
        with shuffled(loaded, tensors, orders):
            torch.testing.assert_close(at_the_end(loaded, tensors)[row], both[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", WRITERS)
def test_decoding_with_a_cache_equals_decoding_without(family):
    loaded, tensors = set_up(family)
    padded = left_padded(tensors)
    orders = [range(count)[::-1] for count in counts(loaded, tensors)]
    written = []
    for cache_used in (True, False):
        with torch.inference_mode(), shuffled(loaded, padded, orders):
            written.append(
                loaded.model.generate(
                    **padded, max_new_tokens=4, min_new_tokens=4, do_sample=False, use_cache=cache_used, pad_token_id=0
                ).tolist()
            )
    assert written[0] == written[1]


def test_an_order_that_is_no_permutation_is_refused():
    loaded, tensors = set_up("llava")
    for wrong in ([0, 0, 1, 2], [0, 1, 2], [1, 2, 3, 4]):
        with (
            pytest.raises(VlmscopeError, match="Row 1 has 4 image positions"),
            shuffled(loaded, tensors, [range(4), wrong]),
        ):
            pass
