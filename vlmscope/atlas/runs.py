"""All passes of the atlas in one job: objects taken away, steering, maps for the page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.atlas import latents, objects, schemas, shown, steering
from vlmscope.atlas.known import Known
from vlmscope.atlas.objects import Followed
from vlmscope.atlas.shown import Shown
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp import ablate, geometry, lens, prompts
from vlmscope.llava_interp.ablate import Bench
from vlmscope.llava_interp.prompts import Word
from vlmscope.llava_interp.selection import Target
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

    settings   objects, asking of llava_interp, value: what replaces a token; runs, steer, pictures of the atlas
    """
    bench = ablate.bench(loaded, raw, vector, {**settings, "ablation": {"value": settings["value"]}}, batch)
    targets, _ = ablate.chosen(loaded, samples, settings)
    rows, pictures, usual = _followed(bench, known, targets, settings)
    steered = [
        row
        for word in known.words[: settings["steer"]["words"]]
        for row in _steered(bench, known, word, targets, usual, settings)
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
) -> tuple[list[dict[str, Any]], list[Shown], dict[str, np.ndarray]]:
    """Records, maps, and how much higher each word's neurons are where it is the answer than where another one is."""
    told, rows, pictures = settings["runs"], [], []
    activity: dict[str, dict[bool, list[np.ndarray]]] = {word: {True: [], False: []} for word in known.words}
    chosen = fitting(targets, known.words, told["images"])
    for target in progress(chosen, len(chosen), "pictures"):
        asked, wanted, plain = ablate.question(bench, target)
        if not ablate.right(plain):
            continue
        word, one = target.name.lower(), objects.follow(bench, known, target, asked, wanted, told)
        rows += objects.records(one, known, word)
        for name, units in known.neurons.items():
            activity[name][name == word].append(objects.at(one.seen, known, units)[0, one.places["last"][0]])
        if sum(each.word == word for each in pictures) < settings["pictures"]:
            pictures.append(_shown(bench, known, one, wanted, word))
    few = [word for word, found in activity.items() if min(map(len, found.values())) < FEWEST]
    if few:
        raise VlmscopeError(
            f"Too few pictures are answered with these words: {', '.join(few)}.",
            where="atlas.sets, llava_interp.objects",
            instead="words of objects that more pictures have, or more pictures",
        )
    return (
        rows,
        pictures,
        {word: np.mean(one[True], axis=0) - np.mean(one[False], axis=0) for word, one in activity.items()},
    )


def _shown(bench: Bench, known: Known, one: Followed, wanted: Word, word: str) -> Shown:
    """Maps of the untouched picture."""
    own = slice(one.asked.first, one.asked.end)
    states, latent = one.seen["resid_post", known.block][0, own], known.latents[word][0][0]
    units = known.neurons[word]
    mode = bench.told["objects"]["geometry"]
    reading = lens.read(bench.loaded, one.asked, wanted.right, k=1)
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
    usual: Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Records of one word."""
    told, seed, tokenizer = settings["steer"], settings["runs"]["seed"], bench.loaded.processor.tokenizer
    asked = steering.cases(bench, targets, word, told["apart"] + told["images"], seed)
    if len(asked) <= told["apart"]:
        raise VlmscopeError(
            f"Only {len(asked)} pictures with a question do not show '{word}'.",
            where="atlas.steer.apart",
            instead="fewer, or more pictures",
        )
    spelled = {name: prompts.word(tokenizer, name) for name in known.words}
    token_ids = {name: one.right[0] for name, one in spelled.items()}
    found = steering.ways(bench.loaded, known, word, usual[word], token_ids, told["random"], seed)
    yes = prompts.word(tokenizer, bench.told["asking"]["affirmed"]).right
    about = {key: told[key] for key in ("kl", "strengths", "apart")} | {"right": spelled[word].right, "yes": yes}
    yield from steering.records(bench, known, word, found, asked, about)
