"""mPLUG-Owl2 as a class of transformers; parameters keep the names of the released checkpoint (mm_neurons.md 4.4)."""

from typing import Any

from torch import Tensor, nn
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from vlmscope.errors import VlmscopeError
from vlmscope.models.owl2.abstractor import PositionTables, VisualAbstractor
from vlmscope.models.owl2.configuration import OwlConfig
from vlmscope.models.owl2.decoder import OwlAttention, OwlDecoderLayer, modality
from vlmscope.models.owl2.names import DROPPED
from vlmscope.models.owl2.vision import VisionEmbeddings, VisionModel


class OwlPreTrainedModel(PreTrainedModel):
    """What both classes share. Initialisation asks the nearest of them, so the tables are refilled here."""

    config: OwlConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["OwlDecoderLayer", "VisionModel", "VisualAbstractor"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _keys_to_ignore_on_load_unexpected = list(DROPPED)  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": OwlDecoderLayer, "attentions": OwlAttention}  # noqa: RUF012

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, PositionTables):
            # The library builds on the meta device and leaves buffers that no file holds as random memory.
            for name, value in module.values().items():
                init.copy_(getattr(module, name), value)
        elif isinstance(module, VisionEmbeddings | VisualAbstractor):
            for value in module.parameters(recurse=False):
                init.normal_(value, std=self.config.initializer_range)


class OwlModel(OwlPreTrainedModel):
    """Vision encoder, abstractor and decoder, without the unembedding."""

    def __init__(self, config: OwlConfig) -> None:
        super().__init__(config)
        visual = config.visual_config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(OwlDecoderLayer(config, number) for number in range(config.num_hidden_layers))
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = LlamaRotaryEmbedding(config=config)
        self.vision_model = VisionModel(visual.visual_model)
        self.visual_abstractor = VisualAbstractor(visual.visual_abstractor, config.hidden_size)
        self.gradient_checkpointing = False
        self.post_init()

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """[picture, channel, row, column] to the abstractor's output [picture, image token, d]."""
        return self.visual_abstractor(self.vision_model(pixel_values.to(self.dtype)))

    def merge(self, input_ids: Tensor, pixel_values: Tensor | None) -> Tensor:
        """Embeddings [sample, token, d], pictures in the places of the image token, in reading order."""
        is_image = input_ids == self.config.image_token_id
        # The image token has no row in the table.
        embeds = self.embed_tokens(input_ids.masked_fill(is_image, 0))
        places = int(is_image.sum())
        pictures = 0 if pixel_values is None else len(pixel_values)
        if places != pictures * self.config.image_tokens:
            raise VlmscopeError(
                f"The prompts hold {places} image tokens for {pictures} pictures.",
                where="input_ids and pixel_values",
                instead=f"{self.config.image_tokens} times {self.config.image_token_id} per picture, as OwlProcessor",
            )
        if pixel_values is None:
            return embeds
        # The tower of a model spread over GPUs may lie on another than the table.
        return embeds.masked_scatter(is_image[..., None], self.get_image_features(pixel_values).to(embeds))

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        modality_indicators: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """The normed residual stream after the last block.

        input_ids             int64 [sample, token]   with the image token repeated once per image position
        pixel_values          [picture, channel, row, column]
        inputs_embeds         [sample, token, d]      instead of the two above
        modality_indicators   [sample, token]         1 = image; from `input_ids` unless given; without both all text
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds.")
        if modality_indicators is None and input_ids is not None:
            modality_indicators = input_ids == self.config.image_token_id
        if inputs_embeds is None:
            inputs_embeds = self.merge(input_ids, pixel_values)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            position_ids = _positions(inputs_embeds, past_key_values)
        settings = {
            "modality": None if modality_indicators is None else modality(modality_indicators),
            "attention_mask": create_causal_mask(
                self.config, inputs_embeds, attention_mask, past_key_values, position_ids
            ),
            "position_ids": position_ids,
            "position_embeddings": self.rotary_emb(inputs_embeds, position_ids=position_ids),
            "past_key_values": past_key_values,
            "use_cache": use_cache,
        }
        hidden_states = inputs_embeds
        for layer in self.layers:
            hidden_states = layer(hidden_states, **settings, **kwargs)
        return BaseModelOutputWithPast(self.norm(hidden_states), past_key_values)


def _positions(inputs_embeds: Tensor, past_key_values: Cache | None) -> Tensor:
    """Positions 0..T-1 over the embedded sequence, after those in the cache; padding is not told apart."""
    start = 0 if past_key_values is None else past_key_values.get_seq_length()
    return inputs_embeds.new_ones(1, inputs_embeds.shape[1]).long().cumsum(1) - 1 + start


class MPLUGOwl2ForConditionalGeneration(OwlPreTrainedModel, GenerationMixin):
    """mPLUG-Owl2 with its unembedding."""

    def __init__(self, config: OwlConfig) -> None:
        super().__init__(config)
        self.model = OwlModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """The pictures as they enter the decoder: [picture, image token, d]."""
        return self.model.get_image_features(pixel_values)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        modality_indicators: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits [sample, token, V] of the last `logits_to_keep` positions (0: all); see `OwlModel.forward`."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            modality_indicators=modality_indicators,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None if labels is None else self.loss_function(logits, labels, vocab_size=self.config.vocab_size)
        return CausalLMOutputWithPast(loss, logits, outputs.past_key_values, outputs.hidden_states, outputs.attentions)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        modality_indicators: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Inputs of one step: pictures and flags belong to the prompt, every generated token is text."""
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        if is_first_iteration or not kwargs.get("use_cache", True):
            inputs["pixel_values"] = pixel_values
        if inputs.get("inputs_embeds") is not None:
            inputs["modality_indicators"] = modality_indicators
        return inputs
