"""Where results lie, and what each job reads: paths as functions of the configuration and the wildcards."""

from typing import Any

from vlmscope.config import Config, digest_ready, plain
from vlmscope.models.convert.recipe import recipe
from vlmscope.models.load import checkpoint_folder
from vlmscope.models.tiny.recipe import RECIPES
from vlmscope.xl_vlms.shift import plan as shift_plan

# Formats whose pictures lie behind a list of links, and the options of their readers that say which are fetched.
LINKED = {"sbu": ("train", "valid", "test", "seed")}

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any


def shard_names(count: int) -> list[str]:
    """`00000`, `00001`, ...: names of the shards of one capture and dataset."""
    return [f"{number:05d}" for number in range(count)]


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

    def affine_lens(self, wildcards: Wildcards) -> list[str]:
        """The fitted maps of a model's layers, where pages show that lens."""
        wanted = "affine" in self.config.llava_interp.views.lenses
        return [f"results/llava_interp/{wildcards.model}/lens_tuned.safetensors"] if wanted else []

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
