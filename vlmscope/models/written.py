"""What a checkpoint writes with: its tokenizer and its weights, without the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.models.base import Family, ModelConfig, family
from vlmscope.models.load import model_class, slim_imports
from vlmscope.store import files
from vlmscope.store.weights import Weights


class Written(NamedTuple):
    """Parts of a checkpoint that words are made of."""

    kind: Family
    config: ModelConfig
    tokenizer: Any
    weights: Weights


class Shape(NamedTuple):
    """What a checkpoint says of itself beside its weights."""

    kind: Family
    folder: Path
    config: ModelConfig

    @property
    def processor(self) -> Any:
        """What makes inputs of prompts and pictures."""
        return self.kind.processor(self.folder, self.config)

    def layers(self, site: str) -> int:
        """How often the model has a site."""
        return self.kind.site(site).layers(self.config)

    def width(self, site: str) -> int:
        """Numbers per position at a site."""
        return self.kind.site(site).width(self.config)


def opened(model: str | Path, *, whose: str, where: str) -> Written:
    """The parts behind a manifest; the model itself is not loaded.

    whose, where   for a family that writes no text: what has no words then, and the setting that names the model
    """
    about = files.read_json(model)
    kind = family(about["family"])
    if not kind.head:
        raise VlmscopeError(
            f"The family {kind.name} writes no text, so its {whose} have no words.",
            where=where,
            instead="a model with a language decoder",
        )
    shape = shaped(about)
    return Written(kind, shape.config, shape.processor.tokenizer, Weights(shape.folder, about["dtype"]))


def shaped(about: Mapping[str, Any]) -> Shape:
    """What a manifest `about` a checkpoint leads to without its weights, for families that write no text too."""
    folder, kind = Path(about["folder"]), family(about["family"])
    slim_imports()
    config = model_class(kind).config_class.from_pretrained(folder, local_files_only=True)
    return Shape(kind, folder, config)


def texts(tokenizer: Any, count: int) -> list[str]:
    """Each of the first tokens decoded alone; special ones give an empty text."""
    return [tokenizer.decode([token], skip_special_tokens=True) for token in range(count)]


def unembedding(weights: Weights, family: Family, fold_norm: bool = False) -> Tensor:
    """Rows u_t, float32 [V, d]; with `fold_norm` times the gain of the final norm."""
    # A tied head is that of the embeddings, which lie beside the final norm.
    rows = weights.read(family.head, family.norm.rpartition(".")[0] + ".embed_tokens").float()
    return rows * gain(weights.read(family.norm), family) if fold_norm else rows


def gain(weight: Tensor, family: Family) -> Tensor:
    """Factors of the final norm from its weight, float32 [d]."""
    return weight.float() + family.norm_offset
