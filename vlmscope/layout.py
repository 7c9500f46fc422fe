"""Where results lie, and what each job reads: paths as functions of the configuration and the wildcards."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vlmscope.config import Config, digest_ready, plain
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons import needs
from vlmscope.mmneuron import metrics, modules
from vlmscope.models import base as families
from vlmscope.models.convert.recipe import recipe
from vlmscope.models.tiny.recipe import RECIPES
from vlmscope.xl_vlms import needs as states
from vlmscope.xl_vlms import shift_plan

ROOT = Path(__file__).resolve().parents[1]
# Listed, not imported: every job reads the rules anew, and the readers bring numpy and polars.
FORMATS = Path(__file__).with_name("datasets")
# Formats of which nothing is drawn.
UNDRAWN = ("mm_safetybench",)
# Formats whose pictures lie behind a list of links, and the options of their readers that say which are fetched.
LINKED = {"sbu": ("train", "valid", "test", "seed")}

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any


def shard_names(count: int) -> list[str]:
    """`00000`, `00001`, ...: names of the shards of one capture and dataset."""
    return [f"{number:05d}" for number in range(count)]


def checkpoint_folder(checkpoint: str) -> Path:
    """A checkpoint folder as given, or below the repository when it is not found from the working directory."""
    path = Path(checkpoint)
    return path if path.is_absolute() or path.is_dir() else ROOT / path


class Paths:
    """Input functions of the rules."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.kinds = {
            "kind": {name: one.kind for name, one in config.datasets.items()},
            "family": {name: one.family for name, one in config.models.items()},
            "recipe": {name: one.body for name, one in RECIPES.items()},
            "taught": {name: config.models[one.base].family for name, one in config.finetunes.items()},
            "learnt": {name: config.datasets[one.data].kind for name, one in config.finetunes.items()},
        }

    def datasets(self, source: str) -> list[str]:
        """Datasets that come from this source."""
        return [name for name, one in self.config.datasets.items() if one.source == source]

    def downloads(self, linked: bool) -> list[str]:
        """Datasets to fetch whose pictures come from a list of links, or those that come as archives."""
        return [name for name in self.datasets("download") if (self.config.datasets[name].kind in LINKED) == linked]

    def deal(self, wildcards: Wildcards) -> str:
        """Options that say which pictures of a list of links are fetched, as canonical JSON."""
        one = self.config.datasets[wildcards.dataset]
        return digest_ready({key: one.options[key] for key in LINKED[one.kind] if key in one.options})

    def checkpoints(self, *sources: str) -> list[str]:
        """Models and judges that come from these sources."""
        every = {**self.config.models, **self.config.judges}
        return [name for name, one in every.items() if one.source in sources]

    def raw_folder(self, wildcards: Wildcards) -> str:
        """Folder of a dataset's downloaded files; drawn ones lie elsewhere, so that no reader can mix the two."""
        return self.config.datasets[wildcards.dataset].root or f"results/data/{wildcards.dataset}/download"

    def hub_settings(self, wildcards: Wildcards) -> str:
        """Hugging Face id and revision, and what the converter of an official release reads, as canonical JSON."""
        one = {**self.config.models, **self.config.judges}[wildcards.model]
        asked: dict[str, Any] = {"checkpoint": one.checkpoint, "revision": one.revision}
        if one.source == "official":
            known = recipe(one.family)
            asked |= {"pickles": known.pickles, "beside": known.beside}
        return digest_ready(asked)

    def model_folder(self, wildcards: Wildcards) -> str:
        """Folder that holds a model's weights."""
        model = self.config.models[wildcards.model]
        if model.source == "train":
            return f"results/models/{model.checkpoint}/trained"
        if model.source == "finetune":
            step = model.revision or self.config.finetunes[model.checkpoint].kept()[-1]
            return f"results/models/{model.checkpoint}/finetuned/{step}"
        below = {"hub": "hub", "official": "converted"}
        return (
            model.checkpoint if model.source == "folder" else f"results/models/{wildcards.model}/{below[model.source]}"
        )

    def trained_before(self, wildcards: Wildcards) -> list[str]:
        """Weights of the models that a recipe takes parts of: tower, then decoder."""
        recipe = RECIPES[wildcards.model]
        others = [name for name in (recipe.tower_of, recipe.start_of) if name]
        return [f"results/models/{other}/trained/model.safetensors" for other in others]

    def model_files(self, wildcards: Wildcards) -> list[str]:
        """Files that stand for a model's weights; none where the folder is missing, which the job then explains."""
        model = self.config.models[wildcards.model]
        if model.source in ("hub", "official"):
            made = "hub" if model.source == "hub" else "converted"
            return [f"results/models/{wildcards.model}/{made}.json"]
        if model.source == "train":
            return [f"results/models/{model.checkpoint}/trained/model.safetensors"]
        if model.source == "finetune":
            return [f"results/models/{model.checkpoint}/finetuned.json"]
        return [str(path) for path in sorted(checkpoint_folder(model.checkpoint).glob("*.safetensors"))]

    def finetune_files(self, wildcards: Wildcards) -> dict[str, str]:
        """What a fine-tune reads: manifest of its base, manifest and samples of its dataset."""
        one = self.config.finetunes[wildcards.finetune]
        return {
            "model": f"results/models/{one.base}/model.json",
            "raw": f"results/data/{one.data}/raw.json",
            "samples": f"results/data/{one.data}/{one.split}.parquet",
        }

    def finetune_settings(self, wildcards: Wildcards) -> str:
        """How a fine-tune learns, with the format of its dataset, as canonical JSON."""
        one = self.config.finetunes[wildcards.finetune]
        told = one.model_dump(mode="json", exclude={"base", "data", "split", "word_class"})
        told |= {"words": shift_plan.phrased(one), "saves": one.kept()}
        return digest_ready({**told, "kind": self.config.datasets[one.data].kind})

    def capture_samples(self, wildcards: Wildcards) -> str:
        """Sample table behind a capture."""
        split = self.config.captures[wildcards.capture].split
        return f"results/data/{wildcards.dataset}/{split}.parquet"

    def shards(self, wildcards: Wildcards) -> list[str]:
        """All shards of one capture and dataset."""
        names = shard_names(self.config.captures[wildcards.capture].shards)
        folder = f"results/captures/{wildcards.model}/{wildcards.capture}/{wildcards.dataset}"
        return [f"{folder}/{name}.h5" for name in names]

    def counts(self, model: str) -> list[str]:
        """Indices of the capture behind mmneuron, in the order of the domains."""
        settings = self.config.mmneuron
        return [f"results/captures/{model}/{settings.capture}/{domain}/index.json" for domain in settings.domains]

    def caption_index(self, wildcards: Wildcards) -> str:
        """Index of the capture behind mm_neurons."""
        settings = self.config.mm_neurons
        return f"results/captures/{wildcards.model}/{settings.capture}/{settings.dataset}/index.json"

    def captioned(self, wildcards: Wildcards) -> str:
        """Sample table of that capture."""
        settings = self.config.mm_neurons
        return f"results/data/{settings.dataset}/{self.config.captures[settings.capture].split}.parquet"

    def published_mean(self, wildcards: Wildcards) -> list[str]:
        """The published mean of a model's visual tokens, where one is taken."""
        imported = self.config.llava_interp.mean.imported
        return [imported[wildcards.model]] if wildcards.model in imported else []

    def masked_conditions(self, wildcards: Wildcards) -> str:
        """Condition name -> modules, without labels, as canonical JSON: a new label rewrites the table only."""
        rows = self.config.mmneuron.conditions[self.config.models[wildcards.model].family]
        return digest_ready([[row.name, row.modules] for row in rows if row.modules])

    def condition_modules(self, wildcards: Wildcards) -> str:
        """Name and modules of the rows of table 2, the untouched one included, as canonical JSON."""
        rows = self.config.mmneuron.conditions[self.config.models[wildcards.model].family]
        return digest_ready([{"name": row.name, "modules": row.modules} for row in rows])

    def domain_kinds(self, wildcards: Wildcards) -> str:
        """Benchmark format per domain, as canonical JSON."""
        return digest_ready({name: self.config.datasets[name].kind for name in self.config.mmneuron.domains})

    def scorers(self, wildcards: Wildcards) -> list[str]:
        """Configurations of the models that score decoded words; none where stand-ins do."""
        own = self.config.mm_neurons.measures
        folders = dict.fromkeys((own.bertscore, own.moverscore, own.bleurt))
        return [f"{folder}/config.json" for folder in folders if folder]

    def judge(self, wildcards: Wildcards) -> list[str]:
        """The judge's checkpoint where one is needed: free answers (LingoQA) and no stand-in."""
        name = self.config.mmneuron.evaluate.judge
        free = any(self.config.datasets[domain].kind == "lingoqa" for domain in self.config.mmneuron.domains)
        if name == "token_f1" or not free:
            return []
        source = self.config.judges[name]
        return [f"results/models/{name}/hub.json"] if source.source == "hub" else [source.checkpoint + "/config.json"]

    def conditions(self, wildcards: Wildcards) -> str:
        """Rows of table 2 with their labels, as canonical JSON."""
        family = self.config.models[wildcards.model].family
        return digest_ready(plain(self.config)["mmneuron"]["conditions"][family])

    def table_data(self, wildcards: Wildcards) -> str:
        """What the table says of its data: format and official split per domain, and the capture's budget."""
        settings = self.config.mmneuron
        sets = {name: self.config.datasets[name] for name in settings.domains}
        capture = plain(self.config)["captures"][settings.capture]
        return digest_ready(
            {
                # Canonical JSON sorts keys; the order of the domains is a list of its own.
                "domains": settings.domains,
                "kinds": {name: one.kind for name, one in sets.items()},
                "splits": {name: one.splits for name, one in sets.items()},
                "options": {name: one.options for name, one in sets.items()},
                "capture": capture,
            }
        )


# ---- checks at start-up ------------------------------------------------------------------------------------------


def check_plan(config: Config) -> None:
    """Stop where a method needs a take that its capture does not have, with the lines to add."""
    _check_catalogues(config)
    _check_sites(config)
    _check_recipes(config)
    _check_domains(config)
    _check_captions(config)
    _check_sets(config)
    _check_means(config)
    for name in config.run.mmneuron:
        family = config.models[name].family
        takes = [take.model_dump() for take in config.captures[config.mmneuron.capture].take]
        lacking = _missing(modules.needs(family), takes)
        if lacking:
            raise _incomplete(config.mmneuron.capture, lacking, f"mmneuron needs for the model '{name}'")
        _check_modules(config, family)


def _check_captions(config: Config) -> None:
    """The capture behind mm_neurons holds what each activation is read from."""
    name, wanted = config.mm_neurons.capture, needs.takes(config.mm_neurons.rank.activations)
    lacking = _missing(wanted, [take.model_dump() for take in config.captures[name].take])
    if lacking and config.run.mm_neurons:
        raise _incomplete(name, lacking, f"mm_neurons needs for {', '.join(config.mm_neurons.rank.activations)}")


def _check_sets(config: Config) -> None:
    """The capture behind every vector set of system 3 holds the states that the set's rule looks at."""
    for name, one in config.xl_vlms.sets.items():
        takes = [take.model_dump() for take in config.captures[one.capture].take]
        states.check(takes, one.model_dump(), name)


def _check_means(config: Config) -> None:
    """Published means and results of system 5 are there: the engine would keep what was made without them."""
    for name, path in config.llava_interp.mean.imported.items():
        if not Path(path).is_file():
            raise VlmscopeError(
                f"The mean vector {path} is not there.",
                where=f"llava_interp.mean.imported.{name}",
                instead="the file that was published for this checkpoint, or leave the model out to compute it",
            )
    for name, told in config.llava_interp.exchange.imported.items():
        for kind, path in told.model_dump().items():
            if path and not Path(path).is_file():
                raise VlmscopeError(
                    f"The result file {path} is not there.",
                    where=f"llava_interp.exchange.imported.{name}.{kind}",
                    instead="a result file of the released code, or leave it out to run the model",
                )


def _incomplete(capture: str, lacking: Iterable[dict[str, str]], who: str) -> VlmscopeError:
    lines = "\n".join("    - {{site: {site}, where: {where}, keep: {keep}}}".format(**take) for take in lacking)
    return VlmscopeError(
        f"The capture '{capture}' lacks takes that {who}.",
        where=f"captures.{capture}.take",
        instead="add\n" + lines,
    )


def _check_catalogues(config: Config) -> None:
    """Families and formats are modules of the library: stop at once where one is named that is not there."""
    formats = [path.stem for path in sorted(FORMATS.glob("*.py")) if path.stem not in ("__init__", "base")]
    named = [(f"models.{key}.family", one.family, families.names()) for key, one in config.models.items()]
    named += [(f"datasets.{key}.kind", one.kind, formats) for key, one in config.datasets.items()]
    for where, name, known in named:
        if name not in known:
            raise VlmscopeError(
                f"There is no '{name}' in the library.", where=where, instead="one of: " + ", ".join(known)
            )
    for key, one in config.datasets.items():
        if one.kind in UNDRAWN and one.source == "drawn":
            raise VlmscopeError(
                f"The drawn world has nothing like {one.kind}.",
                where=f"datasets.{key}.source",
                instead="source: folder, with the official files (docs/data.md)",
            )


def _check_sites(config: Config) -> None:
    """A model leaves out the sites that only other families have; a site that none has is a typing error."""
    for key, capture in config.captures.items():
        for take in capture.take:
            if take.site.partition("[")[0] not in families.site_names():
                raise VlmscopeError(
                    f"No family has a site '{take.site}'.",
                    where=f"captures.{key}.take",
                    instead="one of: " + ", ".join(sorted(families.site_names())),
                )


def _check_recipes(config: Config) -> None:
    """A model that is trained here names a recipe of its own family."""
    for key, model in config.models.items():
        fitting = [name for name, recipe in RECIPES.items() if recipe.body == model.family]
        if model.source == "train" and model.checkpoint not in fitting:
            raise VlmscopeError(
                f"There is no recipe '{model.checkpoint}' for the family {model.family}.",
                where=f"models.{key}.checkpoint (source: train)",
                instead="one of: " + (", ".join(fitting) or "none yet; take source: folder or hub"),
            )


def _check_domains(config: Config) -> None:
    """A domain is a benchmark of questions whose answers mmneuron can score."""
    for name in config.mmneuron.domains:
        if (kind := config.datasets[name].kind) not in metrics.KINDS:
            raise VlmscopeError(
                f"The dataset '{name}' ({kind}) has no answers that mmneuron could score.",
                where="mmneuron.domains",
                instead="datasets of a kind of: " + ", ".join(metrics.KINDS),
            )


def _missing(needs: Iterable[dict[str, str]], takes: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    # A take of listed units does not hold what a method needs.
    have = {(take["site"], take["where"], take["keep"]) for take in takes if not take.get("units")}
    return [need for need in needs if (need["site"], need["where"], need["keep"]) not in have]


def _check_modules(config: Config, family: str) -> None:
    known, rows = modules.sites(family), config.mmneuron.conditions[family]
    masking = [row.name for row in rows if row.modules]
    for section, name in (
        ("effects", config.mmneuron.effects.condition),
        ("vary", config.mmneuron.vary.condition),
    ):
        if name not in masking:
            raise VlmscopeError(
                f"'{name}' is no condition of {family} that masks something.",
                where=f"mmneuron.{section}.condition",
                instead="one of: " + ", ".join(masking),
            )
    for row in rows:
        for module in row.modules:
            if module not in known:
                raise VlmscopeError(
                    f"The condition '{row.name}' masks the module '{module}', which {family} does not have.",
                    where=f"mmneuron.conditions.{family}",
                    instead="one of: " + ", ".join(known),
                )
