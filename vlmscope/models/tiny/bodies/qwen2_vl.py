"""Qwen2-VL: a tower whose patches are merged two by two, positions of three axes, Qwen2."""

from typing import Any

import torch
from torch import Tensor, nn

from vlmscope.models.tiny.bodies.base import PATCH, SIDE, Body, Config, Tensors, Words, number, text
from vlmscope.models.tiny.bodies.llava_onevision import QWEN
from vlmscope.models.tiny.packing import HEAD, PADDING, Packed
from vlmscope.models.tiny.recipe import Recipe
from vlmscope.models.tiny.tokenizer import Special
from vlmscope.world.scene import SIZE

START, END, PAD, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
_CELLS = SIDE // 2


def config(recipe: Recipe, words: Words) -> Config:
    """The axes of a rotary position share the 12 frequencies of a head of 24 equally."""
    from transformers import Qwen2VLConfig

    tower, language = recipe.tower, recipe.language
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 4, 4]}
    return Qwen2VLConfig(
        text_config=text(language, words, num_key_value_heads=2, rope_parameters=rope),
        vision_config={
            "depth": tower.layers,
            "embed_dim": tower.width,
            "hidden_size": language.width,
            "num_heads": tower.heads,
            "mlp_ratio": tower.hidden // tower.width,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=number(words, PAD),
        video_token_id=number(words, VIDEO),
        vision_start_token_id=number(words, START),
        vision_end_token_id=number(words, END),
        tie_word_embeddings=False,
    )


def pictures() -> Any:
    """All pictures scaled to 64 px."""
    from transformers import Qwen2VLImageProcessorPil

    # As `size`: the library writes `min_pixels` into one dictionary that all processors share.
    area = {"shortest_edge": SIZE * SIZE, "longest_edge": SIZE * SIZE}
    return Qwen2VLImageProcessorPil(patch_size=PATCH, merge_size=2, temporal_patch_size=2, size=area)


def look(model: nn.Module, shown: Tensors) -> Tensor:
    """What the merger makes of the last layer."""
    merged = model.model.visual(shown["pixel_values"], grid_thw=shown["image_grid_thw"]).pooler_output
    return merged.view(-1, _CELLS * _CELLS, merged.shape[-1])


def positions(model: nn.Module, packed: Packed, shown: Tensors) -> Tensor:
    """Position ids of three axes [axis, row, token]: a picture advances the count by its longer side alone."""
    is_image = (packed.ids == model.config.image_token_id).int()
    asked = packed.segments != PADDING
    plain, _ = model.model.get_rope_index(packed.ids, is_image, shown["image_grid_thw"], attention_mask=asked)
    is_head = packed.segments == HEAD
    # By how much the text behind the picture counts less than its place in the row says.
    heads = is_head.sum(1)
    rows = torch.arange(len(heads))
    shift = plain[0, rows, heads] - heads
    return torch.where(is_head, plain, packed.positions + shift[:, None])


BODY = Body(
    family="qwen2_vl",
    special=Special((*QWEN, START, END, PAD, VIDEO, "<pad>"), begin="", end="<|im_end|>", unknown=""),
    config=config,
    pictures=pictures,
    eyes="model.visual",
    look=look,
    patch=2 * PATCH,
    positions=positions,
    about="""- Vision: a tower of its own; patches merged two by two, 16 image tokens.
- Language model: Qwen2 with positions of three axes.""",
)
