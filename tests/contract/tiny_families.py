"""A tiny, randomly initialised model of every family, with a word-level tokenizer and its real processor.

A new family adds one builder: a function of the tokenizer that returns the configuration and the image processor, with
the special tokens it needs and, where tiles depend on the shape, pictures of its own.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vlmscope.models import load
from vlmscope.models.base import family

WORDS = 80
VOCABULARY = 128
TEXT = {
    "hidden_size": 24,
    "intermediate_size": 56,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "initializer_range": 0.25,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 14,
    "patch_size": 7,
    "initializer_range": 0.6,
}
SHAPES = ((28, 28), (14, 40), (50, 13), (30, 11))
SQUARES = ((28, 28), (14, 14), (50, 50), (30, 30))
LARGE = ((84, 56), (56, 140), (112, 84), (60, 60))
SQUARE = {"size": {"shortest_edge": 14}, "crop_size": {"height": 14, "width": 14}}


@dataclass(frozen=True)
class Builder:
    """How to make the tiny model of a family.

    make      (tokenizer) -> configuration, image processor
    special   extra tokens of the tokenizer
    named     special tokens that the tokenizer has as attributes
    pictures  (width, height) of the four samples
    """

    make: Callable[[Any], tuple[Any, Any]]
    special: Sequence[str] = ("<image>",)
    named: dict[str, str] = field(default_factory=dict)
    pictures: Sequence[tuple[int, int]] = SHAPES


def tokenizer(special: Sequence[str], named: dict[str, str]) -> Any:
    """Words w0, w1, ... and special tokens; everything else is unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{number}" for number in range(WORDS))]
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=[one for one in special if one not in named.values()],
        model_input_names=["input_ids", "attention_mask"],
        **({"extra_special_tokens": named} if named else {}),
    )


def build(kind: Any, builder: Builder) -> tuple[Any, Any]:
    """Model and processor, the processor read from a folder as for a real checkpoint."""
    import transformers

    words = tokenizer(builder.special, builder.named)
    config, pictures = builder.make(words)
    torch.manual_seed(7)
    model = load._class(transformers, kind.model_class)(config).eval().requires_grad_(False)
    for name, value in model.named_parameters():
        # Zeros and ones that training would move: queries, latents, Gemma's projection.
        if name.rpartition(".")[2] in ("query_tokens", "latents", "mm_input_projection_weight"):
            value.normal_()
    with tempfile.TemporaryDirectory() as folder:
        words.save_pretrained(folder)
        words.save_pretrained(Path(folder) / "qformer_tokenizer")
        pictures.save_pretrained(folder)
        return model, kind.processor(Path(folder), config)


def loaded(name: str, **about: Any) -> load.Loaded:
    """The tiny model of a family as the library hands models around."""
    load.slim_imports()
    kind = family(name)
    return load.Loaded(*build(kind, BUILDERS[name]), kind, about)


def image_id(words: Any, token: str = "<image>") -> int:
    """The id of a special token."""
    return words.convert_tokens_to_ids(token)


# ---- LLaVA -------------------------------------------------------------------------------------------------------

POINTS = [[14, 28], [28, 14], [28, 28], [42, 14], [14, 42]]


def llava_next(words: Any) -> tuple[Any, Any]:
    """Like the golden model: 4 decoder blocks, 3 vision blocks of which the last is unused."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaNextConfig, LlavaNextImageProcessorPil

    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**VISION, projection_dim=16),
        text_config=LlamaConfig(**TEXT),
        image_token_index=image_id(words),
        image_seq_length=4,
        image_grid_pinpoints=POINTS,
    )
    return config, LlavaNextImageProcessorPil(**SQUARE, image_grid_pinpoints=POINTS)


def llava(words: Any, text: Any = None, **rest: Any) -> tuple[Any, Any]:
    """One view, 4 patches."""
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, LlamaConfig, LlavaConfig

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION, projection_dim=16),
        text_config=text or LlamaConfig(**TEXT, num_key_value_heads=2),
        image_token_index=image_id(words),
        image_seq_length=4,
        **rest,
    )
    return config, CLIPImageProcessorPil(**SQUARE)


def llava_phi(words: Any) -> tuple[Any, Any]:
    """LLaVA with a fused gate."""
    from transformers import Phi3Config

    return llava(words, Phi3Config(**TEXT | {"initializer_range": 0.2}, original_max_position_embeddings=512))


def llava_llama2(words: Any) -> tuple[Any, Any]:
    """LLaVA whose projector is linear."""
    return llava(words, projector_hidden_act="linear")


# ---- InstructBLIP ------------------------------------------------------------------------------------------------


def instructblip(words: Any) -> tuple[Any, Any]:
    """4 queries, cross-attention in every second of 4 Q-Former blocks."""
    from transformers import (
        BlipImageProcessorPil,
        InstructBlipConfig,
        InstructBlipQFormerConfig,
        InstructBlipVisionConfig,
        LlamaConfig,
    )

    narrow = {"hidden_size": 12, "intermediate_size": 32, "num_attention_heads": 2, "encoder_hidden_size": 16}
    config = InstructBlipConfig(
        vision_config=InstructBlipVisionConfig(**VISION | {"initializer_range": 0.3}),
        qformer_config=InstructBlipQFormerConfig(
            **narrow, num_hidden_layers=4, vocab_size=VOCABULARY, initializer_range=0.2
        ),
        text_config=LlamaConfig(**TEXT | {"initializer_range": 0.2}),
        num_query_tokens=4,
        image_token_index=len(words),  # the processor adds the token itself
        initializer_range=0.3,
    )
    return config, BlipImageProcessorPil(size={"height": 14, "width": 14})


# ---- Qwen and its kin --------------------------------------------------------------------------------------------

QWEN = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def llava_onevision(words: Any) -> tuple[Any, Any]:
    """A base view and up to nine tiles of 4 patches."""
    from transformers import LlavaOnevisionConfig, LlavaOnevisionImageProcessorPil, Qwen2Config, SiglipVisionConfig

    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=Qwen2Config(**TEXT, num_key_value_heads=2),
        image_token_index=image_id(words),
        video_token_index=image_id(words, "<video>"),
        image_grid_pinpoints=POINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    size = {"height": 14, "width": 14}
    return config, LlavaOnevisionImageProcessorPil(size=size, image_grid_pinpoints=POINTS)


def qwen(words: Any, kind: str, vision: dict[str, Any]) -> tuple[Any, Any]:
    """Patches of 14 pixels, merged by squares of 2 x 2."""
    import transformers

    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 1]}
    config = getattr(transformers, kind)(
        text_config={**TEXT, "num_key_value_heads": 2, "rope_parameters": rope},
        vision_config={"depth": 3, "num_heads": 2, "patch_size": 14, "initializer_range": 0.3, **vision},
        image_token_id=image_id(words, "<|image_pad|>"),
        video_token_id=image_id(words, "<|video_pad|>"),
        vision_start_token_id=image_id(words, "<|vision_start|>"),
        vision_end_token_id=image_id(words, "<|vision_end|>"),
    )
    return config, transformers.Qwen2VLImageProcessorPil()


def qwen2_vl(words: Any) -> tuple[Any, Any]:
    """Plain vision MLPs."""
    return qwen(words, "Qwen2VLConfig", {"embed_dim": 16, "hidden_size": 24, "mlp_ratio": 2})


def qwen2_5_vl(words: Any) -> tuple[Any, Any]:
    """Gated vision MLPs, windows of 2 x 2 merged patches in all blocks but the last."""
    sizes = {"hidden_size": 16, "intermediate_size": 40, "out_hidden_size": 24}
    return qwen(words, "Qwen2_5_VLConfig", {**sizes, "window_size": 56, "fullatt_block_indexes": [2]})


# ---- Idefics -----------------------------------------------------------------------------------------------------


def idefics2(words: Any) -> tuple[Any, Any]:
    """4 latents, 2 resampler blocks."""
    from transformers import Idefics2Config, MistralConfig
    from transformers.models.idefics2.configuration_idefics2 import Idefics2PerceiverConfig, Idefics2VisionConfig
    from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil

    sizes = {"hidden_size": 24, "resampler_n_latents": 4, "resampler_depth": 2, "resampler_n_heads": 2}
    config = Idefics2Config(
        vision_config=Idefics2VisionConfig(**VISION | {"image_size": 28}),
        perceiver_config=Idefics2PerceiverConfig(
            **sizes, resampler_head_dim=8, num_key_value_heads=2, initializer_range=0.25
        ),
        text_config=MistralConfig(**TEXT, num_key_value_heads=2),
        image_token_id=image_id(words),
    )
    return config, Idefics2ImageProcessorPil(size={"shortest_edge": 28, "longest_edge": 28}, do_image_splitting=False)


def idefics3(words: Any) -> tuple[Any, Any]:
    """16 patches to a tile, 4 image tokens."""
    from transformers import Idefics3Config, LlamaConfig
    from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    config = Idefics3Config(
        vision_config=Idefics3VisionConfig(**VISION | {"image_size": 28, "initializer_range": 0.3}),
        text_config=LlamaConfig(**TEXT),
        scale_factor=2,
        image_token_id=image_id(words),
        pad_token_id=0,
    )
    return config, Idefics3ImageProcessorPil(size={"longest_edge": 112}, max_image_size={"longest_edge": 28})


# ---- classes of our own -------------------------------------------------------------------------------------------


def mplug_owl2(words: Any) -> tuple[Any, Any]:
    """4 patches read by 4 queries through 2 abstractor blocks; a decoder with a branch per modality."""
    from transformers import CLIPImageProcessorPil

    from vlmscope.models.owl2.configuration import OwlConfig

    tower = {"hidden_size": 16, "intermediate_size": 40, "num_attention_heads": 2}
    config = OwlConfig(
        **TEXT | {"initializer_range": 0.2},
        visual_config={
            "visual_model": {**tower, "num_hidden_layers": 3, "image_size": 14, "patch_size": 7},
            "visual_abstractor": {
                **tower,
                "encoder_hidden_size": 16,
                "num_hidden_layers": 2,
                "grid_size": 2,
                "num_learnable_queries": 4,
            },
        },
    )
    return config, CLIPImageProcessorPil(**SQUARE)


def molmo(words: Any) -> tuple[Any, Any]:
    """A low-resolution view and up to four overlapping crops of 64 patches, pooled by 2 x 2."""
    from vlmscope.models.molmo_hf.configuration import MolmoConfig

    vision = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = MolmoConfig(
        **TEXT | {"intermediate_size": 112},
        num_key_value_heads=2,
        additional_vocab_size=8,
        overlap_margins=[2, 2],
        max_crops=4,
        vision_config={**vision, "image_size": 32, "patch_size": 4, "feature_layers": [-2, -3]},
    )
    # Its processor cuts pictures by the geometry in the configuration; there is no file of its own.
    return config, words


# ---- others ------------------------------------------------------------------------------------------------------

INTERNVL = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
GEMMA = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}


def internvl(words: Any) -> tuple[Any, Any]:
    """16 patches to a tile, 4 image tokens."""
    from transformers import GotOcr2ImageProcessorPil, InternVLConfig, InternVLVisionConfig, Qwen2Config

    vision = VISION | {"image_size": [28, 28], "patch_size": [7, 7], "initializer_range": 0.3}
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**vision, layer_scale_init_value=1.0),
        text_config=Qwen2Config(**TEXT, num_key_value_heads=2),
        image_token_id=image_id(words, "<IMG_CONTEXT>"),
    )
    return config, GotOcr2ImageProcessorPil(size={"height": 28, "width": 28})


def gemma3(words: Any) -> tuple[Any, Any]:
    """16 patches, 4 image tokens; three blocks with a window, one without."""
    from transformers import Gemma3Config, Gemma3ImageProcessorPil, Gemma3TextConfig, SiglipVisionConfig

    config = Gemma3Config(
        vision_config=SiglipVisionConfig(
            **VISION | {"image_size": 28, "initializer_range": 0.3}, vision_use_head=False
        ),
        text_config=Gemma3TextConfig(
            **TEXT,
            num_key_value_heads=2,
            head_dim=6,
            query_pre_attn_scalar=6,
            sliding_window=16,
            layer_types=["sliding_attention"] * 3 + ["full_attention"],
        ),
        mm_tokens_per_image=4,
        image_token_index=image_id(words, GEMMA["image_token"]),
        boi_token_index=image_id(words, GEMMA["boi_token"]),
        eoi_token_index=image_id(words, GEMMA["eoi_token"]),
    )
    return config, Gemma3ImageProcessorPil(size={"height": 28, "width": 28})


def clip(words: Any) -> tuple[Any, Any]:
    """Two towers."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPTextConfig, CLIPVisionConfig

    config = CLIPConfig(text_config=CLIPTextConfig(**TEXT), vision_config=CLIPVisionConfig(**VISION), projection_dim=10)
    return config, CLIPImageProcessorPil(**SQUARE)


BUILDERS = {
    "mplug_owl2": Builder(mplug_owl2, special=()),
    "molmo": Builder(molmo, special=(), pictures=((28, 28), (14, 90), (50, 13), (80, 80))),
    "llava_next": Builder(llava_next),
    "llava_next_llama3": Builder(llava_next),
    "llava": Builder(llava),
    "llava_phi": Builder(llava_phi),
    "llava_llama2": Builder(llava_llama2),
    "instructblip": Builder(instructblip, special=()),
    "llava_onevision": Builder(llava_onevision, special=("<image>", "<video>")),
    "qwen2_vl": Builder(qwen2_vl, special=QWEN, pictures=LARGE),
    "qwen2_5_vl": Builder(qwen2_5_vl, special=QWEN, pictures=LARGE),
    "idefics3": Builder(idefics3, special=("<image>", "<fake_token_around_image>", "<end_of_utterance>")),
    "internvl": Builder(internvl, special=tuple(INTERNVL.values()), named=INTERNVL),
    "gemma3": Builder(gemma3, special=tuple(GEMMA.values()), named=GEMMA),
    "clip": Builder(clip, special=()),
    "idefics2": Builder(
        idefics2, special=("<image>", "<fake_token_around_image>", "<end_of_utterance>"), pictures=SQUARES
    ),
}
