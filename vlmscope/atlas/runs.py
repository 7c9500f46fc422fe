"""All passes of the atlas in one job: objects taken away, steering, maps for the page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.atlas import cases, edits, latents, objects, schemas, shown, steering
from vlmscope.atlas.edits import Answered
from vlmscope.atlas.known import Known
from vlmscope.atlas.objects import Followed
from vlmscope.atlas.shown import Shown
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import experiments, geometry, prompts
from vlmscope.llava_interp.asking.experiments import Bench
from vlmscope.llava_interp.asking.prompts import Word
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.lens import reading as lens_reading
from vlmscope.models.load import Loaded
from vlmscope.session import progress
from vlmscope.store import tables

# Fewer pictures of a word make no usual activation of its neurons.
FEWEST = 2


class Found(NamedTuple):
    """What the passes left: `schemas.RECORDS`, `schemas.STEERED`, pictures with maps, and what decided them."""

    objects: pl.DataFrame
    steered: pl.DataFrame
    pictures: list[Shown]
    recipe: dict[str, Any]


def from_files(
    loaded: Loaded, known: Known, *, raw: str, samples: str, vector: str, settings: Mapping[str, Any], batch: int
) -> Found:
    """All passes.

    settings   objects, asking of llava_interp, value: what replaces a token; preserve, ridge of edits of mm_neurons;
               runs, steer, pictures of the atlas
    """
    bench = experiments.bench(loaded, raw, vector, settings, batch)
    targets, _ = experiments.chosen(loaded, samples, settings)
    rows, pictures, answered = _followed(bench, known, targets, settings)
    steered = [
        row
        for word in known.words[: settings["steer"]["words"]]
        for row in _steered(bench, known, word, targets, answered, settings)
    ]
    recipe = {"model": loaded.about["fingerprint"], "settings": dict(settings)}
    return Found(pl.DataFrame(rows, schemas.RECORDS), pl.DataFrame(steered, schemas.STEERED), pictures, recipe)


def write(found: Found, out: Any) -> None:
    """Write tables and maps.

    out   paths: objects, steered, shown
    """
    tables.write(found.objects, out.objects, schemas.RECORDS)
    tables.write(found.steered, out.steered, schemas.STEERED)
    shown.write(out.shown, found.pictures, found.recipe)


# ---- objects ------------------------------------------------------------------------------------------------------


def fitting(targets: Sequence[Target], words: Sequence[str], most: int) -> list[Target]:
    """Pictures with a question about one of the words, words in turn, so that each has its share."""
    groups = [[one for one in targets if one.sample.question and one.name.lower() == word] for word in words]
    turns = [one for turn in range(max(map(len, groups))) for group in groups for one in group[turn : turn + 1]]
    return turns[:most]


def _followed(
    bench: Bench, known: Known, targets: Sequence[Target], settings: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[Shown], list[Answered]]:
    """Records, maps, and what the position that answers holds, of pictures that are answered rightly."""
    told, rows, pictures, answered = settings["runs"], [], [], []
    chosen = fitting(targets, known.words, told["images"])
    for target in progress(chosen, len(chosen), "pictures"):
        asked, wanted, plain = experiments.question(bench, target)
        if not experiments.right(plain):
            continue
        word, one = target.name.lower(), objects.follow(bench, known, target, asked, wanted, told)
        rows += objects.records(one, known, word)
        answered.append(_answered(one, known, word))
        if sum(each.word == word for each in pictures) < settings["pictures"]:
            pictures.append(_shown(bench, known, one, wanted, word))
    counts = Counter(one.word for one in answered)
    if few := [word for word in known.words if counts[word] < FEWEST]:
        raise VlmscopeError(
            f"Too few pictures are answered with these words: {', '.join(few)}.",
            where="atlas.sets, llava_interp.objects",
            instead="words of objects that more pictures have, or more pictures",
        )
    return rows, pictures, answered


def _answered(one: Followed, known: Known, word: str) -> Answered:
    last, deepest = one.places["last"][0], max(known.scales)
    active = {name: objects.at(one.seen, known, units)[0, last] for name, units in known.neurons.items()}
    return Answered(one.target.sample.sample, word, active, one.seen["resid_post", deepest][0, last], one.plain)


def _shown(bench: Bench, known: Known, one: Followed, wanted: Word, word: str) -> Shown:
    """Maps of the untouched picture."""
    own = slice(one.asked.first, one.asked.end)
    states, latent = one.seen["resid_post", known.block][0, own], known.latents[word][0][0]
    units = known.neurons[word]
    mode = bench.told["objects"]["geometry"]
    reading = lens_reading.read(bench.loaded, one.asked, wanted.right, k=1)
    return Shown(
        sample=one.target.sample.sample,
        word=word,
        picture=geometry.viewed(bench.picture(one.target.sample), prompts.view(bench.loaded), mode),
        number=latent,
        patches=np.array(one.target.patches, np.int64),
        concept=known.scales[known.block][word].of(states).astype(np.float32),
        latent=latents.active(known.coder, states)[:, latent],
        neurons=(objects.at(one.seen, known, units)[0, own] * units.sign).mean(axis=-1).astype(np.float32),
        lens=np.asarray(reading.share[:, own], np.float32),
        log_probs=one.log_probs,
    )


# ---- steering -----------------------------------------------------------------------------------------------------


def _steered(
    bench: Bench,
    known: Known,
    word: str,
    targets: Sequence[Target],
    answered: Sequence[Answered],
    settings: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Records of one word."""
    told, seed, tokenizer = settings["steer"], settings["runs"]["seed"], bench.loaded.processor.tokenizer
    asked = cases.cases(bench, targets, known.words, word, told["apart"] + told["images"], seed)
    if len(asked) <= told["apart"]:
        raise VlmscopeError(
            f"Only {len(asked)} pictures with a question that another word answers do not show '{word}'.",
            where="atlas.steer.apart",
            instead="fewer, or more pictures",
        )
    spelled = {name: prompts.word(tokenizer, name) for name in known.words}
    token_ids = {name: one.right[0] for name, one in spelled.items()}
    found = steering.ways(bench.loaded, known, word, edits.usual(answered, word), token_ids, told["random"], seed)
    more = {"random": told["random"], "seed": seed, **{key: settings[key] for key in ("preserve", "ridge")}}
    found += edits.ways(bench.loaded, known, word, asked, answered, token_ids, more)
    yes = prompts.word(tokenizer, bench.told["asking"]["affirmed"]).right
    about = {key: told[key] for key in ("kl", "strengths", "apart")} | {"right": spelled[word].right, "yes": yes}
    yield from steering.records(bench, known, word, found, asked, about)
