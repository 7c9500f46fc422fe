"""The feature browser: what its overview, the pages of latents and the page of regions show (multimodal_sae.md 9).

Arrays stay arrays; `show.latent_pages` packs them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from PIL import Image

from vlmscope import samples
from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.attribution import tables as attribution_tables
from vlmscope.multimodal_sae.cache import examples
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.cache.files import Cache
from vlmscope.multimodal_sae.explain import shown as explain_shown
from vlmscope.multimodal_sae.look import overview, parts
from vlmscope.multimodal_sae.look.overview import Firing, Partners
from vlmscope.multimodal_sae.look.parts import Row, Rows, Texts
from vlmscope.multimodal_sae.schemas import DIRECTIONS, SCORED, STEERING, TEXT_SCORED, TOKENS
from vlmscope.multimodal_sae.steer import tables as steer_tables
from vlmscope.raw import read_manifest
from vlmscope.session import progress
from vlmscope.store import tables

TRAINED = "trained"


class Page(NamedTuple):
    """A latent.

    data       contents of its page; `examples` are in the order of `pictures`
    pictures   squashed to squares, the one with the highest mean first
    thumb      the first of them, darkened where the latent is silent
    """

    data: Row
    pictures: list[Image.Image]
    thumb: Image.Image | None


@dataclass(frozen=True)
class Known:
    """Results by latent; empty where they were not made.

    texts    cached texts
    effects  `steer.tables.EFFECTS`, of words
    """

    names: Mapping[int, list[Row]]
    directions: Rows
    steering: Rows
    effects: pl.DataFrame
    shares: Rows
    texts: Texts | None
    text_names: Rows

    def best(self, latent: int) -> str:
        """The best name, nothing where there is none."""
        found = parts.best(self.names.get(latent, []))
        return found["refined"] if found else ""


class Browser:
    """Everything that is shown of one autoencoder.

    picture    number in the cache -> picture
    told       multimodal_sae.show
    """

    def __init__(
        self, cache: Cache, picture: Callable[[int], Image.Image], known: Known, told: Mapping[str, Any]
    ) -> None:
        self.cache, self.picture, self.known, self.told = cache, picture, known, told
        self.grid, self.half = explain_shown.grid(cache), explain_shown.halves(cache.looks)
        self.firing: Firing = overview.firing(cache)
        self.chosen = overview.chosen(self.firing.pictures, {*known.names, *known.steering.latents}, told["latents"])
        self.paged = frozenset(self.chosen)
        self.typical = parts.typical(known.directions.frame)
        self.partners: dict[int, Partners] = overview.together(cache, self.chosen, told["neighbours"], told["counted"])

    def squashed(self, image: int) -> Image.Image:
        """A picture as the model sees it: a square."""
        side = self.told["pixels"]
        return self.picture(image).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)

    def pages(self) -> Iterator[Page]:
        """The latents that have a page, in the order of their numbers."""
        for latent in progress(self.chosen, len(self.chosen), "latents"):
            yield self.page(latent)

    def page(self, latent: int) -> Page:
        """One latent."""
        shown, pictures, thumb = self._examples(latent)
        words = self.known.directions.of(latent)
        own = {
            "latent": latent,
            "name": self.known.best(latent),
            "density": float(self.firing.density[latent]),
            "pictures": float(self.firing.pictures[latent]),
            "highest": float(self.firing.highest[latent]),
            "names": self.known.names.get(latent, []),
            "examples": shown,
            "grid": self.grid,
            "typical": self.typical,
            "tokens": {kind: parts.words(words, kind) for kind in ("promoted", "suppressed")},
            "nearest": self._linked(parts.words(words, "nearest")),
            "together": self._linked([list(one) for one in self._partners(latent)]),
            "windows": self._windows(latent),
            "text_names": parts.text_names(self.known.text_names.of(latent)),
            "shares": parts.shares(self.known.shares.of(latent)),
            **self._steering(latent),
        }
        return Page(own, pictures, thumb)

    def _examples(self, latent: int) -> tuple[list[Row], list[Image.Image], Image.Image | None]:
        rows = self.cache.pooled(latent)
        best = examples.choose(rows["image"], rows["mean"], self.told["pictures"], self.cache.looks)
        place = {int(image): k for k, image in enumerate(rows["image"])}
        shown, maps = [], []
        for one in best:
            k, values = place[one.image], self.cache.map(latent, one.image)
            maps.append(values.reshape(self.grid, self.grid))
            half = explain_shown.SIDES[int(self.half[one.image])]
            told = {"sample": self.cache.samples[one.image], "region": one.image < self.told["regions"]}
            told |= {"mean": one.mean, "highest": float(rows["max"][k])}
            shown.append({**told, "share": float(rows["count"][k]) / len(values), "half": half, "map": coded(values)})
        pictures = [self.squashed(one.image) for one in best]
        thumb = examples.masked(pictures[0], maps[0], self.told["pixels"]) if pictures else None
        return shown, pictures, thumb

    def _partners(self, latent: int) -> Iterator[tuple[int, float]]:
        own = self.partners[latent]
        yield from zip(own.other.tolist(), own.both.round(4).tolist(), strict=True)

    def _linked(self, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Latents with the value, the best name, and whether they have a page."""
        return [[other, value, self.known.best(other), other in self.paged] for other, value in rows]

    def _windows(self, latent: int) -> list[Row] | None:
        """Pieces of texts; None where no texts were read."""
        if self.known.texts is None:
            return None
        found = self.known.texts.windows(latent, self.told["window"], self.told["windows"])
        return [{"text": one.text, "tokens": one.tokens, "values": one.values.round(3).tolist()} for one in found]

    def _steering(self, latent: int) -> Row:
        held = self.known.steering.of(latent)
        return {
            "answers": parts.answers(held, self.told["steered"]),
            "effects": parts.effects(self.known.effects, held),
        }

    def overview(self) -> Row:
        """Every latent that fires, with its names; the silent ones are counted alone."""
        alive = np.flatnonzero(self.cache.firing)
        place = {int(latent): k for k, latent in enumerate(alive)}
        explainers: dict[str, list[Row]] = {}
        for latent, rows in self.known.names.items():
            for row in rows:
                kept = {key: row[key] for key in ("refined", "concept", "refused", "iou", "clip", "detection")}
                if latent in place:
                    explainers.setdefault(row["explainer"], []).append({"place": place[latent], **kept})
        return {
            "hookpoint": self.cache.hookpoint,
            "latents": self.cache.latents,
            "k": self.cache.about["k"],
            "samples": len(self.cache.samples),
            "columns": {
                "latent": alive.astype(np.uint32),
                "density": self.firing.density[alive].astype(np.float32),
                "pictures": self.firing.pictures[alive].astype(np.float32),
                "highest": self.firing.highest[alive],
                "paged": np.isin(alive, self.chosen).astype(np.uint8),
                "steered": np.isin(alive, self.known.steering.latents).astype(np.uint8),
            },
            "names": explainers,
        }

    def regions(self) -> tuple[Row, list[Image.Image]]:
        """The highest latents of every patch of some pictures, and the pictures."""
        count, top = min(self.told["regions"], len(self.cache.samples)), self.told["top"]
        shown, seen = [], set()
        for image in range(count):
            latents, values = patches(self.cache, image, self.grid**2, top)
            seen.update(np.unique(latents[values > 0]).tolist())
            shown.append({"sample": self.cache.samples[image], "latents": latents, "values": values})
        named = [[latent, self.known.best(latent), latent in self.paged] for latent in sorted(seen)]
        about = {
            "grid": self.grid,
            "top": shown[0]["latents"].shape[1] if shown else 0,
            "images": shown,
            "latents": named,
        }
        return about, [self.squashed(image) for image in range(count)]


def coded(values: np.ndarray) -> np.ndarray:
    """A map in steps of its highest value, uint8; 0 where the latent is silent and nowhere else."""
    most = values.max(initial=0)
    return np.ceil(255 * values / most).astype(np.uint8) if most > 0 else np.zeros(len(values), np.uint8)


def patches(cache: Cache, image: int, base: int, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents uint32 and values float32 [patch, top] of the first view of a picture, highest first, then zeros."""
    start = int(cache.ends[image])
    idx, val = (cache.group[name][start : start + base] for name in ("idx", "val"))
    order = np.argsort(-val.astype(np.float32), axis=1, kind="stable")[:, :top]
    return (np.take_along_axis(one, order, 1).astype(kind) for one, kind in ((idx, np.uint32), (val, np.float32)))


def from_files(stack: ExitStack, read: Any, told: Mapping[str, Any]) -> Browser:
    """The browser of some files, which stay open as long as the stack.

    read   cache, directions; raws, samples: manifests and sample tables of the cache; texts, tokens, explanations,
           text_names, steering, effects, attribution: one file each, or none
    told   multimodal_sae.show
    """
    opened = stack.enter_context(cache_files.opened(read.cache))
    return Browser(opened, reader(read.raws, read.samples, opened.samples), known(stack, read), told)


def reader(raws: Sequence[str], listed: Sequence[str], names: Sequence[str]) -> Callable[[int], Image.Image]:
    """Number in a cache -> picture."""
    sets = [(Path(read_manifest(raw)["root"]), samples.read(table)) for raw, table in zip(raws, listed, strict=True)]
    found = {one.sample: (one, root) for root, some in sets for one in some}
    if missing := [name for name in names if name not in found]:
        raise VlmscopeError(f"The cache knows {missing[0]}, the sample tables do not.", where=str(list(listed)))
    return lambda number: samples.picture(*found[names[number]])


def known(stack: ExitStack, read: Any) -> Known:
    """Results by latent."""
    scored = Rows(_read(read.explanations, SCORED).filter(pl.col("coder") == TRAINED), "latent")
    return Known(
        names={latent: parts.names(scored.of(latent)) for latent in scored.latents},
        directions=Rows(tables.read(read.directions, DIRECTIONS), "latent"),
        steering=Rows(_read(read.steering, STEERING), "feature"),
        effects=_read(read.effects, steer_tables.EFFECTS),
        shares=Rows(_read(read.attribution, attribution_tables.ATTRIBUTION), "feature"),
        texts=read_texts(stack, read.texts[0], read.tokens[0]) if read.texts else None,
        text_names=Rows(_read(read.text_names, TEXT_SCORED).filter(pl.col("coder") == TRAINED), "latent"),
    )


def _read(paths: Sequence[str], schema: Mapping[str, Any]) -> pl.DataFrame:
    return tables.read(paths[0], schema) if paths else pl.DataFrame(schema=dict(schema))


def read_texts(stack: ExitStack, cache: str, tokens: str) -> Texts:
    """Cached texts with their tokens."""
    opened = stack.enter_context(cache_files.opened(cache))
    rows = tables.read(tokens, TOKENS)
    told = {name: part["token"].to_list() for (name,), part in rows.group_by("text", maintain_order=True)}
    lengths = dict(zip(opened.samples, np.diff(opened.ends).tolist(), strict=True))
    if lengths != {name: len(one) for name, one in told.items()}:
        raise VlmscopeError(
            "Cache and tokens are not of the same texts.", where=tokens, instead="delete both, and run snakemake again"
        )
    return Texts(opened.entries(), opened.samples, told)
