"""Attention blocking: from which tokens, and in which layers, the answer gets its object (llava_interp.md 2.7).

Blocking changes what stands from the first blocked query on, so the keys and values in front of it are computed once
per prompt and handed to all interventions, which lie along the batch axis. Masks are our own: the released code writes
`False` into whatever mask it meets, which in a mask of numbers blocks nothing and shows what comes later
[differs: llava_interp.md 8 #11].
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vlmscope import sweep
from vlmscope.blocking import Block, blocked
from vlmscope.llava_interp.asking import geometry, tokens
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.llava_interp.knockout.windows import Intervention
from vlmscope.models.load import Loaded


def keys(patches: Sequence[int], asked: Asked, grid: int, seed: int, image: int) -> dict[str, list[int]]:
    """Source -> positions of the prompt.

    patches   of the object
    Random sources have as many visual tokens as the object's set of that buffer, drawn beside it; fewer where there are
    not as many.
    """
    found = {}
    for buffer in range(3):
        own = geometry.grown(patches, buffer, grid)
        rest = [one for one in range(asked.visual) if one not in set(own)]
        end = f"_{buffer}" if buffer else ""
        drawn = tokens.drawn(tokens.seeded(seed, image, f"random{end}"), asked.visual, len(own), set(own))
        found |= {f"object{end}": own, f"random{end}": sorted(drawn)}
        if buffer == 1:
            found["all_but_object_1"] = rest
    found["all_but_last_row"] = list(range(asked.visual - grid))
    question = list(range(asked.end, len(asked.ids) - 1))
    return {name: [one + asked.first for one in places] for name, places in found.items()} | {"question": question}


def queries(asked: Asked, grid: int) -> dict[str, list[int]]:
    """Target -> positions of the prompt; what stands behind the picture is the question.

    Of `beside` a block leaves out its own keys, see `block`.
    """
    last, visual = len(asked.ids) - 1, range(asked.first, asked.end)
    return {
        "beside": [*visual],
        "beside_and_question": [*visual, *range(asked.end, last)],
        "beside_and_last": [*visual, last],
        "last": [last],
        "last_row": list(range(asked.end - grid, asked.end)),
        "question": list(range(asked.end, last)),
        "question_and_last": list(range(asked.end, last + 1)),
    }


def block(one: Intervention, sources: Mapping[str, Sequence[int]], targets: Mapping[str, Sequence[int]]) -> Block:
    """Which queries may not look at which keys; visual tokens go on looking at themselves and at others of the keys."""
    asking, keys = targets[one.target], sources[one.source]
    if one.target.startswith("beside"):
        asking = sorted(set(asking) - set(keys))
    return Block(asking, keys, one.window.layers)


@torch.inference_mode()
def outcomes(
    loaded: Loaded,
    asked: Asked,
    wanted: Sequence[Intervention],
    sources: Mapping[str, Sequence[int]],
    targets: Mapping[str, Sequence[int]],
    rows: int,
) -> Iterator[tuple[Intervention, Tensor]]:
    """Logits behind the prompt under every intervention, float32 [vocabulary]; interventions by their first query.

    rows   interventions that go through the model together
    """
    groups: dict[int, list[Intervention]] = {}
    for one in wanted:
        # Where nothing is asked, nothing changes: the last position alone is computed anew.
        groups.setdefault(min(targets[one.target], default=len(asked.ids) - 1), []).append(one)
    cache = read(loaded, asked)
    for first, members in sorted(groups.items()):
        for start in range(0, len(members), rows):
            part = members[start : start + rows]
            blocks = [[block(one, sources, targets)] for one in part]
            embeds = asked.embeds[first:].expand(len(part), -1, -1)
            yield from zip(part, behind(loaded, asked, cache, first, embeds, blocks).float().cpu(), strict=True)


def read(loaded: Loaded, asked: Asked) -> Any:
    """Keys and values of a prompt."""
    from transformers import DynamicCache

    # Made without the configuration: sliding windows would forget the beginning of a long prompt.
    cache = DynamicCache()
    flags = sweep.flags(loaded, asked.ids[None])
    sweep.decoder(loaded)(
        inputs_embeds=asked.embeds[None], past_key_values=cache, use_cache=True, logits_to_keep=1, **flags
    )
    return cache


def behind(
    loaded: Loaded, asked: Asked, cache: Any, first: int, embeds: Tensor, blocks: Sequence[Sequence[Block]] = ((),)
) -> Tensor:
    """Logits behind the prompt, [row, vocabulary]: what stands from `first` on is computed, the rest is handed on.

    embeds   float [row, S - first, d]
    blocks   of every row; one entry for all
    """
    from transformers import DynamicCache

    n, length = len(embeds), len(asked.ids)
    known = DynamicCache()
    for number, layer in enumerate(cache.layers):
        parts = (one[:, :, :first].expand(n, -1, -1, -1) for one in (layer.keys, layer.values))
        known.update(*parts, number)
    mask = torch.ones(n, length, dtype=torch.long, device=asked.ids.device)
    places = torch.arange(first, length, device=asked.ids.device).expand(n, -1)
    rest = {"inputs_embeds": embeds, "position_ids": places}
    rest |= sweep.flags(loaded, asked.ids[first:].expand(n, -1))
    with blocked(loaded, blocks, mask):
        return sweep.decoder(loaded)(
            **rest, attention_mask=mask, past_key_values=known, use_cache=True, logits_to_keep=1
        ).logits[:, -1]


@torch.inference_mode()
def outcome(
    loaded: Loaded, asked: Asked, one: Intervention, sources: Mapping[str, Any], targets: Mapping[str, Any]
) -> Tensor:
    """The same for one intervention by a pass over the whole prompt: slow, and what `outcomes` is held against."""
    mask = torch.ones(1, len(asked.ids), dtype=torch.long, device=asked.ids.device)
    with blocked(loaded, [[block(one, sources, targets)]], mask):
        flags = sweep.flags(loaded, asked.ids[None])
        found = sweep.decoder(loaded)(inputs_embeds=asked.embeds[None], use_cache=False, logits_to_keep=1, **flags)
    return found.logits[0, -1].float().cpu()
