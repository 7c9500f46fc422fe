"""What noise on a noun's neurons does, and what is written without them, beside random ones (mm_neurons.md 2.9, 6.7).

Every trial is a row of a batch with neurons and noise of its own. It is read first: one pass over prompt and untouched
caption tells the noun's log-probability and whether the caption would be written again. Only where it would not is a
new one written, token by token with a cache.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import torch

from vlmscope import edits
from vlmscope.capture.batches import picture_of
from vlmscope.capture.shard import prompts
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.perturb.trials import METHODS, Noun, Said, Trial, trials
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.runs import columns, passes
from vlmscope.mm_neurons.runs.passes import Prompt
from vlmscope.mm_neurons.schemas import CAPTIONS, EFFECTS, NOUNS
from vlmscope.models import answer
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import read
from vlmscope.session import progress
from vlmscope.store import tables

log = logging.getLogger(__name__)


class Bench:
    """A model with samples and what it says of them untouched.

    sizes   what sigma is multiplied with, see `noise.scale`
    """

    def __init__(self, loaded: Loaded, said: Sequence[Said], max_new_tokens: int, batch: int, relative: bool) -> None:
        self.loaded, self.said, self.max_new_tokens, self.batch = loaded, said, max_new_tokens, batch
        self.sizes = columns.rms(loaded) if relative else None
        self.d = loaded.family.site("mlp_out").width(loaded.config)
        self.stops = frozenset(answer.ends(loaded))
        # Whether a pass over the caption writes it again, and log-probabilities of its nouns.
        self.repeats: dict[int, bool] = {}
        self.before: dict[tuple[int, str], float] = {}
        for rows in passes.batches([one.prompt for one in said], batch):
            values = self._read(rows)
            for row, one, kept in zip(rows, values, self._repeated(rows, values), strict=True):
                self.repeats[row] = kept
                self.before |= {(row, noun.noun): float(one[noun.step, noun.token]) for noun in said[row].nouns}
        log.info("%d of %d captions are read as they were written", sum(self.repeats.values()), len(said))

    def _read(self, rows: Sequence[int]) -> torch.Tensor:
        some = [self.said[row] for row in rows]
        return passes.log_probs(self.loaded, [one.prompt for one in some], [one.tokens for one in some])

    def _repeated(self, rows: Sequence[int], values: torch.Tensor) -> list[bool]:
        likeliest = values.argmax(-1).tolist()
        return [
            all(step == token for step, token in zip(own, self.said[row].tokens, strict=False))
            for row, own in zip(rows, likeliest, strict=True)
        ]

    def effects(self, every: Sequence[Trial]) -> Iterator[pl.DataFrame]:
        """A table per batch of trials, `EFFECTS`."""
        for chosen in passes.batches([self.said[one.said].prompt for one in every], self.batch):
            yield self._measured([every[place] for place in chosen])

    def _measured(self, part: Sequence[Trial]) -> pl.DataFrame:
        rows = [one.said for one in part]
        with self._changed(part):
            values = self._read(rows)
        # A caption that is not even read as it was written has to be written in any case.
        same = [self.repeats[row] and kept for row, kept in zip(rows, self._repeated(rows, values), strict=True)]
        anew = [place for place, kept in enumerate(same) if not kept]
        with self._changed([part[place] for place in anew]):
            written = self._write([rows[place] for place in anew])
        captions = [self._bare(self.said[row].tokens) for row in rows]
        captions = [dict(zip(anew, written, strict=True)).get(place, one) for place, one in enumerate(captions)]
        return pl.DataFrame(list(self._rows(part, values, captions)), schema=EFFECTS)

    @contextlib.contextmanager
    def _changed(self, part: Sequence[Trial]) -> Iterator[None]:
        """Row k of the batch runs under trial k."""
        noises = [one.noise(self.d, self.sizes) for one in part]
        cuts = [edits.Change({columns.SITE: one.zeroed()}) for one in part]
        with columns.added(self.loaded, noises), edits.changed(self.loaded, cuts):
            yield

    def _write(self, rows: Sequence[int]) -> list[list[int]]:
        some = [self.said[row].prompt for row in rows]
        return passes.write(self.loaded, some, self.max_new_tokens) if some else []

    def _bare(self, tokens: Sequence[int]) -> list[int]:
        """Without the end token."""
        return [token for token in tokens if token not in self.stops]

    def _rows(
        self, part: Sequence[Trial], values: torch.Tensor, captions: Sequence[Sequence[int]]
    ) -> Iterator[dict[str, Any]]:
        for trial, one, tokens in zip(part, values, captions, strict=True):
            said = self.said[trial.said]
            common = {name: getattr(trial, name) for name in ("set", "activation", "draw", "kind", "k", "sigma")}
            common |= {"sample": said.sample, "caption": answer.text_of(self.loaded, tokens)}
            common["changed"] = list(tokens) != self._bare(said.tokens)
            for noun in trial.nouns:
                now = float(one[noun.step, noun.token])
                change = now - self.before[trial.said, noun.noun]
                yield common | {"noun": noun.noun, "gone": noun.token not in tokens, "dlogp": change}


# ---- files -------------------------------------------------------------------------------------------------------


def nouns_of(captions: pl.DataFrame, nouns: pl.DataFrame) -> dict[str, tuple[list[int], list[Noun]]]:
    """Sample -> its caption's tokens and its kept nouns, in the order of the captions; samples without nouns left out.

    captions, nouns   `CAPTIONS`, `NOUNS`
    """
    kept: dict[str, list[Noun]] = {}
    for row in nouns.filter(status="kept").iter_rows(named=True):
        kept.setdefault(row["sample"], []).append(Noun(row["noun"], row["token"], row["position"]))
    return {
        row["sample"]: (row["tokens"], kept[row["sample"]])
        for row in captions.iter_rows(named=True)
        if row["sample"] in kept
    }


def prepared(
    loaded: Loaded, names: Sequence[str], *, raw: str, samples: str, settings: Mapping[str, Any], batch: int
) -> list[Prompt]:
    """Prompts of some samples as the capture asked them.

    settings   kind, prompt, begin of the capture
    """
    rows = {one.sample: one for one in read(samples)}
    if lacking := [name for name in names if name not in rows]:
        raise VlmscopeError(f"The sample table lacks {lacking[0]}, of which there is a caption.", where=samples)
    benchmark, picture = base.load(settings["kind"]), picture_of(read_manifest(raw)["root"])
    ask = prompts(loaded, benchmark, settings["prompt"], settings["begin"])
    chosen = [rows[name] for name in names]
    return passes.prepare(loaded, [ask(one) for one in chosen], [picture(one) for one in chosen], batch)


def listed(paths: Sequence[str], k: int) -> dict[lists.Kind, dict[lists.Key, lists.Neurons]]:
    """The k best neurons of every noun by activation and method of `METHODS`."""
    return {
        (activation, method): lists.read(path, activation, method, k)
        for path in paths
        for activation, methods in lists.about(path)["lists"].items()
        for method in methods
        if method in METHODS
    }


def from_files(
    loaded: Loaded,
    *,
    raw: str,
    samples: str,
    captions: str,
    nouns: str,
    neurons: Sequence[str],
    settings: Mapping[str, Any],
    batch: int,
) -> pl.DataFrame:
    """Effects on the first captions that have nouns, `EFFECTS`, in the order of samples and trials.

    settings   kind, prompt, begin, max_new_tokens of the capture; perturb: kinds, sigmas, sigma_mode, k, images, draws,
               noises, seed
    """
    own = settings["perturb"]
    known = nouns_of(tables.read(captions, CAPTIONS), tables.read(nouns, NOUNS))
    names = list(known)[: own["images"]]
    ready = prepared(loaded, names, raw=raw, samples=samples, settings=settings, batch=batch)
    said = [
        Said(name, one, tuple(known[name][0]), tuple(known[name][1])) for name, one in zip(names, ready, strict=True)
    ]
    every = trials(said, listed(neurons, max(own["k"])), columns.shape(loaded), own)
    log.info("%d samples, %d trials", len(said), len(every))
    bench = Bench(loaded, said, settings["max_new_tokens"], batch, own["sigma_mode"] == "relative")
    rounds = sum(1 for _ in passes.batches([said[one.said].prompt for one in every], batch))
    parts = list(progress(bench.effects(every), rounds, "batches"))
    return pl.concat([pl.DataFrame(schema=EFFECTS), *parts])
