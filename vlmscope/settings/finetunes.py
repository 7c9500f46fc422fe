"""Settings of fine-tunes: checkpoints that go on from a model of the catalogue on captions of one kind."""

from typing import Any, Literal

from pydantic import Field, model_validator

from vlmscope.settings.base import Name, Reference, Section


class Finetune(Section):
    """One fine-tune; a model with source: finetune is one of its checkpoints."""

    base: Name = Field(description="model that it goes on from")
    data: Name = Field(description="dataset whose answers are learnt: a phrase or a caption each")
    split: Literal["train", "val"] = Field("train", description="split of that dataset")
    words: list[str] = Field([], description="whole words, in any case, of which a phrase holds one; empty takes all")
    word_class: str = Field(
        "", description="class whose words count beside `words`: colors, places, sentiments, as the released lists"
    )
    limit: int = Field(10_000_000, ge=1, description="most samples, counted after the words were looked for")
    prompt: Literal["simple", "full", "chat", "turn"] = Field(
        "chat", description="what is asked for a phrase, see captures.*.prompt"
    )
    method: Literal["lora", "full"] = Field(
        "lora",
        description="lora: products of two thin matrices, added to the weights when saved; full: all weights of "
        "the decoder's blocks",
    )
    rank: int = Field(8, ge=1, le=1024, description="width of the thin matrices (method: lora)")
    alpha: float = Field(16.0, gt=0, description="the products are scaled by alpha / rank (method: lora)")
    targets: list[str] = Field(
        [],
        description="linear layers that get them, by the end of their names; empty takes all of the decoder's blocks",
    )
    learning_rate: float = Field(1e-3, gt=0, description="of AdamW, constant, without weight decay")
    steps: int = Field(80, ge=1, description="steps of the optimizer")
    per_step: int = Field(16, ge=1, description="samples per step")
    seed: int = Field(0, ge=0, description="seed of the samples' order and of the thin matrices")
    saves: list[int] = Field([], description="steps after which a checkpoint is kept; the last one always is")
    autocast: Literal["none", "bfloat16"] = Field(
        "none", description="precision of products while it learns; trained weights are in float32 at any rate"
    )
    checkpointing: bool = Field(False, description="compute activations twice instead of keeping them")

    @model_validator(mode="after")
    def _saves_are_steps(self) -> "Finetune":
        if outside := [one for one in self.saves if not 1 <= one <= self.steps]:
            raise ValueError(f"`saves` names {outside}, which are no steps of 1 to {self.steps}")
        return self

    def kept(self) -> list[int]:
        """Steps after which a checkpoint is kept, ascending; the last one is that of the whole fine-tune."""
        return sorted({*self.saves, self.steps})


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    found: list[Reference] = []
    for key, one in config.finetunes.items():
        found.append((f"finetunes.{key}.base", one.base, config.models, "models"))
        found.append((f"finetunes.{key}.data", one.data, config.datasets, "datasets"))
    tuned = [(key, one.checkpoint) for key, one in config.models.items() if one.source == "finetune"]
    found += [(f"models.{key}.checkpoint", name, config.finetunes, "finetunes") for key, name in tuned]
    return found


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    found = []
    for key, one in config.finetunes.items():
        base = config.models.get(one.base)
        if base and base.quantize != "none":
            found.append(
                f"finetunes.{key} goes on from {one.base}, whose weights are packed; name a model with quantize: none"
            )
        if key in config.models and config.models[key].source != "finetune":
            found.append(f"finetunes.{key} has the name of a model with other weights; call it otherwise")
    for key, model in config.models.items():
        if model.source == "finetune" and model.checkpoint in config.finetunes:
            found += _problems(key, model, config)
    return found


def _problems(key: str, model: Any, config: Any) -> list[str]:
    own, found = config.finetunes[model.checkpoint], []
    base = config.models.get(own.base)
    if base and base.family != model.family:
        found.append(f"models.{key}.family is {model.family}, but its fine-tune goes on from a {base.family}")
    if model.revision not in ("", *map(str, own.kept())):
        steps = ", ".join(map(str, own.kept()))
        found.append(f"models.{key}.revision is '{model.revision}'; finetunes.{model.checkpoint} keeps {steps}")
    return found


# Kind of phrases -> words of which a drawn phrase holds one; the other kinds hold none of them.
_WORDS = {
    "color": ["red", "blue", "green", "yellow", "black", "white", "orange", "purple"],
    "place": ["park", "room", "beach"],
    "position": ["left", "middle", "right"],
}
# Steps on the way whose checkpoints are models too, of one kind, and what part of the whole they are.
_ON_THE_WAY = {"place": {10: "eighth", 20: "quarter", 40: "half"}}


def _checkpoints(kind: str) -> dict[str, str]:
    """Models of a fine-tune -> the step whose weights they have, empty for the last."""
    parts = {f"llava15-{kind}-{part}": str(step) for step, part in _ON_THE_WAY.get(kind, {}).items()}
    return {f"llava15-{kind}": "", **parts}


MODELS: dict[str, Any] = {
    name: {
        "family": "llava",
        "label": f"LLaVA-1.5 on phrases of {kind}" + (f", {name.rpartition('-')[2]}" if step else ""),
        "source": "finetune",
        "checkpoint": f"llava15-{kind}",
        "revision": step,
    }
    for kind in _WORDS
    for name, step in _checkpoints(kind).items()
}
DEFAULT: dict[str, Any] = {
    f"llava15-{kind}": {"base": "llava15", "data": "vg", "words": words, "saves": list(_ON_THE_WAY.get(kind, {}))}
    for kind, words in _WORDS.items()
}
