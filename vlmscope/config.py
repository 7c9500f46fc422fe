"""The whole configuration as typed classes; `config.yaml` and `config.schema.json` are printed from them.

Every key has a default (the embedded, offline scale), bounds and one sentence. Settings of the machine (threads,
memory, partitions, batch size) are not here: they are resources of the rules. A model's device is here, since models
differ in it, and becomes a resource too: no result depends on it.
"""

import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from vlmscope.errors import VlmscopeError
from vlmscope.settings import atlas, catalogues, finetunes, llava_interp, mm_neurons, mmneuron, multimodal_sae, xl_vlms
from vlmscope.settings.atlas import Atlas
from vlmscope.settings.base import Name, Section
from vlmscope.settings.catalogues import Capture, Dataset, Judge, Model
from vlmscope.settings.finetunes import Finetune
from vlmscope.settings.llava_interp import LlavaInterp
from vlmscope.settings.mm_neurons import MMNeurons
from vlmscope.settings.mmneuron import MMNeuron
from vlmscope.settings.multimodal_sae import MultimodalSAE
from vlmscope.settings.xl_vlms import XLVLMs


class Run(Section):
    """Models that each system is run on: `snakemake` makes the headline results of the first, `everything` all."""

    mmneuron: list[Name] = Field(["llava", "blip"], description="models whose domain neurons are studied")
    mm_neurons: list[Name] = Field(
        ["llava-llama2", "blip", "mplug-owl2"], description="models whose word-writing neurons are studied"
    )
    xl_vlms: list[Name] = Field(
        ["llava15", "idefics2", "molmo", "qwen2-vl"], description="models whose concepts are studied and steered"
    )
    multimodal_sae: list[Name] = Field(
        ["llava-next-llama3"], description="models whose states are split into sparse features"
    )
    llava_interp: list[Name] = Field(["llava15", "llava-phi"], description="models whose visual tokens are followed")
    atlas: list[Name] = Field(["llava15"], description="models that all five systems are run on, for joint tables")


class Config(Section):
    """The configuration of one run."""

    scale: Literal["tiny", "paper"] = Field(
        "tiny", description="tiny: embedded models and world, offline; paper: published checkpoints and benchmarks"
    )
    run: Run = Field(Run(), description="models of each system; no target means headline results of the first")
    models: dict[Name, Model] = Field(description="catalogue of checkpoints")
    judges: dict[Name, Judge] = Field(description="catalogue of judges: of free answers, and of what pictures show")
    datasets: dict[Name, Dataset] = Field(description="catalogue of benchmarks")
    captures: dict[Name, Capture] = Field(description="catalogue of recording runs")
    finetunes: dict[Name, Finetune] = Field({}, description="catalogue of fine-tunes of those models")
    mmneuron: MMNeuron = Field(description="system 1: domain-specific neurons")
    mm_neurons: MMNeurons = Field(MMNeurons(), description="system 2: neurons that write a caption's words")
    xl_vlms: XLVLMs = Field(XLVLMs(), description="system 3: concepts, how they shift, and steering")
    multimodal_sae: MultimodalSAE = Field(MultimodalSAE(), description="system 4: sparse autoencoders")
    llava_interp: LlavaInterp = Field(LlavaInterp(), description="system 5: what becomes of visual tokens")
    atlas: Atlas = Field(Atlas(), description="what the five systems together tell of one model")

    @model_validator(mode="after")
    def _names_meet(self) -> "Config":
        if problems := _unknown_names(self):
            raise ValueError("\n    ".join(problems))
        return self


def _unknown_names(config: Config) -> list[str]:
    """References between sections that lead nowhere."""
    wanted = [
        (f"captures.{key}.data", name, config.datasets, "datasets")
        for key, capture in config.captures.items()
        for name in capture.data
    ]
    wanted += mmneuron.names(config) + mm_neurons.names(config) + xl_vlms.names(config)
    wanted += multimodal_sae.names(config) + llava_interp.names(config) + finetunes.names(config)
    wanted += atlas.names(config)
    problems = [
        f"{where} names '{name}', which {section} does not have (known: {', '.join(known)})"
        for where, name, known, section in wanted
        if name not in known
    ]
    problems += finetunes.problems(config)
    problems += mmneuron.problems(config) + mm_neurons.problems(config) + xl_vlms.problems(config)
    return problems + multimodal_sae.problems(config) + llava_interp.problems(config) + atlas.problems(config)


def _default_tree() -> dict[str, Any]:
    """Every system brings the datasets and recording runs that it reads."""
    systems = (mmneuron, mm_neurons, xl_vlms, multimodal_sae, llava_interp, atlas)
    return {
        "models": catalogues.MODELS | finetunes.MODELS,
        "judges": catalogues.JUDGES,
        "datasets": {name: one for system in systems for name, one in system.DATASETS.items()},
        "captures": {name: one for system in systems for name, one in system.CAPTURES.items()},
        "finetunes": finetunes.DEFAULT,
        "mmneuron": mmneuron.DEFAULT,
        "mm_neurons": mm_neurons.DEFAULT,
        "xl_vlms": xl_vlms.DEFAULT,
        "multimodal_sae": multimodal_sae.DEFAULT,
        "llava_interp": llava_interp.DEFAULT,
        "atlas": atlas.DEFAULT,
    }


def default() -> Config:
    """The embedded default."""
    return Config(**_default_tree())


def resolve(tree: dict[str, Any], where: str = "config.yaml") -> Config:
    """A checked configuration from what Snakemake merged; all problems are told at once."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc'])) or 'top level'}: {_words(one)}" for one in error.errors()]
        raise VlmscopeError(
            "The configuration does not hold together:\n    " + "\n    ".join(lines),
            where=where,
            instead="correct these keys; config.schema.json lists every key with its bounds",
        ) from None


def _words(problem: dict[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "no such key (a typing error?)"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return f"{problem['msg']} (is {json.dumps(problem['input'], default=str)[:80]})"


def plain(config: Config) -> dict[str, Any]:
    """The configuration as plain data, every default filled in."""
    return config.model_dump(mode="json")


def digest_ready(part: Any) -> str:
    """Canonical JSON: the same text whenever the values are the same."""
    return json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def load(path: Path) -> Config:
    """A configuration file by itself, checked."""
    return resolve(_read(path), where=str(path))


def overlaid(path: Path) -> Config:
    """The embedded default with a file laid over it as the workflow does it, checked: mappings merge, lists replace."""
    return resolve(_merged(plain(default()), _read(path)), where=str(path))


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise VlmscopeError(f"The configuration cannot be read: {error}", where=str(path)) from None


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: _merged(below.get(key), value) for key, value in above.items()}
