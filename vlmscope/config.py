"""The whole configuration as typed classes; `config.yaml` and `config.schema.json` are printed from them.

Every key has a default (the embedded, offline scale), bounds and one sentence. Settings of the machine (threads,
memory, partitions, batch size) are not here: they are resources of the rules. A model's device is here, since models
differ in it, and becomes a resource too: no result depends on it.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)

from vlmscope.errors import VlmscopeError
from vlmscope.settings import finetunes, llava_interp, mm_neurons, mmneuron, multimodal_sae, xl_vlms
from vlmscope.settings.base import Name, Section
from vlmscope.settings.finetunes import Finetune
from vlmscope.settings.llava_interp import LlavaInterp
from vlmscope.settings.mm_neurons import MMNeurons
from vlmscope.settings.mmneuron import MMNeuron
from vlmscope.settings.multimodal_sae import MultimodalSAE
from vlmscope.settings.xl_vlms import XLVLMs

Word = Annotated[str, StringConstraints(pattern=r"^\w+( \w+)*$")]


class Run(Section):
    """What `snakemake` without a target makes."""

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
    llava_interp: list[Name] = Field(
        ["llava15", "llava-phi"], description="models whose visual tokens are followed"
    )


class Model(Section):
    """One checkpoint of a known family."""

    family: Name = Field(description="module in vlmscope/models that knows this architecture")
    label: str = Field(description="name printed in tables")
    source: Literal["folder", "hub", "official", "train", "finetune"] = Field(
        "folder",
        description="weights on disk; of a Hugging Face id; those of its authors' own layout, converted here; "
        "trained here by the recipe; or a fine-tune made here",
    )
    checkpoint: str = Field(
        "", description="folder (relative to the repository), Hugging Face id, recipe, or name of a fine-tune"
    )
    revision: str = Field(
        "",
        description="commit, tag or branch (source: hub or official); step of the checkpoint, empty for the last "
        "(source: finetune)",
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="precision of the forward pass")
    quantize: Literal["none", "8bit", "4bit"] = Field(
        "none", description="pack the weights with bitsandbytes, which has to be installed (GPU only)"
    )
    attention: Literal["auto", "eager", "sdpa"] = Field(
        "auto", description="implementation of attention: step by step, fused, or what the library prefers"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where it runs; auto: a GPU where there is one. No result is made anew when this changes"
    )

    @model_validator(mode="after")
    def _packed_weights_need_a_gpu(self) -> "Model":
        if self.quantize != "none" and self.device == "cpu":
            raise ValueError(f"quantize: {self.quantize} needs a GPU, but device is cpu; write quantize: none")
        return self


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
    where: Literal["all", "image", "text", "last", "answer", "emitting", "word", "at"] = Field(
        "all",
        description="token positions; answer: written tokens, emitting: those that predicted them, word: those that "
        "predicted the beginning of one of `words` in the answer (all three with run: generate), at: by number",
    )
    keep: str = Field(
        "counts",
        pattern=r"^(values|counts|mean|first|top\(\d+\))$",
        description="what is stored of them; first: the values of the first position of each sample",
    )
    words: list[Word] = Field([], description="whole words to look for, in any case (where: word)")
    at: list[int] = Field([], description="numbers of positions, negative ones from the end of the text (where: at)")
    units: list[Annotated[int, Field(ge=0)]] = Field([], description="units to keep; empty means all")

    @model_validator(mode="after")
    def _lists_fit(self) -> "Take":
        for where, name in (("word", "words"), ("at", "at")):
            if bool(getattr(self, name)) != (self.where == where):
                raise ValueError(f"`{name}` must be listed with `where: {where}`, and only then")
        for name in ("words", "at", "units"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"`{name}` lists something twice")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_lists(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Lists that a take does not have are left out: its text changes only when it does."""
        return {key: value for key, value in dump(self).items() if value != []}


class Capture(Section):
    """A recording run: which samples, which prompt, what to keep."""

    data: list[Name] = Field(description="datasets, each captured into its own folder")
    split: Literal["train", "val"] = Field("train", description="split of those datasets")
    prompt: Literal["simple", "full", "chat", "turn"] = Field(
        "simple",
        description="the question alone, the benchmark's prompt, or that within the model's chat template; turn: with "
        "no line between picture and words that the template does not write itself",
    )
    begin: str = Field("", description="words that the answer is begun with, behind the prompt")
    run: Literal["prefill", "generate"] = Field(
        "prefill", description="one pass over the prompt, or over the prompt and the greedy answer to it"
    )
    max_new_tokens: int = Field(16, ge=1, le=4096, description="most tokens per answer (run: generate)")
    samples: int = Field(10001, ge=1, description="most samples per dataset")
    vision_positions: int = Field(
        0, ge=0, description="stop after the sample that reaches this many vision-tower positions; 0 means no stop"
    )
    shards: int = Field(1, ge=1, le=9999, description="files, and so parallel jobs, per dataset")
    take: list[Take] = Field(
        min_length=1,
        description="what to keep, all from one pass; a model leaves out sites that only other families have",
    )


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
    finetunes: dict[Name, Finetune] = Field({}, description="catalogue of fine-tunes of those models")
    mmneuron: MMNeuron = Field(description="system 1: domain-specific neurons")
    mm_neurons: MMNeurons = Field(MMNeurons(), description="system 2: neurons that write a caption's words")
    xl_vlms: XLVLMs = Field(XLVLMs(), description="system 3: concepts, how they shift, and steering")
    multimodal_sae: MultimodalSAE = Field(MultimodalSAE(), description="system 4: sparse autoencoders")
    llava_interp: LlavaInterp = Field(LlavaInterp(), description="system 5: what becomes of visual tokens")

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
    problems = [
        f"{where} names '{name}', which {section} does not have (known: {', '.join(known)})"
        for where, name, known, section in wanted
        if name not in known
    ]
    problems += finetunes.problems(config)
    problems += mmneuron.problems(config) + mm_neurons.problems(config) + xl_vlms.problems(config)
    return problems + multimodal_sae.problems(config)


# Name -> family and label of the models that lie in weights/.
_EMBEDDED = {
    "llava": ("llava_next", "LLaVA-NeXT"),
    "blip": ("instructblip", "InstructBLIP"),
    "llava-llama2": ("llava_llama2", "LLaVA (Llama-2)"),
    "mplug-owl2": ("mplug_owl2", "mPLUG-Owl2"),
    "llava15": ("llava", "LLaVA-1.5"),
    "idefics2": ("idefics2", "Idefics2"),
    "molmo": ("molmo", "Molmo"),
    "qwen2-vl": ("qwen2_vl", "Qwen2-VL"),
    "llava-next-llama3": ("llava_next_llama3", "LLaVA-NeXT (Llama-3)"),
    "llava-onevision": ("llava_onevision", "LLaVA-OneVision"),
    "llava-phi": ("llava_phi", "LLaVA-Phi-3"),
    "clip": ("clip", "CLIP"),
}


def _default_tree() -> dict[str, Any]:
    return {
        "models": {
            name: {"family": family, "label": label, "checkpoint": f"weights/{name}"}
            for name, (family, label) in _EMBEDDED.items()
        }
        | finetunes.MODELS,
        "judges": {"lingo-judge": {"checkpoint": "wayveai/Lingo-Judge"}},
        "datasets": {
            "ad": {"kind": "lingoqa", "options": {"frames": "middle"}, "limit": {"train": 240, "val": 260}},
            "med": {"kind": "pmc_vqa", "splits": {"train": "train", "val": "test_clean"}},
            "rs": {"kind": "rsvqa"},
            "com": {"kind": "vqav2"},
            "doc": {"kind": "docvqa"},
            "sbu": {
                "kind": "sbu",
                "options": {"query": "describe the image."},
                "splits": {"train": "train", "val": "valid"},
                "scenes": {"train": 160, "val": 80},
                "limit": {"train": 160, "val": 80},
            },
            "objects": {"kind": "coco_objects", "scenes": {"train": 240, "val": 40}},
            **xl_vlms.DATASETS,
        },
        "captures": {
            "domain_counts": {
                "data": ["ad", "med", "rs", "com", "doc"],
                "samples": 240,
                "vision_positions": 26000,
                "shards": 2,
                "take": [
                    *({"site": "mlp_gate", "where": where} for where in ("all", "image", "text")),
                    *({"site": site} for site in ("vision_gate", "projector_gate", "qformer_gate", "query_gate")),
                ],
            },
            "captions": {
                "data": ["sbu"],
                "prompt": "chat",
                "run": "generate",
                "max_new_tokens": 24,
                "samples": 160,
                "take": [
                    {"site": "mlp_gate", "where": "emitting", "keep": "values"},
                    {"site": "mlp_hidden", "where": "emitting", "keep": "values"},
                ],
            },
            **xl_vlms.CAPTURES,
            **multimodal_sae.CAPTURES,
        },
        "finetunes": finetunes.DEFAULT,
        "mmneuron": mmneuron.DEFAULT,
        "mm_neurons": mm_neurons.DEFAULT,
        "xl_vlms": xl_vlms.DEFAULT,
        "multimodal_sae": multimodal_sae.DEFAULT,
        "llava_interp": llava_interp.DEFAULT,
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
