"""Settings of the catalogues that all systems share: checkpoints, judges, benchmarks, recording runs."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, StringConstraints, model_serializer, model_validator

from vlmscope.settings.base import Name, Section

Word = Annotated[str, StringConstraints(pattern=r"^\w+( \w+)*$")]


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
    """A model that judges others: scores free answers, or finds in pictures what words name."""

    source: Literal["folder", "hub"] = Field("hub", description="weights on disk or of a Hugging Face id")
    checkpoint: str = Field(description="folder (relative to the repository) or Hugging Face id")
    revision: str = Field("main", description="commit, tag or branch (source: hub)")


class Dataset(Section):
    """One benchmark in its official on-disk format."""

    kind: Name = Field(description="module in vlmscope/datasets that reads and writes the format")
    source: Literal["drawn", "download", "folder", "joined"] = Field(
        "drawn",
        description="draw the embedded world, fetch the benchmark, take a folder that is already there, or put "
        "pictures of others together (kind: sae_pictures; multimodal_sae.joined)",
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
    prompt: Literal["simple", "full", "chat", "turn", "talk"] = Field(
        "simple",
        description="the question alone, the benchmark's prompt, or that within the model's chat template; turn: with "
        "no line between picture and words that the template does not write itself; talk: a whole conversation",
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
MODELS: dict[str, Any] = {
    name: {"family": family, "label": label, "checkpoint": f"weights/{name}"}
    for name, (family, label) in _EMBEDDED.items()
}
JUDGES: dict[str, Any] = {
    "lingo-judge": {"checkpoint": "wayveai/Lingo-Judge"},
    "grounding-dino": {"checkpoint": "IDEA-Research/grounding-dino-base"},
    "sam": {"checkpoint": "facebook/sam-vit-huge"},
}
