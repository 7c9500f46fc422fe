"""Which patch of a picture an image token shows, and the picture that the patches are cut from.

In most families image tokens are patches in rows and columns; where a picture is cut into tiles, those of the view of
the whole picture stand first and alone are used. Queries show no patch: what units do there is carried back to the
patches through the attention by which the queries read the picture [differs: mm_neurons.md 9 (b)].

Notation: Q queries, P patches. S [Q, Q] attention of the queries to each other, X [Q, P] to the picture, both means
over heads. R [Q, P] is how much of each patch stands in each query. It starts at zero and every attention, beside which
the query itself goes on, makes R <- (R + S R + X) / 2, or with S and X one after the other two such halves. That is
attention rollout (arXiv 2005.00928) with patches as its sources. A map is R^T a for activations a [Q].
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.models import parts
from vlmscope.models.inputs import SQUARES, grids
from vlmscope.models.load import Loaded

Grid = tuple[int, int]
QUERIES = ("instructblip", "mplug_owl2")
MERGED = ("qwen2_vl", "qwen2_5_vl")
KNOWN = (*SQUARES, *QUERIES, *MERGED, "gemma3")


@dataclass(frozen=True)
class Layout:
    """Where a sample's image tokens lie in its picture.

    grid     rows and columns of patches
    tokens   image tokens whose activations are needed, counted from 0: one per patch row by row, or all queries
    """

    grid: Grid
    tokens: range


def check(family: str) -> None:
    """Refuse a family whose image tokens are not known to lie in rows and columns."""
    if family not in KNOWN:
        raise VlmscopeError(
            f"It is not known which part of the picture each image token of {family} shows.",
            where="mm_neurons.maps",
            instead="a model of one of: " + ", ".join(KNOWN),
        )


def layouts(loaded: Loaded, inputs: Mapping[str, Tensor]) -> list[Layout]:
    """The layout of every sample of a batch."""
    family, config = loaded.family.name, loaded.config
    check(family)
    rows = len(inputs["input_ids"])
    if family in MERGED:
        return [Layout(grid, range(grid[0] * grid[1])) for grid in grids(loaded, inputs)]
    if family == "instructblip":
        return [Layout(_square(parts.patches(config)), range(config.num_query_tokens))] * rows
    if family == "mplug_owl2":
        abstractor = config.visual_config.visual_abstractor
        return [Layout((abstractor.grid_size,) * 2, range(abstractor.num_learnable_queries + 1))] * rows
    count = config.mm_tokens_per_image if family == "gemma3" else parts.patches(config)
    # CLIP's class token stands in front where the configuration keeps it.
    first = int(family != "llava_onevision" and getattr(config, "vision_feature_select_strategy", "") == "full")
    return [Layout(_square(count), range(first, first + count))] * rows


def _square(count: int) -> Grid:
    return (math.isqrt(count),) * 2


def places(
    loaded: Loaded, inputs: Mapping[str, Tensor], chosen: Sequence[Layout], orders: Sequence[Sequence[int]] = ()
) -> list[Tensor]:
    """Token positions at which each row's layout is found: int64 [image token] per row.

    orders   how the image tokens were shuffled (`edits.shuffled`), if they were: the positions then are those to which
             the layout's tokens went
    """
    is_image = (inputs["input_ids"] == loaded.family.image_token(loaded.config)) & inputs["attention_mask"].bool()
    found = [mask.nonzero().squeeze(1) for mask in is_image.cpu()]
    if orders:
        found = [one[np.argsort(order)] for one, order in zip(found, orders, strict=True)]
    return [one[list(layout.tokens)] for one, layout in zip(found, chosen, strict=True)]


# ---- queries -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def attending(loaded: Loaded) -> Iterator[Callable[[Mapping[str, Tensor]], np.ndarray | None]]:
    """Listen to how queries read the picture; inside, after a pass, the result is called with the pass's inputs.

    It gives R, float32 [sample, image token, patch], and None for families without queries. Probabilities are computed
    from what the query and key matrices put out, so every implementation of attention is served.
    """
    if loaded.family.name not in QUERIES:
        yield lambda inputs: None
        return
    seen: dict[str, Tensor] = {}
    handles = []

    def see(name: str) -> Callable[..., None]:
        return lambda module, args, output: seen.__setitem__(name, output)

    owl = loaded.family.name == "mplug_owl2"
    try:
        for name in _owl_names(loaded) if owl else _qformer_names(loaded):
            for part in ("query", "key"):
                module = taps.module_at(loaded.model, f"{name}.{part}")
                handles.append(module.register_forward_hook(see(f"{name}.{part}")))
        yield lambda inputs: (_owl if owl else _qformer)(loaded, seen, inputs).cpu().numpy()
    finally:
        for handle in handles:
            handle.remove()


def _owl_names(loaded: Loaded) -> list[str]:
    layers = range(loaded.config.visual_config.visual_abstractor.num_hidden_layers)
    return [f"model.visual_abstractor.encoder.layers.{layer}.crossattention.attention" for layer in layers]


def _qformer_names(loaded: Loaded) -> list[str]:
    """In the order in which they run; only some layers look at the picture."""
    config = loaded.config.qformer_config
    return [
        f"qformer.encoder.layer.{layer}.{kind}.attention"
        for layer in range(config.num_hidden_layers)
        for kind in ("attention", "crossattention")
        if kind == "attention" or layer % config.cross_attention_frequency == 0
    ]


def _owl(loaded: Loaded, seen: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Tensor:
    """Keys are queries, the class token, patches. The end token behind the queries shows nothing."""
    heads = loaded.config.visual_config.visual_abstractor.num_attention_heads
    found: Tensor | None = None
    for name in _owl_names(loaded):
        both = probabilities(seen[name + ".query"], seen[name + ".key"], heads)
        own, picture = both.split([both.shape[1], both.shape[2] - both.shape[1]], 2)
        found = picture / 2 if found is None else (found + own @ found + picture) / 2
    return torch.nn.functional.pad(found[:, :, 1:], (0, 0, 0, 1))


def _qformer(loaded: Loaded, seen: Mapping[str, Tensor], inputs: Mapping[str, Tensor]) -> Tensor:
    """Queries attend to each other and to the question, then to the class token and the patches."""
    heads, queries = loaded.config.qformer_config.num_attention_heads, loaded.config.num_query_tokens
    asked = inputs["qformer_attention_mask"].bool()
    found: Tensor | None = None
    for name in _qformer_names(loaded):
        query, key = seen[name + ".query"], seen[name + ".key"]
        if ".crossattention." in name:
            picture = probabilities(query, key, heads)
            found = picture / 2 if found is None else (found + picture) / 2
        elif found is not None:
            real = torch.cat([asked.new_ones(len(asked), queries), asked], 1).to(key.device)
            own = probabilities(query, key, heads, real)[:, :queries, :queries]
            found = (found + own @ found) / 2
    return found[:, :, 1:]


def probabilities(query: Tensor, key: Tensor, heads: int, real: Tensor | None = None) -> Tensor:
    """Attention as a mean over heads, float32 [sample, query, key].

    query, key   [sample, token, head x unit]
    real         bool [sample, key], which keys are no padding
    """
    query, key = (one.float().unflatten(-1, (heads, -1)).transpose(1, 2) for one in (query, key))
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if real is not None:
        scores = scores.masked_fill(~real[:, None, None], -math.inf)
    return scores.softmax(-1).mean(1)


# ---- pictures ----------------------------------------------------------------------------------------------------


def shown(loaded: Loaded, pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """What the patches are cut from: pictures after resizing and cropping, before numbers are rescaled."""
    check(loaded.family.name)
    return [_shown(loaded.processor, picture.convert("RGB")) for picture in pictures]


def _shown(processor: Any, picture: Image.Image) -> Image.Image:
    """One at a time: the view of the whole picture may share its tensor with tiles, and sizes may differ."""
    images = getattr(processor, "inner", processor).image_processor
    if getattr(processor, "preprocess", "") == "owl":
        from vlmscope.models.owl2.processing import squeezed

        picture = squeezed(picture)
    tensors = images([picture], do_rescale=False, do_normalize=False, return_tensors="np")
    pixels = tensors["pixel_values"]
    if "image_grid_thw" in tensors:
        pixels = _unfolded(pixels, tensors["image_grid_thw"][0].tolist(), images)
    # Of a picture in tiles the first is the view of the whole.
    pixels = pixels.reshape(-1, *pixels.shape[-3:])[0]
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)).astype(np.uint8))


def _unfolded(rows: np.ndarray, grid: Sequence[int], images: Any) -> np.ndarray:
    """Patches of Qwen's image processor, one to a row, back in their places: [channel, row, column].

    Rows are ordered by blocks of patches that are merged; each holds the same patch once per frame.
    """
    _, high, wide = grid
    merge, patch, frames = images.merge_size, images.patch_size, images.temporal_patch_size
    blocks = rows.reshape(high // merge, wide // merge, merge, merge, -1, frames, patch, patch)[:, :, :, :, :, 0]
    return blocks.transpose(4, 0, 2, 5, 1, 3, 6).reshape(-1, high * patch, wide * patch)
