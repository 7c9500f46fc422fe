"""Checks at start-up: whether a configuration can be worked through, before anything runs."""

from collections.abc import Iterable
from pathlib import Path

from vlmscope.atlas import plan
from vlmscope.config import Config
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons import needs
from vlmscope.mmneuron import metrics, modules
from vlmscope.models import base as families
from vlmscope.models.tiny.recipe import RECIPES
from vlmscope.xl_vlms.sets import needs as states

# Listed, not imported: every job reads the rules anew, and the readers bring numpy and polars.
FORMATS = Path(__file__).with_name("datasets")
# Formats of which nothing is drawn.
UNDRAWN = ("mm_safetybench",)


def check_plan(config: Config) -> None:
    """Stop where a method needs a take that its capture does not have, with the lines to add."""
    _check_catalogues(config)
    _check_sites(config)
    _check_recipes(config)
    _check_domains(config)
    _check_captions(config)
    _check_sets(config)
    _check_means(config)
    _check_atlas(config)
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


def _check_atlas(config: Config) -> None:
    """Every model that all five systems are to run on is one that each of them can look at."""
    for name in config.run.atlas:
        plan.check(config, name, "run.atlas")


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
