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
    model = getattr(transformers, kind.model_class)(config).eval().requires_grad_(False)
    for name, value in model.named_parameters():
        # Zeros and ones that training would move: queries, latents, Gemma's projection.
        if name.rpartition(".")[2] in ("query_tokens", "latents", "mm_input_projection_weight"):
            value.normal_()
    with tempfile.TemporaryDirectory() as folder:
        words.save_pretrained(folder)
        words.save_pretrained(Path(folder) / "qformer_tokenizer")
        pictures.save_pretrained(folder)
        return model, kind.processor(Path(folder), config)


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


BUILDERS = {
    "llava_next": Builder(llava_next),
    "llava_next_llama3": Builder(llava_next),
    "llava": Builder(llava),
    "llava_phi": Builder(llava_phi),
    "llava_llama2": Builder(llava_llama2),
    "instructblip": Builder(instructblip, special=()),
}
