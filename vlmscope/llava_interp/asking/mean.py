"""The mean visual token, from a stream: sums are kept, tokens never (llava_interp.md 2.1)."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from vlmscope.capture.batches import picture_of
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import prompts
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import read
from vlmscope.session import progress
from vlmscope.store import tensors as stored
from vlmscope.store import torch_files

log = logging.getLogger(__name__)

PICTURES = (".jpg", ".jpeg", ".png")
# Lengths of tokens are counted between powers of 2 to the quarter, from 2 ** -8 to 2 ** 12.
EDGES = 2.0 ** np.arange(-8, 12.25, 0.25)


@dataclass
class Running:
    """Sums over visual tokens.

    total, squares   float64 [d]
    lengths          int64 [bin]   tokens whose length lies between two of `EDGES`; shorter and longer ones at the ends
    count            tokens
    """

    total: Tensor
    squares: Tensor
    lengths: np.ndarray
    count: int = 0

    @classmethod
    def of(cls, width: int) -> "Running":
        """Nothing seen yet."""
        zeros = torch.zeros(width, dtype=torch.float64)
        return cls(zeros, zeros.clone(), np.zeros(len(EDGES) + 1, np.int64))

    def add(self, states: Tensor) -> None:
        """Take in tokens, float [token, d]."""
        values = states.double().cpu()
        self.total += values.sum(0)
        self.squares += (values * values).sum(0)
        self.lengths += np.bincount(np.searchsorted(EDGES, values.norm(dim=-1).numpy()), minlength=len(EDGES) + 1)
        self.count += len(values)

    def mean(self) -> Tensor:
        """float64 [d]."""
        return self.total / max(1, self.count)

    def deviation(self) -> Tensor:
        """Standard deviation of each number, float64 [d]."""
        return (self.squares / max(1, self.count) - self.mean() ** 2).clamp(min=0).sqrt()


def visual_tokens(loaded: Loaded, pictures: Sequence[Image.Image]) -> Tensor:
    """What the projector makes of pictures, float [picture, V, d]."""
    asked = prompts.prepare(loaded, ["<image>"] * len(pictures), pictures, len(pictures))
    return torch.stack([one.embeds[one.first : one.end] for one in asked])


def from_files(
    loaded: Loaded, *, raw: str, samples: str, settings: Mapping[str, Any], batch: int
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of the file and what is told of them.

    settings   folder: pictures instead of the samples; most: pictures at most; 0 for all
    """
    seen = prompts.view(loaded)
    width = loaded.family.site("embeds").width(loaded.config)
    pictures = list(_pictures(raw, samples, settings["folder"]))[: settings["most"] or None]
    if not pictures:
        raise VlmscopeError("There is no picture.", where=settings["folder"] or samples, instead="some pictures")
    size = len(pictures) * seen.grid**2 * width * 4 / 1e9
    log.info("%d pictures; their visual tokens would take %.3g GB as float32, and are not stored.", len(pictures), size)
    running, starts = Running.of(width), range(0, len(pictures), batch)
    for start in progress(starts, len(starts), "batches"):
        running.add(visual_tokens(loaded, [one() for one in pictures[start : start + batch]]).flatten(0, 1))
    tensors = {
        "mean": running.mean().float(),
        "deviation": running.deviation().float(),
        "lengths": torch.from_numpy(running.lengths),
        "edges": torch.from_numpy(EDGES),
    }
    about = {"pictures": len(pictures), "tokens": running.count, "folder": Path(settings["folder"]).name}
    return tensors, about | {"fingerprint": loaded.about["fingerprint"], "source": "computed"}


def vector(
    loaded: Loaded, *, published: Sequence[str], raw: str, samples: str, settings: Mapping[str, Any], batch: int
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A published vector where there is one, else that of the pictures; see `from_files`."""
    if published:
        tensors, about = imported(published[0], loaded.family.site("embeds").width(loaded.config))
        return tensors, about | {"fingerprint": loaded.about["fingerprint"]}
    return from_files(loaded, raw=raw, samples=samples, settings=settings, batch=batch)


def _pictures(raw: str, samples: str, folder: str) -> Iterator[Any]:
    """Functions that open one picture each, in a fixed order."""
    if not folder:
        picture = picture_of(read_manifest(raw)["root"])
        yield from (lambda one=one: picture(one) for one in read(samples))
        return
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() in PICTURES:
            yield lambda path=path: Image.open(path).convert("RGB")


def imported(path: str, width: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A published vector, a PyTorch file with one tensor, opened as data; see `torch_files`."""
    found = torch_files.read(path)
    if not isinstance(found, np.ndarray) or found.shape != (width,) or not np.isfinite(found).all():
        raise VlmscopeError(
            f"This is no vector of {width} numbers.", where=path, instead="the mean vector of the same model"
        )
    return {"mean": torch.from_numpy(found).float()}, {"source": "imported", "file": Path(path).name}


def write(tensors: Mapping[str, Tensor], about: Mapping[str, Any], target: str) -> None:
    """Write the vector with what is told of it."""
    stored.write(tensors, target, {key: str(value) for key, value in about.items()})


def load(path: str, loaded: Loaded) -> Tensor:
    """The mean vector of a model, float32 [d], refused where it is another model's."""
    with safe_open(path, framework="pt") as file:
        found, about = file.get_tensor("mean"), file.metadata() or {}
    width = loaded.family.site("embeds").width(loaded.config)
    others = about.get("fingerprint", loaded.about["fingerprint"]) != loaded.about["fingerprint"]
    if found.shape != (width,) or others:
        raise VlmscopeError(
            "The mean vector is another model's.", where=path, instead="delete it and run snakemake again"
        )
    return found.to(loaded.device)
