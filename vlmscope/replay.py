"""Prompts read once and continued many times: lower blocks hand out what they gave the first time.

Whatever is changed behind block l leaves the blocks up to l as they were. Their outputs at the prompt, and the keys and
values they put into the cache, are kept and handed to every row, so that a change costs only the blocks above it:
behind the last block the prompt costs nothing but norm and head.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlmscope.capture import taps
from vlmscope.edits import instead
from vlmscope.models.load import Loaded

# Inputs that only the vision tower and what puts its output in place look at.
PIXELS = frozenset({"pixel_values", "pixel_attention_mask", "image_masks", "image_input_idx"})
# Families whose models refuse prompts without their pictures, which are then looked at once more in every pass.
INSISTING = frozenset({"instructblip", "mplug_owl2"})


@dataclass(frozen=True)
class Prefix:
    """What the blocks made of a batch of prompts.

    inputs   tensors of the prompts, padded on the left; without pixels where the family can do without
    states   block -> its output [sample, token, d]
    cache    keys and values of every block
    """

    inputs: dict[str, Any]
    states: dict[int, Tensor]
    cache: Any

    def rows(self, samples: Sequence[int]) -> dict[str, Any]:
        """Inputs of a batch whose rows are these samples."""
        index = torch.as_tensor(samples, device=self.inputs["input_ids"].device)
        return {key: one[index.to(one.device)] for key, one in self.inputs.items()}

    def ends(self, block: int) -> Tensor:
        """States that write the first token, float [sample, d]."""
        return self.states[block][:, -1]


@torch.inference_mode()
def prefix(loaded: Loaded, inputs: Mapping[str, Any], blocks: Sequence[int]) -> Prefix:
    """Read prompts, padded on the left, one row per sample in every tensor.

    blocks   those behind which something will be changed
    """
    from transformers import DynamicCache

    states: dict[int, Tensor] = {}
    # Made without the configuration: sliding windows would forget the beginning of a long prompt.
    cache = DynamicCache()
    with taps.reading(loaded, loaded.family.site("resid_post"), sorted(set(blocks)), states.setdefault):
        loaded.model.generate(**inputs, past_key_values=cache, max_new_tokens=1, do_sample=False, pad_token_id=0)
    left_out = frozenset() if loaded.family.name in INSISTING else PIXELS
    return Prefix({key: one for key, one in inputs.items() if key not in left_out}, states, cache)


@contextlib.contextmanager
def replayed(loaded: Loaded, known: Prefix, block: int, samples: Sequence[int]) -> Iterator[None]:
    """Inside, row k of a batch is a prompt of sample samples[k], and blocks up to this one are not computed for it.

    Runs `generate` with a cache on `known.rows(samples)`; written tokens go through all blocks. Edits behind the block
    and above work as always.
    """
    site = loaded.family.site("resid_post")
    with contextlib.ExitStack() as undo:
        for number in range(block + 1):
            module = taps.module_at(loaded.model, site.path, number)
            state = known.states[block] if number == block else None
            undo.enter_context(_recalled(module, known, number, state, samples))
        yield


@contextlib.contextmanager
def _recalled(
    module: torch.nn.Module, known: Prefix, number: int, state: Tensor | None, samples: Sequence[int]
) -> Iterator[None]:
    """One block that puts its keys and values into the cache, and gives its output or, below the last, its input."""
    whole = module.forward
    layer, length = known.cache.layers[number], known.inputs["input_ids"].shape[1]

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        if hidden_states.shape[1] < length:
            return whole(hidden_states, *args, **kwargs)
        index = torch.as_tensor(samples, device=layer.keys.device)
        kwargs["past_key_values"].update(layer.keys[index], layer.values[index], number)
        return hidden_states if state is None else state[index.to(state.device)]

    with instead(module, forward):
        yield
