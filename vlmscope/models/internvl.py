"""InternVL: InternViT tower over tiles and a thumbnail, pixel shuffle, two-layer projector, Qwen2 decoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig

MARK = "<IMG_CONTEXT>"


class Tiled(parts.Marked):
    """Pictures become tensors only after their tiles are put in a row: the library counts the tiles with numpy."""

    def __call__(self, *, images: Sequence[Any], text: Sequence[str], **options: Any) -> Any:
        """Tensors of several prompts and pictures."""
        kind = options.pop("return_tensors", None)
        return super().__call__(images=images, text=text, **options).convert_to_tensors(kind)


def patches(config: ModelConfig) -> int:
    """Patches of one tile, without the class token."""
    vision = config.vision_config
    return (vision.image_size[0] // vision.patch_size[0]) * (vision.image_size[1] // vision.patch_size[1])


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """CLS and patches of all tiles the checkpoint allows, and of a thumbnail where there is more than one."""
    # The processor of transformers always asks for tiles, whatever the image processor's own setting.
    tiles = processor.inner.image_processor.get_number_of_image_patches(height, width, {"crop_to_patches": True})
    return tiles * (patches(config) + 1)


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and tokenizer, without video; the image tokens of a tile follow from the model."""
    from transformers import AutoTokenizer, GotOcr2ImageProcessorPil, InternVLProcessor

    pictures, words = GotOcr2ImageProcessorPil.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    length = int(patches(config) * config.downsample_ratio**2)
    return Tiled(parts.without_video(InternVLProcessor, pictures, words, image_seq_length=length), MARK)


FAMILY = Family(
    name="internvl",
    model_class="InternVLForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("model.language_model"),
        **parts.unembedding("lm_head"),
        **parts.tower("model.vision_tower.encoder.layer.{l}", inert=parts.unused_vision_layers),
        **parts.projector("model.multi_modal_projector"),
    },
    template="<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n",
    image_token=parts.image_token,
    vision_positions=vision_positions,
    norm="model.language_model.norm",
    head="lm_head",
)
