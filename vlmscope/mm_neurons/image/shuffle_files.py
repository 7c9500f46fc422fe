"""Shuffled pictures from files to files: captions, their nouns, neurons, activations at the image tokens.

Every order of every picture is read twice: `free`, the caption is written anew, and `forced`, the original caption is
read behind the shuffled picture, so every noun has its place. Each batch goes through the model once per order and mode
to be read, and once more to be written where it is free.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from PIL import Image

from vlmscope.capture import batches, shard
from vlmscope.datasets import base
from vlmscope.mm_neurons.image import grids, patches, shuffle
from vlmscope.mm_neurons.image import units as image_units
from vlmscope.mm_neurons.image.grids import Seen, Units
from vlmscope.mm_neurons.rank import lists, ranking
from vlmscope.mm_neurons.rank.lists import Entry
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUNS, SHUFFLED
from vlmscope.mm_neurons.text import nouns, taggers
from vlmscope.models.inputs import Batch, rounds
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress
from vlmscope.store import tables
from vlmscope.store.spelling import Spelling, spelling
from vlmscope.store.weights import Weights

log = logging.getLogger(__name__)

# Row of a table.
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is shuffled, and how it is read.

    samples    pictures whose captions have a noun
    captions   sample -> row of `schemas.CAPTIONS`
    nouns      sample -> rows of `schemas.NOUNS`
    prompt     of a sample
    picture    of a sample
    spelled    the model's spelling
    tag        finds the nouns of new captions
    settings   of the rule
    batch      samples at once
    """

    samples: Sequence[Sample]
    captions: Mapping[str, Row]
    nouns: Mapping[str, Sequence[Row]]
    prompt: Callable[[Sample], str]
    picture: Callable[[Sample], Image.Image]
    spelled: Spelling
    tag: taggers.Tagger
    settings: Mapping[str, Any]
    batch: int

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Modes and numbers of permutations."""
        own = self.settings["shuffle"]
        return [(mode, number) for number in range(own["permutations"]) for mode in own["modes"]]

    def stream(self, loaded: Loaded, what: str) -> Iterator[tuple[Batch, list[str]]]:
        """Batches of prompts, and the sample of each row."""
        stream = batches.prefill(loaded, self.samples, self.prompt, self.picture, self.batch)
        for batch in progress(stream, rounds(loaded, self.samples, self.batch), what):
            yield batch, [self.samples[row].sample for row in batch.rows]


def from_files(
    loaded: Loaded,
    *,
    model: str,
    raw: str,
    samples: str,
    captions: str,
    nouns_table: str,
    remote: taggers.Remote,
    settings: Mapping[str, Any],
    batch: int,
    neurons: str,
    maps: str,
) -> pl.DataFrame:
    """Write lists and activations at image tokens, and give the nouns, `schemas.SHUFFLED`, by sample.

    model      manifest
    remote     asks a CoreNLP server
    settings   kind, prompt, begin and max_new_tokens of the captions; activations, precision, fold_norm, keep,
               keep_others and the seed of the lists; nouns; shuffle; units of the maps
    neurons    target of the lists; their methods are named METHOD.MODE.PERMUTATION
    maps       target of the activations at image tokens, in the order of the picture; without any where it is not
               known which part of the picture a token shows
    """
    told = tables.read(nouns_table, NOUNS)
    own = {name: list(rows.iter_rows(named=True)) for (name,), rows in told.group_by("sample", maintain_order=True)}
    kept = [name for name, rows in own.items() if any(row["status"] == nouns.KEPT for row in rows)]
    chosen = set(kept[: settings["shuffle"]["images"]])
    asked = Asked(
        samples=[one for one in read(samples) if one.sample in chosen],
        captions={row["sample"]: row for row in tables.read(captions, CAPTIONS).iter_rows(named=True)},
        nouns=own,
        prompt=shard.prompts(loaded, base.load(settings["kind"]), settings["prompt"], settings["begin"]),
        picture=batches.picture_of(read_manifest(raw)["root"]),
        spelled=spelling(model),
        tag=taggers.tagger(settings["nouns"], remote),
        settings=settings,
        batch=batch,
    )
    return write(loaded, asked, neurons, maps)


def write(loaded: Loaded, asked: Asked, neurons: str, maps: str) -> pl.DataFrame:
    """Write both files and give the nouns, see `from_files`."""
    recipe = {"settings": dict(asked.settings), "model": loaded.about["fingerprint"]}
    kinds = [
        (activation, f"{method}.{mode}.{number}")
        for activation in asked.settings["activations"]
        for method in shuffle.METHODS
        for mode, number in asked.runs
    ]
    rows: list[Row] = []
    lists.write(neurons, _entries(loaded, asked, rows), recipe, kinds)
    is_known = loaded.family.name in patches.KNOWN
    if not is_known:
        log.warning("It is not known what each image token of %s shows: no maps.", loaded.family.name)
    grids.write(maps, _units(loaded, asked, neurons) if is_known else (), recipe)
    place = {one.sample: number for number, one in enumerate(asked.samples)}
    rows.sort(key=lambda row: (place[row["sample"]], row["permutation"], row["mode"]))
    return pl.DataFrame(rows, schema=SHUFFLED)


def _entries(loaded: Loaded, asked: Asked, rows: list[Row]) -> Iterator[Entry]:
    """Lists of all runs, batch by batch; rows of `schemas.SHUFFLED` are added on the way."""
    settings, site = asked.settings, loaded.family.site("mlp_hidden")
    weights = Weights(loaded.about["folder"], loaded.about["dtype"])
    size = site.layers(loaded.config), site.width(loaded.config)
    projections = shuffle.Projections(weights, loaded.family, *size, settings)
    for batch, names in asked.stream(loaded, "shuffled captions"):
        for mode, permutation in asked.runs:
            chosen = shuffle.orders(loaded, batch, names, settings["shuffle"]["seed"], permutation)
            captions = _captions(loaded, asked, batch, names, chosen if mode == "free" else None)
            found = [row for one in captions for row in _nouns(asked, mode, one)]
            said = {one["sample"]: one["caption"] for one in captions}
            rows += [{"mode": mode, "permutation": permutation, "caption": said[row["sample"]], **row} for row in found]
            # Places are counted within each caption, not within a capture.
            frame = pl.DataFrame([one | {"row": 0} for one in captions], schema=CAPTIONS)
            targets = ranking.targets(frame, pl.DataFrame(found, schema=NOUNS))
            places = [(names.index(one.sample), one.row + step) for one in targets for step in range(len(one.tokens))]
            if places:
                tokens = [one["tokens"] for one in captions]
                values = shuffle.activations(loaded, batch, chosen, tokens, places, settings["activations"])
                yield from shuffle.entries(values, targets, projections, f"{mode}.{permutation}", settings)


def _captions(
    loaded: Loaded, asked: Asked, batch: Batch, names: Sequence[str], chosen: shuffle.Orders | None
) -> list[Row]:
    """Captions of a batch: the original ones, or those written anew where there are orders."""
    original = [asked.captions[name] for name in names]
    if chosen is None:
        return original
    written = shuffle.written(loaded, batch, chosen, asked.settings["max_new_tokens"])
    texts = [asked.spelled.text(tokens).strip() for tokens in written]
    return [
        one | {"tokens": tokens, "caption": text} for one, tokens, text in zip(original, written, texts, strict=True)
    ]


def _nouns(asked: Asked, mode: str, caption: Row) -> Sequence[Row]:
    """Rows of `schemas.NOUNS` of one caption."""
    name = caption["sample"]
    if mode == "forced":
        return asked.nouns[name]
    truth = next(nouns.truth_of(one) for one in asked.samples if one.sample == name)
    found = nouns.rows(caption, truth, asked.spelled, asked.tag, asked.settings["nouns"]["sentences"])
    return [dict.fromkeys(NOUNS) | row for row in found]


def _units(loaded: Loaded, asked: Asked, neurons: str) -> Iterator[Seen | Units]:
    """Pictures and activations of the listed neurons at the image tokens, put back in the order of the picture."""
    settings, pictured = asked.settings, set()
    for mode, permutation in asked.runs:
        run = f"{image_units.METHOD}.{mode}.{permutation}"
        wanted = {
            kind: image_units.nested(lists.read(neurons, kind, run, settings["units"]))
            for kind in settings["activations"]
        }
        for batch, names in asked.stream(loaded, run):
            chosen = shuffle.orders(loaded, batch, names, settings["shuffle"]["seed"], permutation)
            for item in image_units.items(loaded, asked.samples, asked.picture, batch, wanted, chosen):
                if isinstance(item, Units):
                    yield item._replace(method=run)
                elif item.sample not in pictured:
                    pictured.add(item.sample)
                    yield item
