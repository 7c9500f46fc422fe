"""Targets of the command line, looked at before the engine does, which would only say that no rule makes them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from vlmscope.atlas import plan
from vlmscope.config import Config, Run
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import modules
from vlmscope.mmneuron.portions import Portions
from vlmscope.models.tiny.recipe import RECIPES

# The more special shape stands first.
SHAPES = (
    r"results/data/(?P<dataset>[^/]+)/(?P<split>[^/]+)\.parquet",
    r"results/data/(?P<dataset>[^/]+)/.*",
    r"results/models/(?P<model>[^/]+)/.*",
    r"results/captures/(?P<model>[^/]+)/(?P<capture>[^/]+)/(?P<dataset>[^/]+)/.*",
    r"results/mmneuron/(?P<model>[^/]+)/answers/(?P<domain>[^/]+)/(?P<part>[^/]+)\.parquet",
    r"results/mmneuron/(?P<model>[^/]+)/answers/(?P<domain>[^/]+)/.*",
    r"results/mmneuron/(?P<model>[^/]+)/scores/(?P<part>[^/]+)\.parquet",
    r"results/mmneuron/(?P<model>[^/]+)/(?:effects|varied)/(?P<portion>[^/]+)\.parquet",
    r"results/mmneuron/(?P<model>[^/]+)/(?:examples|zeroed|lens)/(?P<domain>[^/]+?)(?:\.curves)?\.(?:parquet|json)",
    r"results/mmneuron/(?P<model>[^/]+)/lens_(?P<domain>[^/]+?)_(?P<page>\d+)\.html",
    r"results/mmneuron/(?P<model>[^/]+)/lens_(?P<domain>[^/]+)\.csv",
    r"results/mmneuron/(?P<model>[^/]+)/.*",
    r"results/mm_neurons/(?P<model>[^/]+)/.*",
    r"results/multimodal_sae/(?P<model>[^/]+)/.*",
    r"results/xl_vlms/(?P<model>[^/]+)/(?:vectors|dictionaries|released/features)/(?P<set>[^/]+)\.(?:h5|pth)",
    r"results/xl_vlms/(?P<model>[^/]+)/released/l2s/[^/]+-(?P<split>[^/-]+)-\w+\.pth",
    r"results/xl_vlms/(?P<model>[^/]+)/learned/[^/]+/states-(?P<split>[^/]+)\.h5",
    r"results/xl_vlms/(?P<model>[^/]+)/.*",
    r"results/llava_interp/(?P<model>[^/]+)/.*",
    r"results/atlas/(?P<model>[^/]+)/.*",
)
# The parts of a system's results, as the target rules list them: files, several rules' worth.
Parts = Mapping[str, Iterable[Iterable[str]]]


class Made:
    """What the targets `all`, `everything`, a system's name and a model's manifest make.

    run        models of every system; the first one is the headline's
    headline   by system, lists of files that `all` makes of the first model
    more       by system, lists of files that only `everything` makes
    """

    def __init__(self, run: Run, headline: Parts, more: Parts) -> None:
        self._first = {system: models[:1] for system, models in run}
        self._headline = {system: _flat(lists) for system, lists in headline.items()}
        self._more = {system: _flat(lists) for system, lists in more.items()}

    def of(self, system: str, model: str = "") -> list[str]:
        """Every file of a system, or of one model in it; those that tell of several models belong to no model."""
        files = [*self._headline[system], *self._more.get(system, [])]
        return [one for one in files if not model or one.startswith(f"results/{system}/{model}/")]

    @property
    def systems(self) -> list[str]:
        """Their names."""
        return list(self._headline)

    def files(self, wildcards: Any) -> list[str]:
        """Every file of `{system}` and `{model}`, for a rule's input."""
        found = self.of(wildcards.system, wildcards.model)
        if not found:
            raise VlmscopeError(
                f"'{wildcards.model}' is not among the models of {wildcards.system}.",
                where=f"run.{wildcards.system}",
                instead="add it there, or ask for single results by their paths",
            )
        return found

    @property
    def headline(self) -> list[str]:
        """Headline files of every system's first model."""
        return [
            one
            for system, files in self._headline.items()
            for model in self._first[system]
            for one in files
            if one.startswith(f"results/{system}/{model}/")
        ]

    @property
    def every(self) -> list[str]:
        """Files of every system and model."""
        return [one for system in self._headline for one in self.of(system)]


def _flat(lists: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(str(one) for files in lists for one in files))


# What mmneuron makes of any model: lens, map of the pictures, prompts, answers without a mask.
WITHOUT_NEURONS = r"lens[_/].*|embeddings\.\w+|fig2_pca\..*|prompts\.json|answers/[^/]+/none\.parquet"


def check(targets: Iterable[str], config: Config) -> None:
    """Say which name in a target is unknown.

    targets   words of the command line; what is no path of a result is passed over
    """
    known: dict[str, Iterable[str]] = {
        "dataset": config.datasets,
        "split": ("train", "val"),
        "capture": config.captures,
        "domain": config.mmneuron.domains,
        "part": ("none", "masked"),
        "portion": Portions(config).domains,
        "set": config.xl_vlms.sets,
        "page": [str(number) for number in range(config.mmneuron.lens.shown)],
    }
    for target in targets:
        weights = {**config.models, **config.judges, **config.finetunes, **RECIPES}
        known["model"] = weights if target.startswith("results/models/") else config.models
        for kind, name in _names_in(target).items():
            if name not in known[kind]:
                raise VlmscopeError(
                    f"The target {target} names the {kind} '{name}', which the configuration does not have.",
                    where="the command line",
                    instead=f"one of: {', '.join(known[kind])}",
                )
        _check_neurons(target, config)
        if found := re.fullmatch(r"results/atlas/([^/]+)/.*", target):
            plan.check(config, found[1], f"the target {target}")


def _names_in(target: str) -> dict[str, str]:
    """Names of catalogue entries that stand in a result's path, by kind."""
    for shape in SHAPES:
        found = re.fullmatch(shape, target)
        if found:
            return found.groupdict()
    return {}


def _check_neurons(target: str, config: Config) -> None:
    found = re.fullmatch(r"results/mmneuron/([^/]+)/(.*)", target)
    if not found or re.fullmatch(WITHOUT_NEURONS, found[2]):
        return
    defined = [key for key, one in config.models.items() if one.family in modules.MODULES]
    if found[1] not in defined:
        raise VlmscopeError(
            f"The target {target} needs neurons of the model '{found[1]}', which mmneuron does not define.",
            where=f"models.{found[1]}.family: {config.models[found[1]].family}",
            instead=f"a model of one of the families {', '.join(modules.MODULES)}: {', '.join(defined)}",
        )
