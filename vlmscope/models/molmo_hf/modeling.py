"""Molmo as a class of transformers; parameters keep the released names, so official files load (xl_vlms.md 4.4)."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from vlmscope.errors import VlmscopeError
from vlmscope.models.molmo_hf.configuration import MolmoConfig
from vlmscope.models.molmo_hf.decoder import AttentionCore, Decoder, MolmoBlock, SplitEmbedding
from vlmscope.models.molmo_hf.vision import VisionBackbone, VisionTransformer


class MolmoPreTrainedModel(PreTrainedModel):
    """What both classes share."""

    config: MolmoConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["MolmoBlock", "VisionBackbone", "SplitEmbedding"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": MolmoBlock, "attentions": AttentionCore}  # noqa: RUF012

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SplitEmbedding | VisionTransformer | VisionBackbone):
            for value in module.parameters(recurse=False):
                init.normal_(value, std=self.config.initializer_range)


class MolmoModel(MolmoPreTrainedModel):
    """Vision backbone and decoder; the unembedding lies inside the decoder, where the release keeps it."""

    def __init__(self, config: MolmoConfig) -> None:
        super().__init__(config)
        self.transformer = Decoder(config)
        self.vision_backbone = VisionBackbone(config)
        self.rotary_emb = LlamaRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The input table."""
        return self.transformer.wte

    def merge(
        self, input_ids: Tensor, pixel_values: Tensor, image_masks: Tensor | None, image_input_idx: Tensor
    ) -> Tensor:
        """Embeddings [sample, token, d] with image features added where `image_input_idx` points."""
        embeds = self.transformer.wte(input_ids)
        if int(image_input_idx.max()) >= embeds.shape[1]:
            raise VlmscopeError(
                f"A picture belongs to token {int(image_input_idx.max())} of {embeds.shape[1]}.",
                where="image_input_idx",
                instead="places within input_ids, padding on the left counted, as MolmoProcessor gives them",
            )
        # Crops that only fill up a batch stand nowhere; leaving them out saves time and keeps them out of counts.
        is_used = (image_input_idx >= 0).any(-1)
        masks = None if image_masks is None else image_masks[is_used]
        # The backbone of a model spread over GPUs may lie on another than the table.
        features = self.vision_backbone(pixel_values[is_used].to(self.dtype), masks).to(embeds)
        row, _, _ = (image_input_idx >= 0).nonzero(as_tuple=True)
        places = image_input_idx[image_input_idx >= 0] + row * embeds.shape[1]
        shown = features[image_input_idx[is_used] >= 0]
        return embeds.flatten(0, 1).index_add(0, places, shown).view_as(embeds)

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
        image_masks: Tensor | None = None,
        image_input_idx: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """The normed residual stream after the last block.

        input_ids         int64 [sample, token]
        pixel_values      [sample, crop, patch, value]   patches already cut
        image_masks       [sample, crop, patch]          share of a patch that shows the picture; None: all of it
        image_input_idx   int64 [sample, crop, cell]     token of each pooled cell, negative for none
        inputs_embeds     [sample, token, d]             instead of the four above
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds.")
        if (pixel_values is None) != (image_input_idx is None) or (input_ids is None and pixel_values is not None):
            raise ValueError("Give pixel_values and image_input_idx together, beside input_ids.")
        if pixel_values is not None:
            inputs_embeds = self.merge(input_ids, pixel_values, image_masks, image_input_idx)
        elif inputs_embeds is None:
            inputs_embeds = self.transformer.wte(input_ids)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            position_ids = _positions(inputs_embeds, attention_mask, past_key_values)
        settings = {
            "attention_mask": create_causal_mask(
                self.config, inputs_embeds, attention_mask, past_key_values, position_ids
            ),
            "position_ids": position_ids,
            "position_embeddings": self.rotary_emb(inputs_embeds.float(), position_ids=position_ids),
            "past_key_values": past_key_values,
        }
        hidden_states = inputs_embeds
        for block in self.transformer.blocks:
            hidden_states = block(hidden_states, **settings, **kwargs)
        return BaseModelOutputWithPast(self.transformer.ln_f(hidden_states), past_key_values)


def _positions(embeds: Tensor, attention_mask: Tensor | None, past_key_values: Cache | None) -> Tensor:
    """Number of each token among those that are not padding, for the tokens behind the cache."""
    start = 0 if past_key_values is None else past_key_values.get_seq_length()
    if attention_mask is None or attention_mask.ndim != 2:
        return torch.arange(start, start + embeds.shape[1], device=embeds.device)[None]
    return (attention_mask.long().cumsum(1) - 1).clamp(min=0)[:, -embeds.shape[1] :]


class MolmoForConditionalGeneration(MolmoPreTrainedModel, GenerationMixin):
    """Molmo with logits."""

    def __init__(self, config: MolmoConfig) -> None:
        super().__init__(config)
        self.model = MolmoModel(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The input table."""
        return self.model.transformer.wte

    def get_output_embeddings(self) -> nn.Module:
        """The unembedding."""
        return self.model.transformer.ff_out

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_masks: Tensor | None = None,
        image_input_idx: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits [sample, token, V] of the last `logits_to_keep` positions (0: all); see `MolmoModel.forward`."""
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            image_masks=image_masks,
            image_input_idx=image_input_idx,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.model.transformer.ff_out(outputs.last_hidden_state[:, kept])
        loss = None if labels is None else self.loss_function(logits, labels, vocab_size=self.config.vocab_size)
        return CausalLMOutputWithPast(loss, logits, outputs.past_key_values, outputs.hidden_states, outputs.attentions)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_masks: Tensor | None = None,
        image_input_idx: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Inputs of one step: pictures belong to the prompt."""
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        if is_first_iteration or not kwargs.get("use_cache", True):
            pictures = {"pixel_values": pixel_values, "image_masks": image_masks, "image_input_idx": image_input_idx}
            inputs |= pictures
        return inputs
