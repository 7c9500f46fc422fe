"""Edits as small files: which neurons, and what is added to their output weights or to their activations.

Format in docs/formats.md. An edit belongs to one model, by its fingerprint, and is refused by any other.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.runs import columns
from vlmscope.mm_neurons.runs.columns import Added
from vlmscope.models.load import Loaded
from vlmscope.store import tensors

FORMAT = "vlmscope.edit/1"
KINDS = {"rows", "shift"}


@dataclass(frozen=True)
class Edit:
    """A change of some neurons.

    kind    rows: added to the output weights; shift: added to what enters the down projection
    layer   int64 [k]
    unit    int64 [k]
    delta   float32 [k, d] of kind rows, [k] of kind shift
    about   source, target, method, model (its fingerprint), settings, and what else tells how it was made
    """

    kind: Literal["rows", "shift"]
    layer: np.ndarray
    unit: np.ndarray
    delta: np.ndarray
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> int:
        """How many weights it changes."""
        return self.delta.size if self.kind == "rows" else 0


def write(edit: Edit, target: str | Path) -> None:
    """Write an edit."""
    arrays = {"layer": edit.layer, "unit": edit.unit, "delta": edit.delta}
    kinds = {"layer": torch.int32, "unit": torch.int32, "delta": torch.float32}
    content = {name: torch.from_numpy(np.ascontiguousarray(one)).to(kinds[name]) for name, one in arrays.items()}
    about = json.dumps({**edit.about, "kind": edit.kind}, sort_keys=True)
    tensors.write(content, target, {"vlmscope": FORMAT, "about": about})


def read(path: str | Path) -> Edit:
    """An edit, refused where the file is not whole or none of this format."""
    wrong = VlmscopeError("This is no edit of neurons.", where=str(path), instead="delete it and run snakemake again")
    try:
        with safe_open(path, "pt") as file:
            words = file.metadata() or {}
            found = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise VlmscopeError("An edit is not there.", where=str(path), instead="snakemake " + str(path)) from None
    except (SafetensorError, OSError) as error:
        raise wrong from error
    if words.get("vlmscope") != FORMAT or set(found) != {"layer", "unit", "delta"}:
        raise wrong
    about = json.loads(words["about"])
    kind = about.pop("kind", "")
    shapes = {len(one) for one in found.values()}
    if kind not in KINDS or len(shapes) != 1 or found["delta"].ndim != (2 if kind == "rows" else 1):
        raise wrong
    return Edit(kind, found["layer"].astype(np.int64), found["unit"].astype(np.int64), found["delta"], about)


def check(edit: Edit, loaded: Loaded) -> None:
    """Refuse an edit that was made for another model, or that does not fit this one."""
    if edit.about.get("model") != loaded.about.get("fingerprint"):
        raise VlmscopeError(
            f"The edit of '{edit.about.get('source')}' was made for another model: its fingerprint is "
            f"{edit.about.get('model')}, this one's {loaded.about.get('fingerprint')}.",
            where="the edit's metadata",
            instead="make it anew for this model (rule mm_neurons_edit)",
        )
    layers, units = columns.shape(loaded)
    fits = edit.kind == "shift" or edit.delta.shape[1] == loaded.family.site("mlp_out").width(loaded.config)
    if not fits or (len(edit.layer) and not (edit.layer.max() < layers and edit.unit.max() < units)):
        raise VlmscopeError(
            f"The edit does not fit this model of {layers} layers with {units} neurons.", where="the edit's tensors"
        )


@contextlib.contextmanager
def applied(loaded: Loaded, edits: Sequence[Edit]) -> Iterator[None]:
    """Run with all edits at once, in hooks: no weight is touched."""
    with _checked(loaded, edits), columns.added(loaded, _together(edits)):
        yield


@contextlib.contextmanager
def merged(loaded: Loaded, edits: Sequence[Edit]) -> Iterator[None]:
    """The same with rows added to the weights; all of them come back bit by bit. Shifts stay hooks."""
    rows = [Added(edit.layer, edit.unit, edit.delta) for edit in edits if edit.kind == "rows"]
    with _checked(loaded, edits), columns.merged(loaded, rows):
        yield


@contextlib.contextmanager
def _checked(loaded: Loaded, edits: Sequence[Edit]) -> Iterator[None]:
    """What both have in common: every edit fits, shifts are hooks."""
    for edit in edits:
        check(edit, loaded)
    with contextlib.ExitStack() as stack:
        for edit in edits:
            if edit.kind == "shift":
                stack.enter_context(_shifted(loaded, edit))
        yield


def _together(edits: Sequence[Edit]) -> list[Added]:
    """Rows of several edits as one change; a neuron that several name gets all of theirs."""
    rows = [edit for edit in edits if edit.kind == "rows"]
    if not rows:
        return []
    parts = ([getattr(edit, name) for edit in rows] for name in ("layer", "unit", "delta"))
    return [Added(*(np.concatenate(part) for part in parts))]


@contextlib.contextmanager
def _shifted(loaded: Loaded, edit: Edit) -> Iterator[None]:
    """Add numbers to what enters the down projections, before every other hook sees it."""
    handles = []
    try:
        for layer in sorted({int(one) for one in edit.layer}):
            here = edit.layer == layer
            index, by = torch.from_numpy(edit.unit[here]), torch.from_numpy(edit.delta[here])
            handles.append(columns.module(loaded, layer).register_forward_pre_hook(_shift(index, by), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _shift(index: Tensor, by: Tensor) -> Any:
    def before(module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args[0].index_add(-1, index.to(args[0].device), by.to(args[0]).expand(*args[0].shape[:-1], -1)), *args[
            1:
        ]

    return before
