"""A small network that reads a state of the prompt and writes the vector to steer with (xl_vlms.md 2.11).

g(c) = W2 tanh(W1 c + b)    c [D], W1 [H, D], b [H], W2 [D, H]
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import arrays

KEYS = ("encoder.weight", "encoder.bias", "decoder.weight")
# One of the released files keeps the weights in a table within.
NESTED = "steering_model"


class Net(NamedTuple):
    """Weights, float32, under their released names with the point as an underscore.

    encoder_weight   [H, D]
    encoder_bias     [H]
    decoder_weight   [D, H]
    """

    encoder_weight: np.ndarray
    encoder_bias: np.ndarray
    decoder_weight: np.ndarray

    def vectors(self, states: np.ndarray) -> np.ndarray:
        """g of every state, float32 [N, D]."""
        if states.shape[1:] != self.encoder_weight.shape[1:]:
            raise VlmscopeError(
                f"The states have {states.shape[1]} units, the net reads {self.encoder_weight.shape[1]}.",
                where="a learned steering net",
                instead="a net that was trained on states of this model",
            )
        return np.tanh(states @ self.encoder_weight.T + self.encoder_bias) @ self.decoder_weight.T


def write(net: Net, target: str | Path, about: Mapping[str, str]) -> None:
    """Weights as safetensors, under their released names."""
    arrays.write(dict(zip(KEYS, net, strict=True)), target, about)


def read(path: str | Path) -> Net:
    """A net from its file: one written here, or a released one."""
    found = _released(path) if str(path).endswith((".pt", ".pth")) else arrays.read(path)[0]
    return from_weights(found, path)


def from_weights(found: Mapping[str, np.ndarray], where: str | Path) -> Net:
    """A net from weights by name, refused where they do not fit together."""
    shapes = {key: found[key].shape for key in KEYS if key in found}
    fit = set(found) == set(KEYS) and shapes[KEYS[0]] == shapes[KEYS[2]][::-1]
    if not fit or shapes[KEYS[1]] != shapes[KEYS[0]][:1]:
        there = ", ".join(f"{key} {tuple(value.shape)}" for key, value in found.items())
        raise VlmscopeError(
            f"These are no weights of a steering net: {there}.",
            where=str(where),
            instead="encoder.weight [H, D], encoder.bias [H], decoder.weight [D, H]",
        )
    return Net(*(np.asarray(found[key], dtype=np.float32) for key in KEYS))


def _released(path: str | Path) -> dict[str, np.ndarray]:
    from vlmscope.store import torch_files

    content = torch_files.read(path)
    return dict(content.get(NESTED, content))
