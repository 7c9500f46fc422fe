"""What families share: site tables of decoders, vision towers and projectors, and sizes read from a configuration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vlmscope.models.base import ModelConfig, Site

Size = Callable[[ModelConfig], int]
Sites = dict[str, Site]


def one(config: ModelConfig) -> int:
    """The number of layers of a site that occurs once."""
    return 1


def none(config: ModelConfig) -> frozenset[int]:
    """No layer is computed in vain."""
    return frozenset()


def text_layers(config: ModelConfig) -> int:
    """Decoder blocks."""
    return config.text_config.num_hidden_layers


def text_units(config: ModelConfig) -> int:
    """Units of a decoder MLP."""
    return config.text_config.intermediate_size


def text_width(config: ModelConfig) -> int:
    """Residual stream of the decoder."""
    return config.text_config.hidden_size


def text_heads(config: ModelConfig) -> int:
    """Attention heads of a decoder block."""
    return config.get_text_config().num_attention_heads


def vocabulary(config: ModelConfig) -> int:
    """Tokens that can be written."""
    return config.get_text_config().vocab_size


def vision_layers(config: ModelConfig) -> int:
    """Blocks of the vision tower, the unused last ones included."""
    return config.vision_config.num_hidden_layers


def vision_units(config: ModelConfig) -> int:
    """Units of a vision MLP."""
    return config.vision_config.intermediate_size


def vision_width(config: ModelConfig) -> int:
    """Residual stream of the vision tower."""
    return config.vision_config.hidden_size


def image_token(config: ModelConfig) -> int:
    """The id that stands for one image position."""
    return config.image_token_id


def patches(config: ModelConfig) -> int:
    """Patches of one view of the vision tower, without a class token."""
    return (config.vision_config.image_size // config.vision_config.patch_size) ** 2


def unused_vision_layers(config: ModelConfig) -> frozenset[int]:
    """Vision blocks above the one whose output is read: executed and recorded, without effect."""
    layers = vision_layers(config)
    used = config.vision_feature_layer + layers + 1 if config.vision_feature_layer < 0 else config.vision_feature_layer
    return frozenset(range(used, layers))


def decoder(
    root: str,
    *,
    blocks: str = "layers",
    gate: str = "mlp.act_fn",
    heads: str = "self_attn",
    attention: str = "self_attn.o_proj",
    columns: str = "mlp.down_proj",
    branch: str = "",
    norm: str = "",
    layers: Size = text_layers,
    units: Size = text_units,
    width: Size = text_width,
) -> Sites:
    """Sites of a Llama-like decoder below `root`.

    blocks     name of the list of blocks
    gate       activation module of the gate branch, inside a block
    heads      module that computes attention probabilities, inside a block
    attention  module whose output is what attention adds to the stream
    columns    module that reads the units, inside a block
    branch     module whose output is what the MLP adds to the stream, if it is not `columns`
    norm       whole path of the final norm, if it is not the decoder's `norm`
    layers, units, width   where the configuration has its sizes
    """
    block = f"{root}.{blocks}.{{l}}"
    down = f"{block}.{columns}"
    return {
        "embeds": Site(f"{root}.{blocks}.0", "input", one, width, "text"),
        "resid_pre": Site(block, "input", layers, width, "text"),
        "resid_post": Site(block, "output", layers, width, "text"),
        "attn_out": Site(f"{block}.{attention}", "output", layers, width, "text"),
        "attn_prob": Site(f"{block}.{heads}", "output", layers, text_heads, "attention"),
        "mlp_gate": Site(f"{block}.{gate}", "output", layers, units, "text", down),
        "mlp_hidden": Site(down, "input", layers, units, "text", down),
        "mlp_out": Site(f"{block}.{branch or columns}", "output", layers, width, "text"),
        "final_norm": Site(norm or root + ".norm", "output", one, width, "text"),
    }


def unembedding(path: str) -> Sites:
    """The site of the logits, where the head is."""
    return {"logits": Site(path, "output", one, vocabulary, "text")}


def tower(
    block: str,
    *,
    gate: str = "mlp.activation_fn",
    columns: str = "mlp.fc2",
    layers: Size = vision_layers,
    units: Size = vision_units,
    width: Size = vision_width,
    inert: Callable[[ModelConfig], frozenset[int]] = none,
) -> Sites:
    """Sites of a vision tower whose blocks lie at `block`, a path with `{l}`."""
    fc2 = f"{block}.{columns}"
    return {
        "vision_gate": Site(f"{block}.{gate}", "output", layers, units, "vision", fc2, inert),
        "vision_resid": Site(block, "output", layers, width, "vision", inert=inert),
    }


def projector(root: str, *, gate: str = "act", last: str = "linear_2", units: Size = text_width) -> Sites:
    """Sites of a projector of two linear layers with an activation between them."""
    columns = f"{root}.{last}"
    return {
        "projector_gate": Site(f"{root}.{gate}", "output", one, units, "projector", columns),
        "image_embeds": Site(columns, "output", one, text_width, "projector"),
    }


@dataclass(frozen=True)
class Marked:
    """A processor for prompts that mark the picture with `<image>`, one picture to a prompt.

    inner    the processor of transformers
    mark     what the family writes instead of `<image>`
    """

    inner: Any
    mark: str = "<image>"

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the language model."""
        return self.inner.tokenizer

    def __call__(self, *, images: Sequence[Any], text: Sequence[str], **options: Any) -> Any:
        """Tensors of several prompts and pictures."""
        marked = [prompt.replace("<image>", self.mark) for prompt in text]
        return self.inner(images=[[picture] for picture in images], text=marked, **options)


def without_video(kind: type, pictures: Any, words: Any, **options: Any) -> Any:
    """A processor that insists on a video processor, which would need torchvision, made without one."""

    def accept(self: Any, name: str, value: Any) -> type:
        return type(value)

    still = type(kind.__name__, (kind,), {"check_argument_for_proper_class": accept})
    video = SimpleNamespace(merge_size=2, temporal_patch_size=2, model_input_names=[])
    return still(image_processor=pictures, tokenizer=words, video_processor=video, **options)


def llava_processor(kind: Any, images: Any, folder: Path, config: ModelConfig) -> Any:
    """A processor of the LLaVA kind; geometry that old processor files lack comes from the model."""
    from transformers import AutoTokenizer

    return kind(
        image_processor=images.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
    )
