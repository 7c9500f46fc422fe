"""The two towers of CLIP over pictures and texts, and its single tokens as an offline stand-in for BERTScore."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.metrics.encoders import Single
from vlmscope.models.load import Loaded, load
from vlmscope.samples import open_one


class Towers:
    """A CLIP model; features are of length one.

    model   manifest
    """

    def __init__(self, model: str | Path, *, batch: int, device: str) -> None:
        self.loaded: Loaded = load(model, device)
        self.batch = batch
        if self.loaded.family.name != "clip":
            raise VlmscopeError(
                f"The family {self.loaded.family.name} does not compare texts with pictures.",
                where=str(model),
                instead="a model of the family clip",
            )

    def images(self, references: Sequence[str], root: Path) -> np.ndarray:
        """Features of pictures, float32 [picture, d]."""
        process = self.loaded.processor.inner.image_processor
        found = []
        for start in range(0, len(references), self.batch):
            pictures = [open_one(one, root) for one in references[start : start + self.batch]]
            inputs = process(pictures, return_tensors="pt").to(self.loaded.device)
            found.append(self._features("get_image_features", **inputs))
        return self._joined(found)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Features of texts, float32 [text, d]; long ones are cut, as CLIP does."""
        tokenizer, config = self.loaded.processor.tokenizer, self.loaded.config.text_config
        cut = {"truncation": True, "max_length": config.max_position_embeddings}
        # Padding before a text would move its words to other places.
        options = {"padding": True, "padding_side": "right", **cut}
        found = []
        for start in range(0, len(texts), self.batch):
            part = list(texts[start : start + self.batch])
            inputs = tokenizer(part, return_tensors="pt", **options).to(self.loaded.device)
            kept = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            found.append(self._features("get_text_features", **kept))
        return self._joined(found)

    @property
    def name(self) -> str:
        """What checkpoint it is: a folder's or repository's last part."""
        return Path(self.loaded.about["checkpoint"]).name

    @cached_property
    def tokens(self) -> Single:
        """Vectors of single tokens of the text tower."""
        tokenizer = self.loaded.processor.tokenizer
        vectors = self.loaded.model.text_model.embeddings.token_embedding.weight.float().cpu().numpy()
        count = min(len(vectors), len(tokenizer))
        pieces = [tokenizer.decode([token], skip_special_tokens=True) for token in range(count)]
        return Single(vectors[:count], pieces)

    def ids(self, text: str) -> list[int]:
        """Numbers of a text's tokens without special ones."""
        return self.loaded.processor.tokenizer(text, add_special_tokens=False).input_ids

    def _features(self, name: str, **inputs: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            found = getattr(self.loaded.model, name)(**inputs)
        # transformers 5 gives the whole output of the tower, with the projected vector as its summary.
        vectors = found if isinstance(found, torch.Tensor) else found.pooler_output
        return torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()

    def _joined(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        width = self.loaded.config.projection_dim
        return np.concatenate([np.zeros((0, width), np.float32), *parts])
