"""PMC-VQA, medicine: figures of papers with four choices each (mmneuron.md 5.2)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope import orders
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample
from vlmscope.world.scene import Question, Scene

LABEL = "PMC-VQA"
DOMAIN = "med"
SPLITS = ("train", "test_clean", "test")
SOURCE = "https://huggingface.co/datasets/RadGenome/PMC-VQA"
LETTERS = ("A", "B", "C", "D")
CHOICES = tuple(f"Choice {letter}" for letter in LETTERS)
COLUMNS = ("Figure_path", "Question", "Answer", *CHOICES)
# v2 pictures lie in figures/, v1 pictures in images/; the released code looks in this order.
FOLDERS = ("figures", "images")


def read(
    root: Path, split: str, *, name: str, limit: int | None = None, official_repeat: bool = False
) -> Iterator[Sample]:
    """One question per figure in the official order; the answer is a letter, the choices keep their blanks.

    official_repeat   take the table `{split}.csv` twice, as the released code does, instead of adding
                      `{split}_2.csv`; changes the order and which question stands for a figure
    """
    base.check_split(split, SPLITS, name)
    table = _table(root, split, repeat=official_repeat)
    # Shuffled first and thinned afterwards: repeating the table changes which question comes first.
    order = orders.table_order(len(table)).tolist()
    numbered = ((row["number"], row) for row in (table.row(k, named=True) for k in order))

    def pictures(row: dict[str, Any]) -> list[str | None]:
        return [base.first_there(root, [f"{folder}/{row['Figure_path']}" for folder in FOLDERS])]

    firsts = orders.first_per(numbered, lambda row: row["Figure_path"])
    for item in base.found(firsts, pictures, root, limit=limit, name=name):
        row = item.row
        choices = [row[choice] or "" for choice in CHOICES]
        yield base.sample(item, name=name, split=split, question=row["Question"], answer=_letter(row), choices=choices)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as a table of version 1 with pictures in `images/`, without loss."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    written, rows = [], []
    for scene in scenes:
        figure = f"PMC{scene.seed:07d}_F1.png"
        written.append(base.write_picture(scene.image, root / "images" / figure))
        rows += [_row(question, figure, scene.seed) for question in scene.questions]
    schema = dict.fromkeys((*COLUMNS, "Answer_label"), pl.String)
    return [*written, base.write_table(pl.DataFrame(rows, schema=schema), root / f"{split}.csv")]


def prompt(sample: Sample, style: str) -> str:
    """The question, or the question with its options as a Python list prints them."""
    full = (
        f"Question: {sample.question}\nContext: N/A\nOptions: {list(sample.choices)}\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    return base.styled(sample, style, full)


def _table(root: Path, split: str, *, repeat: bool) -> pl.DataFrame:
    """The rows of both versions; `number` counts them through, in a repeated table it starts again."""
    first = _version(root / f"{split}.csv").with_row_index("number")
    if repeat:
        return pl.concat([first, first])
    # [differs: mmneuron.md 8 #15] the released code reads version 1 twice where version 2 was meant.
    second = root / f"{split}_2.csv"
    if not second.is_file():
        return first
    return pl.concat([first, _version(second).with_row_index("number", offset=len(first))])


def _version(path: Path) -> pl.DataFrame:
    """One table; version 2 has the letter under `Answer` and no `Answer_label`."""
    table = base.read_table(path, COLUMNS, SOURCE, optional=("Answer_label",))
    _check_whole(table, path)
    return table


def _check_whole(table: pl.DataFrame, path: Path) -> None:
    """Short rows come back with empty cells at their end; the last row is where a cut file shows."""
    lacking = table.select(pl.col("Figure_path", "Question").null_count()).row(0)
    last = table.row(-1, named=True) if len(table) else {}
    if any(lacking) or (last and _letter(last) not in LETTERS):
        raise base.damaged(path, "a row has no figure or no question, or the last row has no letter as answer", SOURCE)


def _letter(row: dict[str, Any]) -> str:
    """The right letter; some rows have it under `Answer`."""
    return row["Answer_label"] if row["Answer_label"] in LETTERS else row["Answer"]


def _row(question: Question, figure: str, seed: int) -> dict[str, str]:
    if len(question.choices) != len(LETTERS) or question.answer not in question.choices:
        raise VlmscopeError(
            f"The question {question.text!r} of scene {seed} does not have four choices with the answer among them.",
            instead="scenes of the domain med",
        )
    # The original has a blank before the letter and often one after the text.
    choices = {
        column: f" {letter}:{choice} "
        for column, letter, choice in zip(CHOICES, LETTERS, question.choices, strict=True)
    }
    label = LETTERS[question.choices.index(question.answer)]
    head = {"Figure_path": figure, "Question": question.text, "Answer": question.answer}
    return {**head, **choices, "Answer_label": label}
