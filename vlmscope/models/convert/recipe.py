"""What has to be known to turn an official release into a folder that transformers loads."""

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# A transformers configuration object and tensors; kept loose so that rules can ask for file names without torch.
ModelConfig = Any
Tensors = Mapping[str, Any]
PACKAGE = "vlmscope.models.convert"


@dataclass(frozen=True)
class Source:
    """A part of the weights.

    files      names below the folder of the release, patterns allowed
    rename     patterns of official names and what they become, the first that fits counts
    dropped    patterns of official names that are not kept, because they are computed or not used
    fallback   only what no source before has
    """

    files: str
    rename: Sequence[tuple[str, str]] = ((r"", r""),)
    dropped: Sequence[str] = ()
    fallback: bool = False

    def name(self, official: str) -> str | None:
        """Our name of an official tensor; None where it is not kept, and the official one where no pattern fits."""
        if any(re.search(one, official) for one in self.dropped):
            return None
        for pattern, ours in self.rename:
            if re.search(pattern, official):
                return re.sub(pattern, ours, official, count=1)
        return official


@dataclass(frozen=True)
class Recipe:
    """How the release of one family becomes a folder of its model class.

    sources    where the weights are, in the order of precedence
    config     folder of the release -> configuration
    texts      (folder of the release, target) -> None: writes tokenizer and image processor
    beside     subfolder -> repository, revision and patterns of what the official code reads too
    added      configuration -> tensors that no file holds
    """

    sources: Sequence[Source]
    config: Callable[[Path], ModelConfig]
    texts: Callable[[Path, Path], None]
    beside: Mapping[str, tuple[str, str, Sequence[str]]] = field(default_factory=dict)
    added: Callable[[ModelConfig], Tensors] = lambda config: {}

    @property
    def pickles(self) -> list[str]:
        """Names of the pickled files, patterns allowed."""
        return [one.files for one in self.sources if one.files.endswith(".bin")]


def recipe(family: str) -> Recipe:
    """The recipe in `vlmscope/models/convert/<family>.py`; that of `plain` where there is none."""
    known = importlib.util.find_spec(f"{PACKAGE}.{family}") is not None
    return importlib.import_module(f"{PACKAGE}.{family if known else 'plain'}").RECIPE


def chosen(official: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The entries of an official configuration that go by these names; what is null there is left to the defaults."""
    return {name: official[name] for name in names if official.get(name) is not None}
