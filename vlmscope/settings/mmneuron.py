"""Settings of system 1, domain-specific neurons."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from vlmscope.settings.base import Name, Reference, Section, Share

# No other result begins so.
Table = Annotated[str, StringConstraints(pattern=r"^table[a-z0-9]{1,8}$")]


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


class Tables(Section):
    """Names of the published tables, as files; the paper's own numbers are inferred (mmneuron.md 7.1)."""

    neurons: Table = Field("table1", description="number of domain-specific neurons")
    accuracy: Table = Field("table2", description="accuracy under deactivation")
    deviation: Table = Field("table3", description="deviation of hidden states under deactivation")
    random_accuracy: Table = Field("table4", description="accuracy with random neurons instead")
    random_deviation: Table = Field("table5", description="deviation of hidden states with random neurons instead")


class Effects(Section):
    """Controls beside table 2: own domain, other domains, random neurons; tables 3 to 5."""

    condition: Name = Field("all", description="condition under which domains are crossed and effects compared")
    samples: int = Field(50, ge=2, description="samples per domain")
    random_seeds: list[int] = Field([0, 1, 2], min_length=1, description="draws of random neurons")


class Vary(Section):
    """Variations of the deactivation: more or fewer neurons, other edits than zero."""

    condition: Name = Field("all", description="condition whose modules are changed")
    samples: int = Field(30, ge=2, description="samples per domain")
    rates: list[Share] = Field(
        [0.05, 0.1, 0.2, 0.4], min_length=1, description="shares of neurons selected (top_rate) to zero"
    )
    random_seeds: list[int] = Field([0], description="draws of as many random neurons beside every share")
    scales: list[float] = Field([0.5, 2.0], description="factors of the activation, beside zero and the mean")


class Examples(Section):
    """What the neuron page shows, and the bounds of the job behind it."""

    neurons: int = Field(3, ge=1, description="neurons per module and domain, those of lowest entropy")
    samples: int = Field(100, ge=1, description="pictures per domain that are looked through")
    images: int = Field(3, ge=1, le=20, description="pictures shown per neuron and domain, those of highest activation")
    zeroed: int = Field(8, ge=0, description="samples per domain on which each neuron is zeroed by itself; 0 for none")
    pixels: int = Field(128, ge=32, le=512, description="longest side of a picture on the page")


class Exchange(Section):
    """Files of the released code (docs/formats.md): counts, masks and answers, below one folder."""

    folder: str = Field("", description="folder that holds data/ and results/ as the released code makes them")
    imported: dict[Name, list[Literal["counts", "masks", "answers"]]] = Field(
        {}, description="per model, which of its results are read from there instead of being made"
    )
    snapshot: int = Field(1, ge=1, description="number of the counts, {domain}_{number}.log")


class Lens(Section):
    """The logit lens (mmneuron.md 2.6)."""

    samples: int = Field(40, ge=1, description="samples per domain behind the entropy curves")
    shown: int = Field(2, ge=1, le=20, description="samples of them with tables of top tokens and a page each")
    k: int = Field(10, ge=1, le=100, description="tokens per layer and position")
    prompt: Literal["full", "chat"] = Field(
        "full", description="the benchmark's prompt as released, or that within the model's chat template"
    )
    shift: str = Field(
        "",
        description="safetensors file with a vector per layer, named by its number, to add to the attention's output",
    )
    page_positions: int = Field(120, ge=8, le=300, description="most positions of a page; image positions are thinned")


class Stages(Section):
    """Three stages of the language model by two change points (mmneuron.md 2.9)."""

    segment: int = Field(2, ge=1, description="fewest layers of a stage; less where the model has too few layers")
    meaningful: int = Field(12, ge=4, description="layers below which the output says that it is not meaningful")
    resamples: int = Field(1000, ge=10, description="resamples of the samples behind the intervals")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")


class Pca(Section):
    """Principal components of image embeddings (mmneuron.md 2.10)."""

    samples: int = Field(200, ge=3, description="different pictures per domain")


class MMNeuron(Section):
    """Domain-specific neurons (arXiv 2406.11193)."""

    capture: Name = Field("domain_counts", description="capture that supplies the counts")
    domains: list[Name] = Field(["ad", "med", "rs", "com", "doc"], description="order of the domains, always this")
    columns: list[Name] = Field(["com", "med", "ad", "doc", "rs"], description="order of the columns in tables")
    identify: Identify = Field(Identify(), description="selection of neurons")
    generate: Generate = Field(Generate(), description="writing of answers")
    evaluate: Evaluate = Field(Evaluate(), description="scoring of answers")
    tables: Tables = Field(Tables(), description="names of the published tables")
    effects: Effects = Field(Effects(), description="own-domain effect beside its controls")
    vary: Vary = Field(Vary(), description="variations of the deactivation")
    lens: Lens = Field(Lens(), description="logit lens")
    stages: Stages = Field(Stages(), description="stages of the language model")
    pca: Pca = Field(Pca(), description="map of the pictures by the vision tower")
    examples: Examples = Field(Examples(), description="pictures and maps of the neuron page")
    exchange: Exchange = Field(Exchange(), description="files of the released code")
    conditions: dict[Name, list[Condition]] = Field(description="rows of table 2 per model family")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own = config.mmneuron
    wanted: list[Reference] = [("run.mmneuron", name, config.models, "models") for name in config.run.mmneuron]
    wanted += [("mmneuron.exchange.imported", name, config.models, "models") for name in own.exchange.imported]
    wanted += [("mmneuron.domains", name, config.datasets, "datasets") for name in own.domains]
    wanted += [("mmneuron.capture", own.capture, config.captures, "captures")]
    if own.evaluate.judge != "token_f1":
        wanted += [("mmneuron.evaluate.judge", own.evaluate.judge, config.judges, "judges")]
    return wanted


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    own, found = config.mmneuron, []
    for family, rows in own.conditions.items():
        if [row.name for row in rows if not row.modules] != ["none"] or len({row.name for row in rows}) < len(rows):
            found.append(f"mmneuron.conditions.{family}: names must differ, and just 'none' has no modules")
    if len(set(own.tables.model_dump().values())) < len(own.tables.model_dump()):
        found.append("mmneuron.tables must name five different tables")
    if own.lens.shown > own.lens.samples:
        found.append("mmneuron.lens.shown must not exceed mmneuron.lens.samples")
    if not sorted(own.columns) == sorted(own.domains) == sorted(set(own.domains)):
        found.append("mmneuron.columns must list the same domains as mmneuron.domains, each once")
    if own.exchange.imported and not own.exchange.folder:
        found.append("mmneuron.exchange.folder must name the folder that the files are imported from")
    counts = any("counts" in what for what in own.exchange.imported.values())
    if counts and own.capture in config.captures and config.captures[own.capture].shards > 1:
        found.append(f"captures.{own.capture}.shards must be 1, since imported counts come in one file")
    for name in config.run.mmneuron:
        family = config.models[name].family if name in config.models else None
        if family and family not in own.conditions:
            known = ", ".join(own.conditions) or "none"
            found.append(f"mmneuron.conditions has no rows for family '{family}' of model '{name}' (known: {known})")
    return found


DATASETS: dict[str, Any] = {
    "ad": {"kind": "lingoqa", "options": {"frames": "middle"}, "limit": {"train": 240, "val": 260}},
    "med": {"kind": "pmc_vqa", "splits": {"train": "train", "val": "test_clean"}},
    "rs": {"kind": "rsvqa"},
    "com": {"kind": "vqav2"},
    "doc": {"kind": "docvqa"},
}
CAPTURES: dict[str, Any] = {
    "domain_counts": {
        "data": list(DATASETS),
        "samples": 240,
        "vision_positions": 26000,
        "shards": 2,
        "take": [
            *({"site": "mlp_gate", "where": where} for where in ("all", "image", "text")),
            *({"site": site} for site in ("vision_gate", "projector_gate", "qformer_gate", "query_gate")),
        ],
    }
}
_LLAVA = [
    {"name": "none", "label": "None", "modules": []},
    {"name": "lang", "label": "LLM", "modules": ["lang"]},
    {"name": "vision", "label": "Vision Encoder", "modules": ["vision", "mmproj"]},
    {"name": "mmproj", "label": "MLP Projector", "modules": ["mmproj"]},
    {"name": "all", "label": "All", "modules": ["lang", "vision", "mmproj"]},
]
DEFAULT: dict[str, Any] = {
    "conditions": {
        "llava": _LLAVA,
        "llava_next": _LLAVA,
        "llava_next_llama3": _LLAVA,
        "llava_phi": _LLAVA,
        "instructblip": [
            {"name": "none", "label": "None", "modules": []},
            {"name": "lang", "label": "LLM", "modules": ["lang"]},
            {"name": "encoder", "label": "Vision Encoder", "modules": ["encoder"]},
            {"name": "qformer", "label": "Q-Former", "modules": ["qformer", "query"]},
            {
                "name": "encoder-qformer",
                "label": "Vision Encoder & Q-Former",
                "modules": ["encoder", "qformer", "query"],
            },
            {"name": "all", "label": "All", "modules": ["lang", "encoder", "qformer", "query"]},
        ],
    }
}
