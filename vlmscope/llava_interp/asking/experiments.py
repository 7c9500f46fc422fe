"""What the experiments of a model share: where they start from, which pictures they ask, how a job runs one."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from PIL import Image
from torch import Tensor

from vlmscope.capture.batches import picture_of
from vlmscope.llava_interp.asking import answers, mean, prompts, selection
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.llava_interp.asking.selection import Filter, Target
from vlmscope.models.load import Loaded, load
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import device, prepare_torch, progress, settings
from vlmscope.store import files, tables
from vlmscope.store.pieces import Pieces

MODES: tuple[answers.Mode, ...] = ("strict", "official")
Record = dict[str, Any]
T = TypeVar("T")
# What the engine hands a script; only attribute access is used.
Job = Any


@dataclass(frozen=True)
class Bench:
    """What every experiment of a model needs.

    value      what replaces a token, float [d]; None for zeros
    average    the mean visual token, the baseline of gradients; None where neither is asked for
    told       settings: asking, those of the experiment, objects where it looks at some
    pieces     where records are kept until the step ends
    """

    loaded: Loaded
    picture: Callable[[Sample], Image.Image]
    value: Tensor | None
    average: Tensor | None
    told: Mapping[str, Any]
    batch: int
    pieces: Pieces = field(default_factory=Pieces)

    def ask(self, question: str, begin: str = "") -> str:
        """A question within the model's template."""
        return prompts.text(self.loaded, self.told["asking"], question, begin)


# Records, and how many pictures each step of the choice left.
Found = tuple[pl.DataFrame, dict[str, int]]
Experiment = Callable[[Bench, str], Found]


def bench(loaded: Loaded, raw: str, vector: str, told: Mapping[str, Any], batch: int) -> Bench:
    """From files: the manifest of the pictures and the mean vector, empty where no token is replaced.

    told   value: mean, zero, where there is a vector; the released answers to questions know the mean alone, whatever
           they are told [differs: llava_interp.md 8 #13]
    """
    average = mean.load(vector, loaded) if vector else None
    value = None if average is None or told["value"] == "zero" else average
    return Bench(loaded, picture_of(read_manifest(raw)["root"]), value, average, told, batch)


def run(
    experiment: Experiment,
    loaded: Loaded,
    *,
    raw: str,
    samples: str,
    settings: Mapping[str, Any],
    batch: int,
    vector: str = "",
    pieces: Pieces | None = None,
) -> Found:
    """What an experiment finds with the pictures of a sample table."""
    own = bench(loaded, raw, vector, settings, batch)
    return experiment(replace(own, pieces=pieces) if pieces else own, samples)


def write(experiment: Experiment, columns: Mapping[str, Any], job: Job) -> None:
    """Run an experiment as its rule asks, and write its records with the funnel of pictures.

    A job that was stopped goes on behind the pictures it had, which the released code counts anew
    [differs: llava_interp.md 8 #16].

    columns   of the records
    job       input: model, raw, samples, maybe vector; output: records, funnel; params.settings and code; threads;
              resources
    """
    prepare_torch(job.threads)
    pieces = _pieces(job)
    found, funnel = run(
        experiment,
        load(job.input.model, device(job.resources.gpu, job.resources.device)),
        raw=job.input.raw,
        samples=job.input.samples,
        vector=job.input.get("vector", ""),
        settings=settings(job.params.settings),
        batch=job.resources.batch,
        pieces=pieces,
    )
    tables.write(found, job.output.records, columns)
    files.write_json(funnel, job.output.funnel)
    pieces.clear()


def _pieces(job: Job) -> Pieces:
    """Beside the records, by all that decides them: `records/ablation.parts/`."""
    inputs = [files.digest(path) for path in sorted({*job.input})]
    decides = [job.params.settings, job.params.code, job.resources.batch, inputs]
    return Pieces(Path(job.output.records).with_suffix(".parts"), files.digest_text(json.dumps(decides)))


# ---- pictures -----------------------------------------------------------------------------------------------------


def chosen(loaded: Loaded, samples: str, told: Mapping[str, Any]) -> tuple[list[Target], dict[str, int]]:
    """Objects to look at, and how many pictures each step of the choice left."""
    own = told["objects"]
    return selection.targets(read(samples), Filter.of(own), prompts.view(loaded), own["geometry"])


def questioned(own: Bench, samples: str, most: int) -> tuple[list[Target], dict[str, int]]:
    """The first objects whose picture has a question of its own, and the funnel of pictures."""
    targets, funnel = chosen(own.loaded, samples, own.told)
    asked = [one for one in targets if one.sample.question][:most]
    return asked, funnel | {"with_question": len(asked)}


def gathered(
    own: Bench, parts: Sequence[T], of_one: Callable[[T], Iterable[Record]], columns: Mapping[str, Any]
) -> pl.DataFrame:
    """Records of all pictures in order, with their progress in the log; each picture is a piece."""
    every = enumerate(progress(parts, len(parts), "pictures"))
    found = [own.pieces.kept(f"{place:06d}", partial(of_one, one), columns) for place, one in every]
    return pl.concat([pl.DataFrame(schema=columns), *found])


# ---- one picture --------------------------------------------------------------------------------------------------


def named(target: Target) -> Record:
    """Which object of which picture."""
    return {
        "sample": target.sample.sample,
        "image_id": target.image_id,
        "ann_id": target.ann_id,
        "class": target.name,
    }


def question(own: Bench, target: Target) -> tuple[Asked, prompts.Word, Record]:
    """A picture's question, the first token of the class that answers it, and the untouched answer."""
    text = own.ask(target.sample.question, prompts.begun(own.told["asking"]["begin"], target.name))
    asked = prompts.prepare(own.loaded, [text], [own.picture(target.sample)], 1)[0]
    wanted = prompts.word(own.loaded.processor.tokenizer, target.name.lower())
    return asked, wanted, prompts.told(own.loaded, prompts.next_logits(own.loaded, [(asked, ())], None, 1)[0], wanted)


def right(told: Mapping[str, Any]) -> bool:
    """Whether a token answers the question by at least one way to judge."""
    return any(answers.names(told["text"], told["first"], told["token"], told["right"], mode) for mode in MODES)
