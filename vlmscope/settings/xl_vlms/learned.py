"""Steering with a vector for every input, made by a small network (xl_vlms.md 2.11)."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section


class Task(Section):
    """What is to be brought about, and how the network learns it."""

    kind: Literal["pope", "safety"] = Field(
        description="pope: the right one of yes and no; safety: harmless answers to requests (mm_safetybench)"
    )
    dataset: Name = Field(description="samples: those of train make the vectors, those of val are steered")
    train: int = Field(1200, ge=2, description="most samples of train")
    validation: int = Field(100, ge=0, description="of those, the last ones, which are not trained on")
    test: int = Field(100000, ge=1, description="most samples of val")
    completions: tuple[str, str] = Field(
        ("Yes, the image", "No, the image"), description="answers that are forced where yes and no are right (pope)"
    )
    context: str = Field("block.14", description="block whose state of the prompt the network reads")
    module: str = Field("block.14", description="block behind which is steered")
    context_at: Literal["last_prompt", "first_answer"] = Field(
        "last_prompt", description="position of that state while training; first_answer: one further, as released"
    )
    shift: Literal["average", "last_input"] = Field(
        "average", description="state of a forced answer: mean over it, or that of its last token"
    )
    alphas: list[float] = Field([1.0], min_length=1, description="strengths")
    prompt: Literal["chat", "turn"] = Field(
        "chat", description="the question within the model's template, or as the checkpoint's own template has it"
    )
    told: str = Field("", description="what is told behind the question instead of steering; empty: not tried")
    hidden: int = Field(100, ge=1, description="units of the network; fewer with fewer samples or a narrower model")
    start: Literal["svd", "snmf"] = Field("svd", description="what the output weights are before training")
    learning_rate: float = Field(5e-5, gt=0, description="highest learning rate (Adam)")
    epochs: int = Field(100, ge=1, description="passes over the samples")
    batch: int = Field(64, ge=1, description="samples per step")
    warm_up: int = Field(5, ge=0, description="epochs in which the learning rate rises")
    cosine: Literal["growing", "fixed"] = Field(
        "growing", description="weight of the cosine in the loss: rising to 0.1 over a hundred epochs, or 0.1"
    )
    worst: bool = Field(True, description="only the worst four fifths of a batch count in the second half")
    keep: Literal["best", "last"] = Field("best", description="weights of the epoch with the lowest validation loss")
    max_new_tokens: int = Field(10, ge=1, description="most tokens per answer")
    phrases: str = Field("", description="file with a phrase of deference to experts per line (safety)")
    guard: str = Field(
        "", description="csv of method, sample, probability: how likely a guard model calls an answer unsafe (safety)"
    )
    seed: int = Field(0, ge=0, description="seed of training and of the random direction")


class Learned(Section):
    """Learning to steer."""

    models: list[Name] = Field(["llava15"], description="models for which it is done")
    tasks: dict[Name, Task] = Field({}, description="catalogue of tasks")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own = config.xl_vlms.learned
    found: list[Reference] = [("xl_vlms.learned.models", name, config.models, "models") for name in own.models]
    return found + [
        (f"xl_vlms.learned.tasks.{key}.dataset", one.dataset, config.datasets, "datasets")
        for key, one in own.tasks.items()
    ]


KINDS = {"pope": "pope", "safety": "mm_safetybench"}


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    found = []
    for key, one in config.xl_vlms.learned.tasks.items():
        where, data = f"xl_vlms.learned.tasks.{key}", config.datasets.get(one.dataset)
        if data and data.kind != KINDS[one.kind]:
            found.append(f"{where}.dataset must be of kind {KINDS[one.kind]}")
        if one.validation >= one.train:
            found.append(f"{where}.validation leaves nothing to train on")
    return found


DEFAULT: dict[str, Any] = {
    "tasks": {
        "pope": {
            "kind": "pope",
            "dataset": "pope",
            # Drawn answers are in small letters. A longer answer moves the states behind it less, and in the right way.
            "completions": ["yes, the image", "no, the image"],
            "context": "block.-2",
            "module": "block.0",
            "learning_rate": 1e-3,
            "alphas": [1.0, 2.0],
            "max_new_tokens": 3,
        }
    }
}
