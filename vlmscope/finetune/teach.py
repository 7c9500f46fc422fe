"""Go on training a model: AdamW on the loss of the answers' tokens, checkpoints after the steps that are asked for."""

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from vlmscope import samples as table
from vlmscope.capture import batches, run, shard
from vlmscope.datasets import base
from vlmscope.finetune import examples, weights
from vlmscope.finetune.examples import IGNORED, Lesson
from vlmscope.models import inputs
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.session import progress

log = logging.getLogger(__name__)

FINETUNED = "vlmscope.finetuned/1"
# Longer gradients are cut to this length.
CLIP = 1.0
Picture = Callable[[Sample], Image.Image]


def finetune(
    loaded: Loaded, *, raw: str, samples: str, settings: Mapping[str, Any], batch: int, folder: str
) -> dict[str, Any]:
    """Train and write `folder`/STEP for every step that is kept; the manifest, `finetuned.json`, comes back.

    settings   a fine-tune's settings, and the dataset's kind; `saves` includes the last step
    batch      most samples that go through the model together; a step may hold more
    """
    manifest = read_manifest(raw)
    own = examples.chosen(table.read(samples), settings["words"], settings["limit"])
    benchmark = base.load(settings["kind"])
    told = examples.lessons(loaded, own, *_prompts(loaded, benchmark, settings["prompt"]))
    log.info("%d samples, %.1f tokens each", len(told), sum(len(one.tokens) for one in told) / len(told))
    shutil.rmtree(folder, ignore_errors=True)
    losses = []
    for step, loss in enumerate(learn(loaded, told, settings, batches.picture_of(manifest["root"]), batch), 1):
        losses.append(loss)
        if step in settings["saves"]:
            weights.save(loaded, Path(folder) / str(step))
            log.info("step %d: loss %.3f", step, loss)
    return {
        "format": FINETUNED,
        "base": loaded.about["fingerprint"],
        "data": manifest["digest"],
        "samples": len(told),
        "steps": settings["saves"],
        "losses": [round(one, 6) for one in losses],
    }


def _prompts(
    loaded: Loaded, benchmark: Any, style: str
) -> tuple[Callable[[Sample], str], Callable[[Sample, str], str]]:
    """A sample's prompt, and the same with its answer behind it."""
    return (
        shard.prompts(loaded, benchmark, style),
        lambda one, text: shard.prompts(loaded, benchmark, style, text)(one),
    )


def learn(
    loaded: Loaded, told: list[Lesson], settings: Mapping[str, Any], picture: Picture, most: int
) -> Iterator[float]:
    """One step after the other, the loss of each: mean over its tokens."""
    trained = weights.prepare(loaded, settings)
    log.info("%d numbers are trained", sum(one.numel() for one in trained))
    optimizer = torch.optim.AdamW(trained, lr=settings["learning_rate"], weight_decay=0.0)
    order = examples.order(len(told), settings["per_step"], settings["steps"], settings["seed"])
    with _remembering_less(loaded.model, settings["checkpointing"]):
        for rows in progress(order, settings["steps"], "steps"):
            part = [told[row] for row in rows]
            optimizer.zero_grad()
            loss = _backward(loaded, part, settings["autocast"], picture, most)
            nn.utils.clip_grad_norm_(trained, CLIP)
            optimizer.step()
            yield loss


def _backward(loaded: Loaded, part: list[Lesson], autocast: str, picture: Picture, most: int) -> float:
    """Gradients of one step, summed over the batches that it is cut into."""
    tokens, total = sum(len(one.tokens) for one in part), 0.0
    for tensors, labels in examples.batched(loaded, part, picture, most):
        with _mixed(loaded, autocast):
            loss = _summed(loaded, tensors, labels) / tokens
        loss.backward()
        total += float(loss.detach())
    return total


def _summed(loaded: Loaded, tensors: dict[str, Any], labels: Tensor) -> Tensor:
    logits = run.forward(loaded, inputs.Batch((), tensors), labels.shape[1]).logits
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def _mixed(loaded: Loaded, autocast: str) -> contextlib.AbstractContextManager[Any]:
    if autocast == "none":
        return contextlib.nullcontext()
    return torch.autocast(loaded.device.type, getattr(torch, autocast))


@contextlib.contextmanager
def _remembering_less(model: Any, checkpointing: bool) -> Iterator[None]:
    """Activations are computed again on the way back, where that is asked for."""
    if checkpointing:
        # The library heeds it in training mode only.
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
    try:
        yield
    finally:
        if checkpointing:
            model.gradient_checkpointing_disable()
            model.eval()
