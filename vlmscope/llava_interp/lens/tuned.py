"""An affine lens: states at visual positions, mapped to what the last block makes of them, then read as words.

For every layer a matrix and a bias are fitted by ridge regression from its states to the output of the last block at
the same positions (Belrose et al., arXiv 2303.08112, train theirs by gradient descent on the divergence instead).
Layer 0 is what enters the decoder, layer l the output of block l; the last layer needs no map.
"""

from dataclasses import dataclass

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from vlmscope import lens, sweep
from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.models.load import Loaded


@torch.inference_mode()
def states(loaded: Loaded, asked: Asked, whole: bool = False) -> Tensor:
    """States at the visual positions of every layer, raw, [L + 1, V, d]; at all positions of the prompt: whole."""
    found: dict[int, Tensor] = {}
    site = loaded.family.site("resid_post")
    depth, places = site.layers(loaded.config), slice(None) if whole else slice(asked.first, asked.end)

    def see(layer: int, value: Tensor) -> None:
        found[layer] = value[0, places].to(asked.embeds.device)

    with taps.reading(loaded, site, range(depth), see):
        flags = sweep.flags(loaded, asked.ids[None])
        sweep.decoder(loaded)(inputs_embeds=asked.embeds[None], use_cache=False, logits_to_keep=1, **flags)
    return torch.stack([asked.embeds[places], *(found[layer] for layer in range(depth))])


@dataclass
class Running:
    """Sums from which the maps follow; states are never kept.

    inner   float64 [layer, d, d]   products of states with themselves
    cross   float64 [layer, d, d]   products with the final states
    total   float64 [layer, d]      states
    final   float64 [d]             final states
    count   positions
    """

    inner: Tensor
    cross: Tensor
    total: Tensor
    final: Tensor
    count: int = 0

    @classmethod
    def of(cls, layers: int, width: int, device: torch.device | str = "cpu") -> "Running":
        """Nothing seen yet."""
        kind = {"dtype": torch.float64, "device": device}
        square = torch.zeros(layers, width, width, **kind)
        return cls(square, square.clone(), torch.zeros(layers, width, **kind), torch.zeros(width, **kind))

    def add(self, found: Tensor) -> None:
        """Take in states [L + 1, V, d]."""
        final = found[-1].double()
        for layer, own in enumerate(found[:-1]):
            values = own.double()
            self.inner[layer] += values.T @ values
            self.cross[layer] += values.T @ final
            self.total[layer] += values.sum(0)
        self.final += final.sum(0)
        self.count += len(final)

    def fit(self, ridge: float) -> "Maps":
        """The maps that lose least, with a penalty on their matrices (not on the bias).

        ridge   in units of the mean variance of a layer's states
        """
        weights, biases, final = [], [], self.final / self.count
        for inner, cross, total in zip(self.inner, self.cross, self.total, strict=True):
            mean = total / self.count
            spread = inner / self.count - mean[:, None] * mean
            shared = cross / self.count - mean[:, None] * final
            unit = float(spread.diagonal().mean())
            penalty = ridge * unit * torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
            # Directions that no state takes would leave the system without a single solution.
            weight = torch.linalg.lstsq(spread + penalty, shared, driver=_driver(spread)).solution
            weights.append(weight)
            biases.append(final - mean @ weight)
        return Maps(torch.stack(weights).float(), torch.stack(biases).float())


def _driver(matrix: Tensor) -> str:
    """On a GPU only the driver for full rank is there."""
    return "gelsd" if matrix.device.type == "cpu" else "gels"


@dataclass(frozen=True)
class Maps:
    """What turns states of layers 0 .. L - 1 into final ones: state @ weight + bias.

    weight   float32 [L, d, d]
    bias     float32 [L, d]
    """

    weight: Tensor
    bias: Tensor

    def through(self, found: Tensor) -> Tensor:
        """States [L + 1, V, d], each layer mapped; the last stays as it is."""
        mapped = torch.baddbmm(self.bias[:, None].to(found.device), found[:-1].float(), self.weight.to(found.device))
        return torch.cat([mapped.to(found), found[-1:]])


@torch.inference_mode()
def best(loaded: Loaded, found: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best tokens of every layer and position, int32 [L + 1, V, k], and how far each layer is from the last.

    The distance is the divergence of the last layer's distribution from the layer's, in nats, float32 [L + 1, V].
    """
    final = lens.logits(loaded, found[-1]).float().log_softmax(-1)
    tokens, far = [], []
    for own in found:
        shares = lens.logits(loaded, own).float().log_softmax(-1)
        tokens.append(shares.topk(min(k, shares.shape[-1]), dim=-1).indices.int().cpu())
        far.append((final.exp() * (final - shares)).sum(-1).cpu())
    return torch.stack(tokens).numpy(), torch.stack(far).numpy()


def tensors(maps: Maps) -> dict[str, Tensor]:
    """As they go into a file."""
    return {"weight": maps.weight.cpu().contiguous(), "bias": maps.bias.cpu().contiguous()}


def load(path: str, loaded: Loaded) -> Maps:
    """The maps of a model, refused where they are another model's."""
    with safe_open(path, framework="pt") as file:
        weight, bias, about = file.get_tensor("weight"), file.get_tensor("bias"), file.metadata() or {}
    if about.get("fingerprint") != loaded.about["fingerprint"]:
        raise VlmscopeError(
            "The affine lens is another model's.", where=path, instead="delete it and run snakemake again"
        )
    return Maps(weight.to(loaded.device), bias.to(loaded.device))
