"""What turns states into words: the unembedding and every token's text, in one small file per model.

Format in docs/formats.md; steps without a model read it, and need neither weights nor a tokenizer.
"""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlmscope.store import hdf5

log = logging.getLogger(__name__)

FORMAT = "vlmscope.vocabulary/1"


class Vocabulary(NamedTuple):
    """Tokens that a model can write.

    unembedding  float32 [V, D]
    gain         float32 [D]   factors of the norm before the unembedding
    pieces       [V]           every token decoded alone, empty for special ones
    """

    unembedding: np.ndarray
    gain: np.ndarray
    pieces: list[str]

    def logits(self, states: np.ndarray) -> np.ndarray:
        """Logits of states behind the final norm, float32 [M, V]."""
        return states.astype(np.float32) @ self.unembedding.T


def load(model: str | Path) -> Vocabulary:
    """The vocabulary of a checkpoint; the model itself is not loaded, as it is in the released code.

    [differs: xl_vlms.md 8 #27]
    model   its manifest
    """
    from vlmscope.models import written

    kind, _, tokenizer, weights = written.opened(model, whose="states", where="run.xl_vlms")
    # A tied head is that of the embeddings, which lie beside the final norm.
    rows = weights.read(kind.head, kind.norm.rpartition(".")[0] + ".embed_tokens").float().numpy()
    gain = weights.read(kind.norm).float().numpy() + np.float32(kind.norm_offset)
    pieces = written.texts(tokenizer, min(len(rows), len(tokenizer)))
    log.info("%d tokens of %d units", len(pieces), rows.shape[1])
    return Vocabulary(rows[: len(pieces)], gain, pieces)


def write(found: Vocabulary, target: str | Path, recipe: dict[str, Any]) -> None:
    """Write a vocabulary; half precision where all of it fits."""
    with hdf5.published(target, FORMAT, recipe) as file:
        file["unembedding"], file["gain"] = hdf5.half(found.unembedding), found.gain
        # As JSON: texts of HDF5 end at a zero byte, and byte-level vocabularies have one.
        file["pieces"] = np.frombuffer(json.dumps(found.pieces).encode(), np.uint8)


def read(path: str | Path) -> Vocabulary:
    """Read a vocabulary."""
    with hdf5.opened(path, FORMAT, "vocabulary") as file:
        pieces = json.loads(file["pieces"][()].tobytes())
        return Vocabulary(file["unembedding"][()].astype(np.float32), file["gain"][()], pieces)
