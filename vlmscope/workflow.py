"""What rules ask for: settings as stable text, resources. No engine inside."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vlmscope.config import Config, digest_ready, plain
from vlmscope.errors import VlmscopeError

NOTHING = "(?!)"

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any


def expose(root: Path) -> None:
    """Let every job find the library of this checkout, installed or not."""
    known = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    if str(root) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *known])
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))


def one_of(names: Iterable[str]) -> str:
    """A wildcard constraint that only these names meet; no name at all meets nothing."""
    return "|".join(re.escape(name) for name in names) or NOTHING


# ---- settings ---------------------------------------------------------------------------------------------------


def dig(tree: Any, path: str, wildcards: Wildcards = None) -> Any:
    """The part of nested mappings at a dotted path; names that wildcards put in may have dots of their own."""
    for part in path.split("."):
        key = fill(part, wildcards)
        if not isinstance(tree, dict) or key not in tree:
            raise VlmscopeError(
                f"The configuration has no '{fill(path, wildcards)}'.",
                where=f"at '{key}'",
                instead="see config.schema.json",
            )
        tree = tree[key]
    return tree


class Settings:
    """Reads parts of the configuration for `params`.

    A rule's params must hold just the keys it uses, in a text that changes only when a value does: Snakemake
    compares params as text. Each call returns a function of the wildcards, since a plain string with braces would
    be expanded by the engine.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.tree = plain(config)

    def __call__(self, **paths: str) -> Callable[[Wildcards], str]:
        """`settings(rate="mmneuron.identify.top_rate", model="models.{model}")` -> canonical JSON per job."""

        def text(wildcards: Wildcards) -> str:
            return digest_ready({key: dig(self.tree, path, wildcards) for key, path in paths.items()})

        return text

    def all(self, wildcards: Wildcards) -> str:
        """The whole configuration."""
        return digest_ready(self.tree)


def fill(pattern: str, wildcards: Wildcards) -> str:
    """`models.{model}` -> `models.llava`."""
    return re.sub(r"\{(\w+)\}", lambda found: getattr(wildcards, found[1]), pattern)


# ---- resources ---------------------------------------------------------------------------------------------------


class Resources:
    """Demands of a job at the chosen scale; memory and time grow with the attempt.

    devices   model -> models.*.device; a resource, so that results do not depend on the machine that made them
    """

    def __init__(self, scale: str, devices: Mapping[str, str] | None = None) -> None:
        self.scale, self.devices = scale, devices or {}

    def cpu(self, mem_gb: float = 1.5, minutes: int = 10) -> dict[str, Any]:
        """A job without a model."""
        return {"mem_mb": growing(int(1000 * mem_gb)), "runtime": growing(minutes)}

    def gpu(self, minutes: int | Callable[[Wildcards], int], mem_gb: float = 48, batch: int = 8) -> dict[str, Any]:
        """A job with a model; the tiny models need neither the memory nor the time but still ask for a GPU.

        minutes, mem_gb, batch   at paper scale; 48 GB are 1.5 times the weights of InstructBLIP 7 B in 32 bit
        """
        if self.scale == "tiny":
            minutes, mem_gb, batch = 10, 3, 32
        demands = {"gpu": self._gpus, "device": self._device, "batch": batch}
        return {**demands, "mem_mb": growing(int(1000 * mem_gb)), "runtime": growing(minutes)}

    def _device(self, wildcards: Wildcards) -> str:
        return self.devices.get(getattr(wildcards, "model", ""), "auto")

    def _gpus(self, wildcards: Wildcards) -> int:
        return int(self._device(wildcards) != "cpu")

    def threads(self, paper: int) -> int:
        """One thread at tiny scale: jobs run side by side and numbers do not depend on the core count."""
        return 1 if self.scale == "tiny" else paper


def growing(amount: int | Callable[[Wildcards], int]) -> Callable[[Wildcards, int], int]:
    """`amount` at the first attempt, twice it at the second, and so on."""

    def demand(wildcards: Wildcards, attempt: int) -> int:
        return (amount(wildcards) if callable(amount) else amount) * attempt

    return demand
