"""Result files of the released code from records: one JSON object, image number -> what was asked of it.

Decisions are the released ones (`answers: official`), whatever the tables judge by. Conditions that are ours alone are
left out. Descriptions stand without the prompt, which the released files have in front.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl

from vlmscope.llava_interp.asking import answers
from vlmscope.llava_interp.exchange import names
from vlmscope.llava_interp.knockout import windows

Row = Mapping[str, Any]
Tree = dict[str, Any]


def knockout(records: pl.DataFrame) -> Tree:
    """Blocked attention; single layers, sliding windows and groups of ours are left out."""

    def named(row: Row) -> str | None:
        known = row["sort"] == "window" and (row["source"], row["target"]) in windows.RELEASED
        return names.group(row["source"], row["target"], row["window"]) if known else None

    return dict(_answers(records, pl.col("source") == "", "attn_block_results", named))


def vqa(records: pl.DataFrame) -> Tree:
    """The pictures' own questions without some visual tokens."""

    def named(row: Row) -> str | None:
        return names.condition((row["condition"], row["size"]), names.QUESTIONS)

    return dict(_answers(records, pl.col("condition") == "none", "experiments", named))


def _answers(
    records: pl.DataFrame, plain: pl.Expr, key: str, named: Callable[[Row], str | None]
) -> Iterator[tuple[str, Tree]]:
    """Image number and its answers; interventions where the untouched answer was right."""
    for (image,), part in records.group_by("image_id", maintain_order=True):
        baseline = told(part.filter(plain).row(0, named=True))
        rows = [(named(row), row) for row in part.filter(~plain).iter_rows(named=True)]
        found = {name: told(row) for name, row in rows if name is not None}
        # Records go on where an answer is right by our way to judge too; released files do not.
        yield str(image), {"baseline": baseline} | ({key: found} if baseline["is_correct"] else {})


def told(row: Row) -> Tree:
    """One token as an answer."""
    return {
        "is_correct": answers.names(row["text"], row["first"], row["token"], row["right"], "official"),
        "generated_token": row["text"],
        "generated_token_prob": row["prob"],
        "correct_token": row["first"],
        "correct_token_prob": row["first_prob"],
    }


def ablation(records: pl.DataFrame, first: int, value: str) -> Tree:
    """Descriptions and polls of pictures that pass the released filter.

    first   position of the first visual token: released sets are positions of the prompt
    value   what took the place of tokens: mean, zero
    """
    found: Tree = {"cfg": {"zero_ablation": value == "zero"}}
    for (image,), part in records.group_by("image_id", maintain_order=True):
        pairs: dict[str, Tree] = {}
        places: dict[str, list[int]] = {}
        for row in part.iter_rows(named=True):
            name = names.condition((row["condition"], row["size"]), names.DESCRIPTIONS)
            if name is None:
                continue
            pairs.setdefault(name, {}).update(_judged(row))
            if row["condition"] not in ("none", "noise"):
                places[name] = [one + first for one in row["indices"]]
        passes = pairs["no_ablation"]["generative"] and not pairs["image_ablation"]["generative"]
        # Candidates beyond the number that is kept were described and nothing more.
        if passes and "polling" in pairs["no_ablation"]:
            ordered = {name: {key: one[key] for key in KEYS} for name, one in pairs.items()}
            found[str(image)] = ordered | {"indices": places}
    return found


KEYS = ("generative", "polling", "description")


def _judged(row: Row) -> Tree:
    if row["setting"] == "polling":
        return {"polling": answers.affirms(row["text"], "official")}
    return {"generative": answers.mentions(row["text"], row["class"], "official"), "description": row["text"]}
