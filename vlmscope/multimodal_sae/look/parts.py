"""What other results know of a latent: names with scores, words, texts, answers under steering, shares in answers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.multimodal_sae.cache import examples
from vlmscope.multimodal_sae.cache.files import Entries
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.schemas import MEASURES

Row = dict[str, Any]
# Answers that name the word first, then other changed ones.
ORDER = {"names": 0, "other": 1, "same": 2}
# Attributions on a page, the largest ones.
MOST_SHARES = 12


class Window(NamedTuple):
    """A piece of a text: the text's name, tokens, and the latent's values at them."""

    text: str
    tokens: list[str]
    values: np.ndarray


class Rows:
    """Rows of a table by latent; rows without one are left out.

    latents   with any row, ascending
    """

    def __init__(self, frame: pl.DataFrame, key: str) -> None:
        self.frame = frame.filter(pl.col(key).is_not_null()).sort(key, maintain_order=True)
        latents, starts = np.unique(self.frame[key].to_numpy(), return_index=True)
        ends = [*starts[1:].tolist(), self.frame.height][: len(latents)]
        self.places = dict(zip(latents.tolist(), zip(starts.tolist(), ends, strict=True), strict=True))

    @property
    def latents(self) -> list[int]:
        """Their numbers."""
        return list(self.places)

    def of(self, latent: int) -> pl.DataFrame:
        """Rows of a latent, in their order; none where it has none."""
        start, end = self.places.get(latent, (0, 0))
        return self.frame[start:end]


def names(frame: pl.DataFrame) -> list[Row]:
    """Names of a latent by every explainer, `schemas.SCORED`; measures rounded to what is shown."""
    found = []
    for row in frame.to_dicts():
        measures = {key: None if row[key] is None else round(row[key], 4) for key in MEASURES}
        told = {key: row[key] or "" for key in ("explainer", "explanation", "refined", "concept")}
        found.append(
            {**told, "refused": explain_prompts.refused(row["refined"]), "consistency": row["consistency"], **measures}
        )
    return found


def text_names(frame: pl.DataFrame) -> list[Row]:
    """Names of a latent by the texts that excite it, `schemas.TEXT_SCORED`."""
    kept = ["explainer", "explanation", "refined", "rubric", "rubric_shuffled", "rated"]
    rows = frame.with_columns(pl.col("explanation", "refined").fill_null("")).select(kept).to_dicts()
    return [row | {"refused": explain_prompts.refused(row["refined"])} for row in rows]


def best(told: Iterable[Row]) -> Row | None:
    """The name that agrees best with the regions of held-out pictures; None where nobody found one."""
    given = [one for one in told if not one["refused"]]
    return max(given, key=lambda one: -1 if one["iou"] is None else one["iou"]) if given else None


def words(frame: pl.DataFrame, kind: str) -> list[list[Any]]:
    """Tokens of a kind with the value of each, strongest first; of `nearest` the numbers of latents."""
    rows = frame.filter(pl.col("kind") == kind).sort("rank")
    column = "other" if rows["token"].null_count() else "token"
    return [[one, round(value, 4)] for one, value in rows.select(column, "value").iter_rows()]


def typical(frame: pl.DataFrame) -> dict[str, float | None]:
    """Median over latents of the first value of every kind of `schemas.DIRECTIONS`, to hold a single one against."""
    kinds = ("promoted", "suppressed", "nearest")
    firsts = frame.filter(pl.col("rank") == 1)
    return {kind: firsts.filter(pl.col("kind") == kind)["value"].median() for kind in kinds}


class Texts:
    """Cached texts by latent.

    tokens   text -> its tokens, in the order of the cache
    """

    def __init__(self, entries: Entries, names: Sequence[str], tokens: Mapping[str, list[str]]) -> None:
        self.names, self.tokens = names, tokens
        order = np.argsort(entries.where[:, 2], kind="stable")
        self.where, self.value = entries.where[order], entries.value[order]

    def of(self, latent: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Text, position and value of a latent's entries."""
        part = slice(*np.searchsorted(self.where[:, 2], [latent, latent + 1]))
        return self.where[part, 0], self.where[part, 1], self.value[part]

    def windows(self, latent: int, length: int, most: int) -> list[Window]:
        """The pieces in which a latent is highest, best first."""
        # Texts end where they end: the last piece of one may be shorter.
        longest = max((len(one) for one in self.tokens.values()), default=0)
        found = examples.windows(*self.of(latent), length, most, -(-longest // length) * length)
        shown = []
        for one in found:
            name = self.names[one.text]
            tokens = self.tokens[name][one.start : one.start + length]
            shown.append(Window(name, tokens, one.values[: len(tokens)]))
        return shown


def answers(frame: pl.DataFrame, most: int) -> list[Row]:
    """Some answers about pictures with a latent held: every mode and value in turn, changed ones first.

    frame   the latent's rows of `schemas.STEERING`
    """
    rows = frame.filter(pl.col("image").fill_null("") != "").with_columns(
        order=pl.col("category").replace_strict(ORDER, default=len(ORDER))
    )
    rows = rows.sort("order", maintain_order=True).with_columns(
        turn=pl.int_range(pl.len()).over("word", "mode", "positions", "value")
    )
    kept = rows.sort("turn", "mode", "value", maintain_order=True).head(most)
    wanted = ["word", "kind", "mode", "positions", "value", "image", "prompt", "original", "steered", "category"]
    return kept.select(wanted).to_dicts()


def effects(frame: pl.DataFrame, held: pl.DataFrame) -> list[Row]:
    """How often answers name the word with a latent held, beside random latents, `steer.tables.EFFECTS`.

    held   the latent's rows of `schemas.STEERING`; as a random control it has no effect of its own in the table
    """
    pairs = held.select("word", "kind").unique(maintain_order=True).filter(pl.col("kind") != "random")
    wanted = ["word", "mode", "positions", "value", "n", "named", "more", "more_low", "more_high", "same"]
    return frame.join(pairs, on=["word", "kind"], how="semi").select(wanted).to_dicts()


def shares(frame: pl.DataFrame) -> list[Row]:
    """A latent's shares in answers, `attribution.tables.ATTRIBUTION`, the largest first."""
    wanted = ["image", "answer", "baseline", "mode", "part", "rank", "sum", "effect"]
    once = frame.unique(["image", "part"], maintain_order=True).select(wanted)
    return once.sort(pl.col("sum").abs(), descending=True).head(MOST_SHARES).to_dicts()
