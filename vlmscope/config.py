"""The whole configuration as typed classes; `config.yaml` and `config.schema.json` are printed from them.

Every key has a default (the embedded, offline scale), bounds and one sentence. Settings of the machine (threads,
memory, partitions, batch size) are not here: they are resources of the rules.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from vlmscope.errors import VlmscopeError

# Names become parts of paths and wildcards, so they must be harmless in both.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Run(Section):
    """What `snakemake` without a target makes."""

    mmneuron: list[Name] = Field(["llava"], description="models whose domain neurons are studied")


class Model(Section):
    """One checkpoint of a known family."""

    family: Name = Field(description="module in vlmscope/models that knows this architecture")
    label: str = Field(description="name printed in tables")
    source: Literal["folder", "hub", "train"] = Field(
        "folder", description="weights on disk, weights of a Hugging Face id, or weights trained here by the recipe"
    )
    checkpoint: str = Field("", description="folder (relative to the repository) or Hugging Face id")
    revision: str = Field("", description="commit, tag or branch (source: hub)")
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="precision of the forward pass")


class Judge(Section):
    """A classifier that scores free answers."""

    source: Literal["folder", "hub"] = Field("hub", description="weights on disk or of a Hugging Face id")
    checkpoint: str = Field(description="folder (relative to the repository) or Hugging Face id")
    revision: str = Field("main", description="commit, tag or branch (source: hub)")


class Dataset(Section):
    """One benchmark in its official on-disk format."""

    kind: Name = Field(description="module in vlmscope/datasets that reads and writes the format")
    source: Literal["drawn", "download", "folder"] = Field(
        "drawn", description="draw the embedded world, fetch the benchmark, or take a folder that is already there"
    )
    root: str = Field("", description="folder with the official files; empty means results/data/DATASET/download")
    splits: dict[Literal["train", "val"], str] = Field(
        {"train": "train", "val": "val"}, description="official split behind train (recording) and val (evaluation)"
    )
    scenes: dict[Literal["train", "val"], int] = Field(
        {"train": 240, "val": 240}, description="pictures to draw per split (source: drawn)"
    )
    limit: dict[Literal["train", "val"], int] = Field(
        {"train": 240, "val": 240}, description="rows kept per split, in the official order"
    )
    options: dict[str, str | bool | int] = Field({}, description="options of the reader, see its docstring")


class Take(Section):
    """One quantity to keep from every forward pass."""

    site: str = Field(pattern=r"^[a-z_]+(\[\d+\])?$", description="place in the forward pass, [layer] for a single one")
    where: Literal["all", "image", "text", "last", "answer", "emitting"] = Field(
        "all",
        description="token positions; answer: written tokens, emitting: those that predicted them (run: generate)",
    )
    keep: str = Field("counts", pattern=r"^(values|counts|mean|top\(\d+\))$", description="what is stored of them")


class Capture(Section):
    """A recording run: which samples, which prompt, what to keep."""

    data: list[Name] = Field(description="datasets, each captured into its own folder")
    split: Literal["train", "val"] = Field("train", description="split of those datasets")
    prompt: Literal["simple", "full", "chat"] = Field(
        "simple", description="the question alone, the benchmark's prompt, or that within the model's chat template"
    )
    run: Literal["prefill", "generate"] = Field(
        "prefill", description="one pass over the prompt, or over the prompt and the greedy answer to it"
    )
    max_new_tokens: int = Field(16, ge=1, le=4096, description="most tokens per answer (run: generate)")
    samples: int = Field(10001, ge=1, description="most samples per dataset")
    vision_positions: int = Field(
        0, ge=0, description="stop after the sample that reaches this many vision-tower positions; 0 means no stop"
    )
    shards: int = Field(1, ge=1, le=9999, description="files, and so parallel jobs, per dataset")
    take: list[Take] = Field(min_length=1, description="what to keep, all from one pass")


class Identify(Section):
    """Which neurons count as domain-specific (mmneuron.md 2.3)."""

    top_rate: Share = Field(0.2, description="share of the neurons of a module kept by lowest entropy")
    filter_rate: Share = Field(
        0.5, description="quantile of firing probability that a neuron must exceed in one domain"
    )
    bar_rate: Share = Field(0.5, description="quantile of firing probability above which a domain owns the neuron")
    assign: Literal["bar", "highest"] = Field(
        "highest",
        description="bar: to every domain above the bar (as published); highest: of those, only to the strongest",
    )
    compat_float32: bool = Field(False, description="compute in float32 as the released code does")


class Generate(Section):
    """How answers are written (mmneuron.md 2.5)."""

    decode: Literal["greedy", "sampling"] = Field("greedy", description="sampling: T = 0.9, top-k 50, as published")
    max_new_tokens: int = Field(8, ge=1, le=4096, description="most tokens per answer")
    seed: int = Field(0, ge=0, description="seed of the per-sample generators (sampling only)")
    official_rows: bool = Field(
        False, description="one answer per LingoQA row, each judged by its own reference alone, as released"
    )


class Evaluate(Section):
    """How answers are scored (mmneuron.md 6)."""

    anls_threshold: Share = Field(1.0, description="ANLS cut; 1.0 as released, 0.5 in the DocVQA challenge")
    med_metric: Literal["first_option", "official_any"] = Field(
        "first_option", description="how the option is read off a medical answer"
    )
    com_metric: Literal["com_exact", "vqa_acc"] = Field(
        "com_exact", description="com_exact: as released; vqa_acc: the official VQAv2 accuracy"
    )
    judge: Name = Field(
        "token_f1", description="an entry of judges, or token_f1: an offline stand-in, named so in the tables"
    )
    bootstrap: int = Field(1000, ge=10, description="resamples behind intervals of non-binary scores")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")


class Condition(Section):
    """One row of table 2: which modules' neurons are set to zero."""

    name: Name = Field(description="short name in files")
    label: str = Field(description="row label in the tables")
    modules: list[Name] = Field([], description="modules whose neurons of the own domain are zeroed")


class Effects(Section):
    """Controls beside table 2: own domain, other domains, random neurons."""

    condition: Name = Field("all", description="condition whose modules are masked")
    samples: int = Field(100, ge=2, description="samples per domain")
    random_seeds: list[int] = Field([0, 1, 2], min_length=1, description="draws of random neurons")


class MMNeuron(Section):
    """Domain-specific neurons (arXiv 2406.11193)."""

    capture: Name = Field("domain_counts", description="capture that supplies the counts")
    domains: list[Name] = Field(["ad", "med", "rs", "com", "doc"], description="order of the domains, always this")
    columns: list[Name] = Field(["com", "med", "ad", "doc", "rs"], description="order of the columns in tables")
    identify: Identify = Field(Identify(), description="selection of neurons")
    generate: Generate = Field(Generate(), description="writing of answers")
    evaluate: Evaluate = Field(Evaluate(), description="scoring of answers")
    effects: Effects = Field(Effects(), description="own-domain effect beside its controls")
    conditions: dict[Name, list[Condition]] = Field(description="rows of table 2 per model family")


class Config(Section):
    """The configuration of one run."""

    scale: Literal["tiny", "paper"] = Field(
        "tiny", description="tiny: embedded models and world, offline; paper: published checkpoints and benchmarks"
    )
    run: Run = Field(Run(), description="what is made when no target is named")
    models: dict[Name, Model] = Field(description="catalogue of checkpoints")
    judges: dict[Name, Judge] = Field(description="catalogue of judges for free answers")
    datasets: dict[Name, Dataset] = Field(description="catalogue of benchmarks")
    captures: dict[Name, Capture] = Field(description="catalogue of recording runs")
    mmneuron: MMNeuron = Field(description="system 1: domain-specific neurons")

    @model_validator(mode="after")
    def _names_meet(self) -> "Config":
        if problems := _unknown_names(self):
            raise ValueError("\n    ".join(problems))
        return self


def _unknown_names(config: Config) -> list[str]:
    """References between sections that lead nowhere."""
    wanted = [("run.mmneuron", name, config.models, "models") for name in config.run.mmneuron]
    wanted += [("mmneuron.domains", name, config.datasets, "datasets") for name in config.mmneuron.domains]
    wanted += [("mmneuron.capture", config.mmneuron.capture, config.captures, "captures")]
    wanted += [
        (f"captures.{key}.data", name, config.datasets, "datasets")
        for key, capture in config.captures.items()
        for name in capture.data
    ]
    if config.mmneuron.evaluate.judge != "token_f1":
        wanted += [("mmneuron.evaluate.judge", config.mmneuron.evaluate.judge, config.judges, "judges")]
    problems = [
        f"{where} names '{name}', which {section} does not have (known: {', '.join(known)})"
        for where, name, known, section in wanted
        if name not in known
    ]
    for family, rows in config.mmneuron.conditions.items():
        if [row.name for row in rows if not row.modules] != ["none"] or len({row.name for row in rows}) < len(rows):
            problems.append(f"mmneuron.conditions.{family}: names must differ, and just 'none' has no modules")
    if not sorted(config.mmneuron.columns) == sorted(config.mmneuron.domains) == sorted(set(config.mmneuron.domains)):
        problems.append("mmneuron.columns must list the same domains as mmneuron.domains, each once")
    for name in config.run.mmneuron:
        family = config.models[name].family if name in config.models else None
        if family and family not in config.mmneuron.conditions:
            known = ", ".join(config.mmneuron.conditions) or "none"
            problems.append(f"mmneuron.conditions has no rows for family '{family}' of model '{name}' (known: {known})")
    return problems


def _default_tree() -> dict[str, Any]:
    conditions = [
        {"name": "none", "label": "None", "modules": []},
        {"name": "lang", "label": "LLM", "modules": ["lang"]},
        {"name": "vision", "label": "Vision Encoder", "modules": ["vision", "mmproj"]},
        {"name": "mmproj", "label": "MLP Projector", "modules": ["mmproj"]},
        {"name": "all", "label": "All", "modules": ["lang", "vision", "mmproj"]},
    ]
    return {
        "models": {"llava": {"family": "llava_next", "label": "LLaVA-NeXT", "checkpoint": "weights/llava"}},
        "judges": {"lingo-judge": {"checkpoint": "wayveai/Lingo-Judge"}},
        "datasets": {
            "ad": {"kind": "lingoqa", "options": {"frames": "middle"}, "limit": {"train": 240, "val": 260}},
            "med": {"kind": "pmc_vqa", "splits": {"train": "train", "val": "test_clean"}},
            "rs": {"kind": "rsvqa"},
            "com": {"kind": "vqav2"},
            "doc": {"kind": "docvqa"},
        },
        "captures": {
            "domain_counts": {
                "data": ["ad", "med", "rs", "com", "doc"],
                "samples": 240,
                "vision_positions": 26000,
                "take": [{"site": site} for site in ("mlp_gate", "vision_gate", "projector_gate")],
            }
        },
        "mmneuron": {"conditions": {"llava_next": conditions}},
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
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise VlmscopeError(f"The configuration cannot be read: {error}", where=str(path)) from None
    return resolve(tree or {}, where=str(path))
