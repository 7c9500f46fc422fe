"""Settings of system 2, neurons that write a caption's words."""

import re
from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section, Share

Activation = Literal["act_fn", "down_proj_input"]


class Nouns(Section):
    """Which words of a caption are looked at (mm_neurons.md 2.5)."""

    backend: Literal["lexicon", "spacy", "nltk", "corenlp"] = Field(
        "lexicon", description="tagger; lexicon: a list of words, the others where they are installed"
    )
    lexicon: str = Field("", description="text file with a noun per line (backend: lexicon); empty: the drawn world's")
    model: str = Field("en_core_web_sm", description="model of the tagger (backend: spacy)")
    server: str = Field("http://localhost:9000", description="address of the server (backend: corenlp)")
    sentences: Literal["all", "first"] = Field("all", description="sentences looked at; first: as released")


class Rank(Section):
    """How neurons are scored and listed (mm_neurons.md 2.6, 2.10)."""

    activations: list[Activation] = Field(
        ["act_fn", "down_proj_input"],
        min_length=1,
        description="what counts as activation: after SiLU, as released, or the input of the down projection",
    )
    precision: Literal["float32", "official_fp16"] = Field(
        "float32", description="official_fp16: projection and product rounded to half precision, as released"
    )
    fold_norm: bool = Field(False, description="multiply the unembedding by the gain of the final norm")
    keep: int = Field(10_000, ge=1, description="neurons listed per noun, fewer where the model has fewer")
    keep_others: int = Field(
        1000, ge=1, description="neurons listed per noun by baselines, and of those that lower the word most"
    )
    listed: int = Field(10, ge=1, description="neurons per noun in tables for people")
    decode_k: int = Field(10, ge=1, le=100, description="tokens decoded per neuron, from either end")
    attributed: int = Field(
        100, ge=1, description="neurons, and attention heads, per noun whose exact share of the logit is written"
    )
    reduce: Literal["max", "sum", "mean"] = Field(
        "max", description="how the gradient baseline reduces over the image's positions"
    )
    seed: int = Field(42, ge=0, description="seed of the random baseline")


class Maps(Section):
    """Heat maps and masks (mm_neurons.md 2.7)."""

    sizes: list[int] = Field(
        [1, 10, 50, 100, 500, 1000], min_length=1, description="best neurons whose mean is drawn, one map each"
    )
    singles: int = Field(5, ge=0, description="best neurons drawn each by itself")
    units: int = Field(1000, ge=1, description="best neurons whose activations at image tokens are kept")
    control: int = Field(100, ge=1, description="random neurons per noun whose activations are kept too")
    percentile: float = Field(95.0, ge=0, le=100, description="pixels strictly above it stay visible in the mask")
    interpolation: Literal["official", "centre"] = Field(
        "official", description="official: anchored at the corner; centre: at the centres of the patches"
    )
    images: int = Field(20, ge=0, description="images whose maps are written as pictures")


class Shuffle(Section):
    """Image tokens in another order (mm_neurons.md 2.8)."""

    permutations: int = Field(1, ge=0, description="orders per image")
    modes: list[Literal["free", "forced"]] = Field(
        ["free", "forced"], min_length=1, description="free: a new caption; forced: the original caption is read"
    )
    images: int = Field(40, ge=1, description="images that are shuffled")
    seed: int = Field(42, ge=0, description="seed of the orders, with the sample's name")


class Measures(Section):
    """Tables of the measures (mm_neurons.md 6)."""

    k: list[int] = Field([1, 10, 50, 100], min_length=1, description="sizes of the neuron sets that are compared")
    m_images: list[int] = Field([2, 3, 5], min_length=1, description="fewest images of a noun across images")
    references: list[Literal["noun", "caption", "dataset"]] = Field(
        ["noun", "caption"], min_length=1, description="what decoded tokens are compared with"
    )
    ends: Literal["signed", "top"] = Field(
        "signed",
        description="which decoded tokens count; signed: those that the neuron raised, the lower end where it was "
        "active below zero; top: the upper end in any case, as released",
    )
    texts: int = Field(10, ge=1, description="best neurons per noun whose decoded words are scored as texts")
    bertscore: str = Field("", description="folder of the scoring model; empty: an offline stand-in, named so")
    bertscore_layer: int = Field(17, ge=0, description="hidden state that is compared; 17 for roberta-large")
    moverscore: str = Field("", description="folder of the scoring model; empty: an offline stand-in, named so")
    bleurt: str = Field("", description="folder of the scoring model; empty: an offline stand-in, named so")
    bootstrap: int = Field(10_000, ge=10, description="resamples of the images behind intervals")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")


class Perturb(Section):
    """Noise on the output weights of neurons, and captions without them (mm_neurons.md 2.9)."""

    kinds: list[Literal["noise", "zero"]] = Field(
        ["noise", "zero"],
        min_length=1,
        description="noise: on output weights, as released; zero: the neurons are set to zero",
    )
    sigmas: list[float] = Field([2.0, 8.0], min_length=1, description="standard deviations of the noise")
    sigma_mode: Literal["absolute", "relative"] = Field(
        "relative", description="relative: times the root mean square of the neuron's output weights"
    )
    k: list[int] = Field([1, 10, 50], min_length=1, description="how many neurons are changed")
    images: int = Field(20, ge=1, description="images whose nouns are tested")
    noises: int = Field(2, ge=1, description="draws of noise for the best neurons of a noun")
    draws: int = Field(10, ge=1, description="draws of random neurons, and as many that keep the layers of the best")
    seed: int = Field(42, ge=0, description="seed of noise and draws")


class Pair(Section):
    """An edit of one word into another."""

    source: str = Field(pattern=r"\S", description="word that captions hold")
    target: str = Field(pattern=r"\S", description="word that they should hold instead")

    @property
    def name(self) -> str:
        """Its name in paths."""
        return "-".join(re.sub(r"\W+", "_", word.strip()) for word in (self.source, self.target))


EditMethod = Literal["closed_form", "optimise", "activation_shift"]


class Edit(Section):
    """Editing weights so that one word becomes another (mm_neurons.md 2.11); all methods are ours."""

    pairs: list[Pair] = Field(
        [Pair(source="red", target="blue"), Pair(source="cat", target="dog")], description="edits that are made"
    )
    methods: list[EditMethod] = Field(["closed_form", "optimise", "activation_shift"], min_length=1, description="how")
    neurons: dict[EditMethod, int] = Field(
        {"closed_form": 100, "optimise": 30, "activation_shift": 15},
        description="best neurons of the source word that are changed, by method",
    )
    images: int = Field(10, ge=1, description="most images with the source word that an edit is made from")
    kept: int = Field(40, ge=0, description="most images without it that an edit is made to leave as they are")
    tested: int = Field(30, ge=1, description="most other images with, and without, the source word it is tested on")
    layers: int = Field(1, ge=0, description="last layers that neurons are taken from; 0: all of them (closed_form)")
    margins: list[float] = Field(
        [0.5, 1.0, 2.0],
        min_length=1,
        description="how far the target's logit shall stand above the source's, as a share of how far it stood below; "
        "the next one is tried while an image of the edit lacks the target (closed_form)",
    )
    preserve: float = Field(1.0, ge=0, description="weight of steps that shall stay as they are (closed_form)")
    ridge: float = Field(0.01, ge=0, description="weight of small changes against exact margins (closed_form)")
    without_last: int = Field(0, ge=0, description="last layers left out of the candidates (optimise)")
    steps: int = Field(50, ge=1, description="most steps (optimise)")
    rate: float = Field(0.05, gt=0, description="learning rate (optimise)")
    stop: Share = Field(0.9, description="probability of the target at which it stops (optimise)")
    alpha: float = Field(100.0, ge=0, description="weight of steps that shall stay as they are (optimise)")
    beta: float = Field(10.0, ge=0, description="weight against saying the target twice (optimise)")
    gamma: float = Field(0.03, ge=0, description="weight of the size of the change (optimise)")
    strengths: list[float] = Field(
        [5.0, 10.0, 20.0, 40.0],
        min_length=1,
        description="length of the direction that is added; the next one is tried while an image of the edit lacks the "
        "target (activation_shift)",
    )
    seed: int = Field(42, ge=0, description="seed of the choice of images")


class Show(Section):
    """Tables and pages for people (mm_neurons.md 7)."""

    images: int = Field(40, ge=1, description="images of the gallery")
    examples: int = Field(100, ge=1, description="images on the page of examples; the table has all")
    k: int = Field(10, ge=1, description="best neurons of an image that count in the catalogue")


class Released(Section):
    """A tree of the released code to read."""

    folder: str = Field(description="what the released code was told by --save_to; holds sbu/find_mm_neurons/")
    activation: Activation = Field("act_fn", description="what it took as activation; act_fn but for mid-2025")


class Exchange(Section):
    """Files of the released code (docs/formats.md)."""

    images: int = Field(20, ge=1, description="images whose results are written in the released layout")
    imported: dict[Name, Released] = Field(
        {}, description="per model, a tree whose captions, nouns and neurons are read instead of being made"
    )


class MMNeurons(Section):
    """Settings of system 2."""

    capture: Name = Field("captions", description="capture that supplies captions and activations")
    dataset: Name = Field("sbu", description="dataset of that capture")
    nouns: Nouns = Field(Nouns(), description="words that are looked at")
    rank: Rank = Field(Rank(), description="scores and lists")
    maps: Maps = Field(Maps(), description="heat maps and masks")
    shuffle: Shuffle = Field(Shuffle(), description="image tokens in another order")
    measures: Measures = Field(Measures(), description="tables of the measures")
    perturb: Perturb = Field(Perturb(), description="noise on neurons, neurons set to zero")
    edit: Edit = Field(Edit(), description="edits of one word into another")
    show: Show = Field(Show(), description="tables and pages for people")
    exchange: Exchange = Field(Exchange(), description="files of the released code")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own = config.mm_neurons
    wanted: list[Reference] = [("run.mm_neurons", name, config.models, "models") for name in config.run.mm_neurons]
    wanted += [("mm_neurons.capture", own.capture, config.captures, "captures")]
    wanted += [("mm_neurons.exchange.imported", name, config.models, "models") for name in own.exchange.imported]
    return [*wanted, ("mm_neurons.dataset", own.dataset, config.datasets, "datasets")]


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    own, found = config.mm_neurons, []
    if own.capture in config.captures and own.dataset not in config.captures[own.capture].data:
        found.append(f"mm_neurons.dataset must be one of captures.{own.capture}.data")
    if max([*own.maps.sizes, own.maps.singles]) > own.maps.units:
        found.append("mm_neurons.maps.units must be at least the largest of mm_neurons.maps.sizes and singles")
    for name, one in own.exchange.imported.items():
        if own.rank.activations != [one.activation]:
            found.append(f"mm_neurons.rank.activations must be [{one.activation}], all that the tree of '{name}' has")
    edits = [one.name for one in own.edit.pairs]
    if len(set(edits)) < len(edits):
        found.append("mm_neurons.edit.pairs lists a pair twice")
    if lacking := [one for one in own.edit.methods if one not in own.edit.neurons]:
        found.append(f"mm_neurons.edit.neurons lacks {', '.join(lacking)}")
    return found


DATASETS: dict[str, Any] = {
    "sbu": {
        "kind": "sbu",
        "options": {"query": "describe the image."},
        "splits": {"train": "train", "val": "valid"},
        "scenes": {"train": 160, "val": 80},
        "limit": {"train": 160, "val": 80},
    }
}
CAPTURES: dict[str, Any] = {
    "captions": {
        "data": list(DATASETS),
        "prompt": "chat",
        "run": "generate",
        "max_new_tokens": 24,
        "samples": 160,
        "take": [
            {"site": "mlp_gate", "where": "emitting", "keep": "values"},
            {"site": "mlp_hidden", "where": "emitting", "keep": "values"},
        ],
    }
}
DEFAULT: dict[str, Any] = {}
