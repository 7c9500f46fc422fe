"""What a training run is told, and which files it reads: as its rule knows them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vlmscope.multimodal_sae.coder import hooks
from vlmscope.store import files

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any
# What a pass over a capture's samples has to know.
READ = ("prompt", "begin", "samples", "vision_positions")


@dataclass(frozen=True)
class Job:
    """What a run reads and writes; every process gets it.

    site      where the states are: `resid_post[24]`
    settings  multimodal_sae.train
    model     manifest, where states are read from the model itself; else
    indices   of the capture that stores them
    data      raws, tables, kinds and settings of the capture, where nothing is stored
    state     folder for what a later run needs to go on
    batch     samples per pass of the model
    """

    site: str
    settings: dict[str, Any]
    state: str
    code: str
    model: str = ""
    indices: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    batch: int = 8
    threads: int = 1

    @property
    def digest(self) -> str:
        """What decides the result; a state of another run is left alone."""
        known = {key: value for key, value in asdict(self).items() if key not in ("state", "batch", "threads")}
        read = [path for path in (self.model, *self.indices, *self.data.get("raws", ())) if path]
        return files.digest_text(json.dumps([known, [files.digest(path) for path in read]], sort_keys=True))


def of_rule(
    told: dict[str, Any],
    data: dict[str, Any],
    *,
    model: Sequence[str],
    indices: Sequence[str],
    raws: Sequence[str],
    samples: Sequence[str],
    **more: Any,
) -> Job:
    """The job of a rule's settings, the capture's, and its inputs, which are empty where they are not read."""
    read = read_from(data, raws, samples) if raws else {}
    return Job(
        told["site"], told["train"], model="".join(model if raws else ()), indices=tuple(indices), data=read, **more
    )


def read_from(data: dict[str, Any], raws: Sequence[str], samples: Sequence[str]) -> dict[str, Any]:
    """Manifests and sample tables beside their formats and how they are asked."""
    return {**data, "raws": list(raws), "tables": list(samples)}


def seeded(told: dict[str, Any], seed: str) -> dict[str, Any]:
    """The settings of a rule with another seed of weights and of the order of states."""
    return {**told, "train": {**told["train"], "seed": int(seed)}}


def again(told: dict[str, Any], data: dict[str, Any], inputs: Any, batch: int) -> Job:
    """The job of the training, to read its states once more.

    inputs   model, indices, raws, samples as the training has them, among others
    """
    read = {"model": [inputs.model], **{name: list(inputs[name]) for name in ("indices", "raws", "samples")}}
    return of_rule(told, data, **read, state="", code="", batch=batch)


def about(config: Any, capture: str) -> dict[str, Any]:
    """Formats of a capture's datasets, and how they are asked."""
    one = config.captures[capture]
    return {
        "kinds": [config.datasets[name].kind for name in one.data],
        "settings": {key: getattr(one, key) for key in READ},
    }


def text(part: Any) -> str:
    """Canonical JSON, as the rules compare it."""
    return json.dumps(part, sort_keys=True, separators=(",", ":"))


class Inputs:
    """Input functions and paths of the rules."""

    def __init__(self, config: Any) -> None:
        self.config, self.own = config, config.multimodal_sae
        self.hookpoint = hooks.hookpoint(self.own.site)
        self.home = f"results/multimodal_sae/{{model}}/sae/{self.hookpoint}"
        captures = {self.own.train.capture, self.own.quality.capture}
        kinds = {config.datasets[name].kind for capture in captures for name in config.captures[capture].data}
        self.formats = [f"vlmscope.datasets.{kind}" for kind in sorted(kinds)]

    def indices(self, wildcards: Wildcards) -> list[str]:
        """Indices of the capture that stores the states; none where they are not stored."""
        train = self.own.train
        data = self.config.captures[train.capture].data if train.stored else []
        return [f"results/captures/{wildcards.model}/{train.capture}/{name}/index.json" for name in data]

    def model(self, wildcards: Wildcards) -> list[str]:
        """The model, where it runs beside the training."""
        return [] if self.own.train.stored else [f"results/models/{wildcards.model}/model.json"]

    def raws(self, wildcards: Wildcards) -> list[str]:
        """Manifests of the datasets, where the model runs."""
        return [] if self.own.train.stored else self._raws(self.own.train.capture)

    def samples(self, wildcards: Wildcards) -> list[str]:
        """Their sample tables."""
        return [] if self.own.train.stored else self._samples(self.own.train.capture)

    def data(self, wildcards: Wildcards) -> str:
        """Formats of the training's samples and how they are asked, as canonical JSON."""
        return text({} if self.own.train.stored else about(self.config, self.own.train.capture))

    def _raws(self, capture: str) -> list[str]:
        return [f"results/data/{name}/raw.json" for name in self.config.captures[capture].data]

    def _samples(self, capture: str) -> list[str]:
        one = self.config.captures[capture]
        return [f"results/data/{name}/{one.split}.parquet" for name in one.data]

    def held_out_raws(self, wildcards: Wildcards) -> list[str]:
        """Manifests of the datasets that the quality is measured on."""
        return self._raws(self.own.quality.capture)

    def held_out_samples(self, wildcards: Wildcards) -> list[str]:
        """Their sample tables."""
        return self._samples(self.own.quality.capture)

    def held_out(self, wildcards: Wildcards) -> str:
        """Their formats and how they are asked, as canonical JSON."""
        return text(about(self.config, self.own.quality.capture))

    def cached_raws(self, wildcards: Wildcards) -> list[str]:
        """Manifests of the datasets whose pictures are cached."""
        return [f"results/data/{name}/raw.json" for name in self.own.cache.data]

    def cached_samples(self, wildcards: Wildcards) -> list[str]:
        """Their sample tables."""
        return [f"results/data/{name}/{self.own.cache.split}.parquet" for name in self.own.cache.data]
