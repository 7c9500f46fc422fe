"""What a slider shows: answers and captions of sample pictures at every strength of every vector (xl_vlms.md 2.10)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from vlmscope import samples as sample_table
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.store import tables
from vlmscope.xl_vlms.captions import tables as caption_tables
from vlmscope.xl_vlms.pages.parts import Numbered, Page, rounded
from vlmscope.xl_vlms.steer.schemas import EFFECTS, STEERED

CONTROLS = ("random", "shuffled")
# Columns of tables of effects, and those that have an interval.
EFFECT = {
    "targeted": ("d_original", "d_wanted", "changed_pct", "acc", "d_acc_off"),
    "type": ("d_wanted", "changed_pct", "acc", "d_acc_off"),
    "caption": ("with_style_pct", "changed_pct", "style_words", "cider"),
}
# Where they are not NAME_low and NAME_high.
ENDS = {"changed_pct": "changed"}
# One way to steer that has a strength.
PLACE = ("vector", "block", "positions", "start")


class Shown:
    """Samples of a page, with the number of each text and picture."""

    def __init__(self) -> None:
        self.texts, self.pictures = Numbered(), Numbered()
        self.rows: list[dict[str, Any]] = []

    def add(self, samples: Sequence[Sample], kind: str, raw: str, said: Mapping[str, str]) -> list[str]:
        """Let samples stand on the page; their names.

        raw    manifest of their pictures
        said   what the model wrote of them without steering
        """
        root = read_manifest(raw)["root"]
        for one in samples:
            answer = json.loads(one.answer)
            reference = answer["captions"][0] if kind == "caption" else answer["choice"]
            self.rows.append(
                {
                    **{"sample": one.sample, "kind": kind, "question": "" if kind == "caption" else one.question},
                    **{"picture": self.pictures.place(f"{root}/{one.images[0]}"), "reference": reference},
                    **{"type": answer.get("answer_type", ""), "plain": self.texts.place(said[one.sample])},
                }
            )
        return [one.sample for one in samples]


def some(samples: Sequence[Sample], per_type: int) -> list[Sample]:
    """The first questions of every answer type, in their own order."""
    left: dict[str, int] = {}
    found = []
    for one in samples:
        kind = json.loads(one.answer)["answer_type"]
        left[kind] = left.get(kind, per_type) - 1
        if left[kind] >= 0:
            found.append(one)
    return found


def items(
    rows: pl.DataFrame, names: Sequence[str], about: Mapping[str, Mapping[str, Any]], shown: Shown
) -> Iterator[dict[str, Any]]:
    """Every vector and block: strengths, answers at each, those under its controls.

    rows    `STEERED`
    names   samples on the page
    about   vector -> task, original, wanted
    """
    own = rows.filter(pl.col("sample").is_in(names))
    main = own.filter(pl.col("kind").is_in(["vector", "gated"]))
    for (kind, *place), part in main.group_by("kind", *PLACE, maintain_order=True):
        there = own.filter(**dict(zip(PLACE, place, strict=True)))
        more = there.filter(kind="alpha") if kind == "vector" else there.clear()
        strengths = {
            alpha: said(one, names, shown)
            for (alpha,), one in pl.concat([part, more])
            .sort("alpha", maintain_order=True)
            .group_by("alpha", maintain_order=True)
        }
        controls = [
            {"kind": control, "alpha": alpha, "answers": said(one, names, shown)}
            for control in CONTROLS
            for (alpha, _), one in there.filter(kind=control).group_by("alpha", "draw", maintain_order=True)
        ]
        shut = part.filter(pl.col("alpha") == part["alpha"][0], ~pl.col("steered"))["sample"].to_list()
        yield {
            **{"vector": place[0], "block": place[1], "kind": kind, **about[place[0]]},
            **{"alphas": list(strengths), "answers": list(strengths.values()), "controls": controls},
            "shut": [name in shut for name in names] if kind == "gated" else None,
        }


def said(part: pl.DataFrame, names: Sequence[str], shown: Shown) -> list[int]:
    """Numbers of what was written of these samples, in their order; the first text of each."""
    known = dict(part.unique("sample", keep="first", maintain_order=True).select("sample", "prediction").iter_rows())
    return [shown.texts.place(known[name]) for name in names]


# ---- effects -----------------------------------------------------------------------------------------------------


def effect(row: Mapping[str, Any], task: str) -> list[list[float | None]]:
    """Value, low and high end of every column of a task."""
    found = []
    for name in EFFECT[task]:
        ends = ENDS.get(name, name)
        found.append([rounded(row.get(one)) for one in (name, f"{ends}_low", f"{ends}_high")])
    return found


def effects(table: pl.DataFrame, one: Mapping[str, Any], positions: str | None) -> list[dict[str, Any]]:
    """Rows of a vector and block: no steering, its strengths, means of its controls.

    table       `EFFECTS`, or `captions.tables.TABLE`, whose controls are means already
    positions   of the prompt that are steered; None for captions
    """
    own = table.filter(vector=one["vector"], block=one["block"])
    own = own.filter(positions=positions) if positions else own
    plain = table.filter(kind="none", **({} if positions else {"vector": one["vector"]})).head(1)
    kinds = [one["kind"], *(["alpha"] if one["kind"] == "vector" else [])]
    strengths = own.filter(pl.col("kind").is_in(kinds)).unique("alpha", keep="first", maintain_order=True).sort("alpha")
    names = [name for name in EFFECT[one["task"]] if name in own.columns]
    drawn = own.filter(pl.col("kind").is_in(CONTROLS)).group_by("kind", "alpha", maintain_order=True)
    means = drawn.agg(pl.col(names).cast(pl.Float64).mean(), draws=pl.len() if positions else pl.col("draws").first())
    told = [("none", plain), (one["kind"], strengths), *((kind, means.filter(kind=kind)) for kind in CONTROLS)]
    return [
        {
            "kind": kind,
            "alpha": row["alpha"],
            "draws": row["draws"] if kind in CONTROLS else None,
            "values": effect(row, one["task"]),
        }
        for kind, part in told
        for row in part.to_dicts()
    ]


# ---- files -------------------------------------------------------------------------------------------------------


def answers(
    rows: str, table: str, samples: str, raw: str, *, vectors: Mapping[str, Any], per_type: int, shown: Shown
) -> list[Any]:
    """Items of the vectors that are tried on questions.

    rows, table   `STEERED` and `EFFECTS`
    """
    found, known = tables.read(rows, STEERED), tables.read(table, EFFECTS)
    plain = found.filter(kind="none")
    asked = {one.sample: one for one in sample_table.read(samples)}
    said_plain = dict(plain.select("sample", "prediction").iter_rows())
    chosen = some([asked[name] for name in said_plain], per_type)
    first = len(shown.rows)
    names = shown.add(chosen, "answer", raw, said_plain)
    about = {
        name: {"task": one["task"], "original": one["original"], "wanted": one["wanted"] or ", ".join(_types(one))}
        for name, one in vectors.items()
    }
    places, listed = list(range(first, first + len(names))), list(items(found, names, about, shown))
    positions = found.filter(kind="vector").select("vector", "block", "positions").unique()
    where = {(vector, block): own for vector, block, own in positions.iter_rows()}
    return [
        one | {"samples": places, "n": len(plain), "effects": effects(known, one, where[one["vector"], one["block"]])}
        for one in listed
    ]


def _types(one: Mapping[str, Any]) -> list[str]:
    return one["target"]["types"] if one["target"] else []


def captions(rows: str, table: str, examples: str, samples: str, raw: str, *, shown: Shown) -> list[Any]:
    """Items of the vectors of a style.

    rows, table, examples   `STEERED`, `captions.tables.TABLE`, `captions.tables.EXAMPLES`
    """
    found, known = tables.read(rows, STEERED), tables.read(table, caption_tables.TABLE)
    chosen = tables.read(examples, caption_tables.EXAMPLES)
    pictured = {one.sample: one for one in sample_table.read(samples)}
    plain = dict(found.filter(kind="none").select("sample", "prediction").iter_rows())
    listed = []
    for (vector, style), part in chosen.group_by("vector", "style", maintain_order=True):
        own = [pictured[name] for name in part["sample"].unique(maintain_order=True)]
        first, names = len(shown.rows), shown.add(own, "caption", raw, plain)
        about = {vector: {"task": "caption", "original": "", "wanted": style}}
        for one in items(found.filter(vector=vector), names, about, shown):
            places = list(range(first, first + len(names)))
            listed.append(one | {"samples": places, "n": len(plain), "effects": effects(known, one, None)})
    return listed


def from_files(
    *, answered: Sequence[str], described: Sequence[str], vectors: Mapping[str, Any], per_type: int, model: str
) -> Page:
    """Answers and captions of a model.

    answered    steered/answers.parquet, steer_effects.csv, sample table, manifest of the pictures
    described   steered/captions.parquet, steer_captions.csv, caption_examples.parquet, sample table, manifest; none
                without styles
    vectors     xl_vlms.vectors
    per_type    most questions of every answer type
    """
    shown = Shown()
    found = answers(*answered, vectors=vectors, per_type=per_type, shown=shown)
    found += captions(*described, shown=shown) if described else []
    data = {
        **{"model": model, "items": found, "samples": shown.rows, "texts": shown.texts.texts},
        "columns": {task: list(names) for task, names in EFFECT.items()},
    }
    return Page(data, shown.pictures.texts)
