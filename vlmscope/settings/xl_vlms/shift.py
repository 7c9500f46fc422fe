"""How the concepts of two models are compared."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section


class Pair(Section):
    """Two checkpoints that are compared; they need not have the same prompt."""

    original: Name = Field(description="model before")
    tuned: Name = Field(description="model after: a fine-tune, or any other checkpoint of the same width")
    sets: list[Name] = Field(min_length=1, description="vector sets over which they are compared, one after the other")
    steps: list[Name] = Field([], description="models on the way, fine-tunes of earlier steps")
    keywords: list[str] = Field([], description="words of the task; empty: those that the fine-tune's phrases hold")
    imported: dict[Name, str] = Field(
        {}, description="per set, a file of the released code (analyse_clusters_NAME.pth) that is read instead"
    )
    published: Literal["", "place", "color", "sentiment"] = Field(
        "", description="published fine-tune of LLaVA-1.5 whose numbers over `dog` stand beside"
    )


class Shift(Section):
    """Concept shift (xl_vlms.md 2.9)."""

    pairs: list[Pair] = Field([], description="what is compared")
    module: str = Field("final_norm", description="place whose states are compared; others in the table of layers")
    method: Literal["kmeans", "snmf", "semi_nmf", "pca", "simple"] = Field("kmeans", description="kind of dictionary")
    k: int = Field(20, ge=2, description="concepts per dictionary")
    seed: int = Field(0, ge=0, description="seed of dictionaries, controls and resamples")
    sparsity: float = Field(1.0, ge=0, description="weight of sparsity (method: snmf)")
    association: Literal["activation", "cosine", "l2"] = Field(
        "activation", description="a sample belongs to the concept that is most active, most parallel, or nearest"
    )
    mean: Literal["mean", "median", "trimmed"] = Field("mean", description="middle of the states of a concept")
    alpha: float = Field(1.0, description="strength of the shift")
    normalise_shifts: bool = Field(False, description="divide all shifts by the length of them all together")
    normalise_concepts: bool = Field(False, description="give shifted concepts length 1")
    words: int = Field(15, ge=1, description="words per concept")
    tokens: int = Field(200, ge=1, description="best tokens of a concept that are looked at for words")
    vector_words: int = Field(30, ge=1, description="words per shift vector")
    vector_tokens: int = Field(50, ge=1, description="best tokens of a shift vector that are looked at for words")
    images: int = Field(50, ge=1, description="most activating samples per concept that are compared")
    alphas: list[float] = Field(
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0], min_length=1, description="strengths in the table of strengths"
    )
    ks: list[int] = Field([5, 10, 15, 20, 30], description="numbers of concepts in the table of them")
    halves: int = Field(20, ge=1, description="random divisions of the samples behind the held-out values")
    resamples: int = Field(100, ge=10, description="resamples behind held-out intervals")
    bootstrap: int = Field(2000, ge=10, description="resamples of the concepts behind other intervals")

    def comparisons(self, original: str) -> list[tuple[str, str]]:
        """Fine-tuned model and set of every comparison with this original, in order."""
        return [(one.tuned, name) for one in self.pairs if one.original == original for name in one.sets]


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    found: list[Reference] = []
    for place, one in enumerate(config.xl_vlms.shift.pairs):
        where = f"xl_vlms.shift.pairs[{place}]"
        models = {"original": [one.original], "tuned": [one.tuned], "steps": one.steps}
        found += [(f"{where}.{key}", name, config.models, "models") for key, each in models.items() for name in each]
        found += [(f"{where}.sets", name, config.xl_vlms.sets, "xl_vlms.sets") for name in one.sets]
    return found


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    found, pairs = [], config.xl_vlms.shift.pairs
    done = [(one.original, one.tuned) for one in pairs]
    found += [
        f"xl_vlms.shift.pairs compares {a} with {b} twice" for a, b in dict.fromkeys(done) if done.count((a, b)) > 1
    ]
    for one in pairs:
        if others := sorted(one.imported.keys() - set(one.sets)):
            found.append(f"xl_vlms.shift.pairs imports {', '.join(others)} of {one.tuned}, which its sets do not name")
    found += [f"xl_vlms.shift.pairs compares {a} with itself" for a, b in done if a == b]
    return found


DEFAULT: dict[str, Any] = {
    # A drawn word has fewer sides than a real one, and the drawn world has fewer words.
    "k": 8,
    "words": 10,
    "ks": [4, 6, 8, 10, 15, 20],
    "images": 10,
    "pairs": [
        {
            "original": "llava15",
            "tuned": f"llava15-{kind}",
            "sets": ["dog", "cat"],
            "steps": steps,
        }
        for kind, steps in (
            ("color", []),
            ("place", ["llava15-place-eighth", "llava15-place-quarter", "llava15-place-half"]),
            ("position", []),
        )
    ],
}
