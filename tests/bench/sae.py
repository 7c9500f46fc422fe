"""One training step of an autoencoder: sparse products against plain autograd and eai-sparsify, in one process.

    python tests/bench/sae.py [--tokens 512] [--repeats 5] [--sparsify FOLDER]

Times are CPU seconds in one thread of forward and backward, the smallest of the repeats, taken in turn; the floor is
the encoder's product alone. A column gives the largest relative difference of any gradient from plain autograd.
eai-sparsify is no requirement. It is read from FOLDER, where pip install --no-deps --target FOLDER eai-sparsify==1.3.3
simple-parsing docstring-parser einops natsort schedulefree puts it; without it its line is left out.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor

from vlmscope.multimodal_sae.coder import sae

# d, F, k
SIZES = ((512, 16384, 32), (1024, 32768, 32), (512, 16384, 128))
Step = Callable[[], tuple[Tensor, ...]]


def gradients(total: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of the encoder, its bias, the decoder and its bias."""
    return torch.autograd.grad(total, weights)


def ours(coder: sae.SparseCoder, x: Tensor) -> tuple[Tensor, ...]:
    """The step as it is trained."""
    return gradients(coder(x).fvu, [coder.encoder.weight, coder.encoder.bias, coder.W_dec, coder.b_dec])


def dense(coder: sae.SparseCoder, x: Tensor) -> tuple[Tensor, ...]:
    """The same through [token, latent] matrices."""
    pre = coder.pre(x)
    values, index = pre.topk(coder.config.k, sorted=False)
    out = torch.zeros_like(pre).scatter(1, index, values) @ coder.W_dec + coder.b_dec
    fvu = (out - x).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    return gradients(fvu, [coder.encoder.weight, coder.encoder.bias, coder.W_dec, coder.b_dec])


def peer(folder: str, coder: sae.SparseCoder, x: Tensor) -> Step | None:
    """The step of eai-sparsify with the same weights; None where it is not there."""
    if folder:
        sys.path.insert(0, folder)
    try:
        from sparsify import SparseCoder, SparseCoderConfig
    except ImportError as error:
        print(f"eai-sparsify is left out: {error}")
        return None
    other = SparseCoder(coder.config.d, SparseCoderConfig(num_latents=coder.config.latents, k=coder.config.k))
    other.load_state_dict(coder.state_dict())
    return lambda: gradients(other(x).fvu, [other.encoder.weight, other.encoder.bias, other.W_dec, other.b_dec])


def seconds(step: Step) -> float:
    """CPU time of one call."""
    start = time.process_time()
    step()
    return time.process_time() - start


def difference(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> float:
    """Largest relative difference of any gradient."""
    return max(float((one - other).norm() / other.norm()) for one, other in zip(found, wanted, strict=True))


def main() -> None:
    """Print one line per size and implementation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sparsify", default="")
    told = parser.parse_args()
    torch.set_num_threads(1)
    for d, latents, k in SIZES:
        coder = sae.SparseCoder(sae.Config(d, latents, k), seed=0)
        x = torch.randn(told.tokens, d, generator=torch.Generator().manual_seed(1))
        steps: dict[str, Step] = {"ours": lambda c=coder, x=x: ours(c, x), "dense": lambda c=coder, x=x: dense(c, x)}
        if step := peer(told.sparsify, coder, x):
            steps["eai-sparsify"] = step
        wanted = steps["dense"]()
        apart = {name: difference(step(), wanted) for name, step in steps.items()}
        steps["floor"] = lambda c=coder, x=x: (x @ c.encoder.weight.detach().T,)
        times = [{name: seconds(step) for name, step in steps.items()} for _ in range(told.repeats)]
        least = {name: min(one[name] for one in times) for name in steps}
        print(f"d {d}, {latents} latents, k {k}, {told.tokens} tokens; product alone {1000 * least['floor']:.0f} ms")
        for name, value in apart.items():
            ratio = least[name] / least["ours"]
            print(f"  {name:12} {1000 * least[name]:6.0f} ms  {ratio:5.2f} x ours  gradients differ by {value:.1e}")


if __name__ == "__main__":
    main()
