"""InstructBLIP: EVA tower, a Q-Former that reads the question too, Vicuna decoder (mmneuron.md 4.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmscope.models import parts
from vlmscope.models.base import Family, ModelConfig, Site


def qformer_layers(config: ModelConfig) -> int:
    """Blocks of the Q-Former."""
    return config.qformer_config.num_hidden_layers


def qformer_units(config: ModelConfig) -> int:
    """Units of either branch of a Q-Former MLP."""
    return config.qformer_config.intermediate_size


def qformer_width(config: ModelConfig) -> int:
    """Width of a query."""
    return config.qformer_config.hidden_size


def last_text_branch(config: ModelConfig) -> frozenset[int]:
    """The text branch of the last Q-Former block: only its queries are handed on."""
    return frozenset({qformer_layers(config) - 1})


def image_token(config: ModelConfig) -> int:
    """The id that stands for one query; revisions before late 2024 lack it (mmneuron.md 4.2)."""
    return config.image_token_index


def vision_positions(config: ModelConfig, processor: Any, width: int, height: int) -> int:
    """CLS and patches of the one view, whatever the picture: 257 in the published model."""
    return parts.patches(config) + 1


@dataclass(frozen=True)
class QuestionAware:
    """The processor of transformers with two rules of its own.

    The text must not hold `<image>`: the queries are put in front by the processor itself, before BOS. In the released
    code it is read as words, by the decoder and by the Q-Former [differs: mmneuron.md 8 #25].
    The Q-Former counts its positions from the first token, padding included: its text is always padded on the right.
    """

    inner: Any

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the language model."""
        return self.inner.tokenizer

    def __call__(self, *, images: Sequence[Any], text: Sequence[str], **options: Any) -> Any:
        """Tensors of several prompts and pictures."""
        bare = [prompt.replace("<image>\n", "").replace("<image>", "") for prompt in text]
        tensors = self.inner(images=list(images), text=bare, **options)
        if options.get("padding_side") == "left":
            questions = self.inner.qformer_tokenizer(bare, **{**options, "padding_side": "right"})
            tensors["qformer_input_ids"] = questions["input_ids"]
            tensors["qformer_attention_mask"] = questions["attention_mask"]
        return tensors


def processor(folder: Path, config: ModelConfig) -> Any:
    """Pillow image processor and both tokenizers; the number of queries comes from the model."""
    from transformers import AutoTokenizer, BlipImageProcessorPil, InstructBlipProcessor

    inner = InstructBlipProcessor(
        image_processor=BlipImageProcessorPil.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        qformer_tokenizer=AutoTokenizer.from_pretrained(folder / "qformer_tokenizer"),
        num_query_tokens=config.num_query_tokens,
    )
    return QuestionAware(inner)


def branch(name: str, stream: str, **rest: Any) -> Site:
    """The gate of one branch of the Q-Former's MLPs; `name` ends both of its modules' names."""
    block = "qformer.encoder.layer.{l}"
    gate, columns = f"{block}.intermediate{name}.intermediate_act_fn", f"{block}.output{name}.dense"
    return Site(gate, "output", qformer_layers, qformer_units, stream, columns, **rest)


FAMILY = Family(
    name="instructblip",
    model_class="InstructBlipForConditionalGeneration",
    processor=processor,
    sites={
        **parts.decoder("language_model.model"),
        **parts.unembedding("language_model.lm_head"),
        **parts.tower("vision_model.encoder.layers.{l}"),
        "qformer_gate": branch("", "projector", inert=last_text_branch, real="qformer_attention_mask"),
        "query_gate": branch("_query", "projector"),
        "qformer_out": Site("language_projection", "input", parts.one, qformer_width, "projector"),
        "image_embeds": Site("language_projection", "output", parts.one, parts.text_width, "projector"),
    },
    template="{prompt}",
    # As the released code of MMNeuron words it (mmneuron.md 5.7).
    wording={
        "<image>\n": "<image>",
        "Context: N/A": "",
        "\nAnswer the question using a single word or phrase.": " Short Answer:",
    },
    image_token=image_token,
    vision_positions=vision_positions,
    norm="language_model.model.norm",
    head="language_model.lm_head",
    without={"projector_gate": "its projector is a single matrix; see `qformer_gate`, `query_gate`"},
)
