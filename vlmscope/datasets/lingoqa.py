"""LingoQA, auto driving: five frames per recording, free answers (mmneuron.md 5.1)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope import orders
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

LABEL = "LingoQA"
DOMAIN = "ad"
SPLITS = ("train", "val")
SOURCE = "https://github.com/wayveai/LingoQA"
COLUMNS = ("question_id", "segment_id", "images", "question", "answer")
N_FRAMES = 5

# Folder and table per split: as the released code reads them, as its README draws them, as LingoQA ships them.
LAYOUTS = {
    "code": {"train": [("train", "train.parquet")], "val": [("val", "val.parquet")]},
    "flat": {"train": [("", "train.parquet")], "val": [("", "val.parquet")]},
    "download": {
        "train": [("scenery", "train.parquet"), ("action", "train.parquet")],
        "val": [("evaluation", "val.parquet")],
    },
}
FRAMES = ("all", "first", "middle", "last")
ROLE = (
    "Role: You are an advanced AI assistant installed on the Ego vehicle, equipped with conversational analysis "
    "capabilities for discussing autonomous driving scenarios. The perspective presented is from the point-of-view of "
    "the Ego vehicle, where the camera is mounted. It's important to note that the Ego vehicle itself is not visible "
    "in the images provided. Question: "
)


def read(
    root: Path, split: str, *, name: str, limit: int | None = None, frames: str = "all", layout: str = "auto"
) -> Iterator[Sample]:
    """Questions about recordings in the official order; rows of one question share their group.

    frames   all (joined left to right, official), or only the first, middle or last frame
    layout   code, flat, download, or auto: the first of them that is there
    """
    base.check_split(split, SPLITS, name)
    _check_option("frames", frames, FRAMES)
    table = _table(root, split, layout)
    # Rows become dictionaries one by one: the training tables hold 420,000 of them.
    numbered = ((rank, table.row(row, named=True)) for rank, row in enumerate(orders.table_order(len(table)).tolist()))

    def pictures(row: dict[str, Any]) -> list[str | None]:
        places = [f"{row['folder']}/{frame}".lstrip("/") for frame in _picked(row["images"], frames)]
        return [base.first_there(root, [place]) for place in places]

    for item in base.found(numbered, pictures, root, limit=limit, name=name):
        row = item.row
        yield base.sample(
            item,
            name=name,
            split=split,
            question=row["question"],
            answer=row["answer"],
            group=row["question_id"],
        )


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as recordings of five shots; in `val` every question has two reference rows, as in LingoQA."""
    from vlmscope.world.draw import frames

    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    # The layout of the released code, so that neither it nor ours needs an option.
    folder = root / split
    written, rows = [], []
    for scene in scenes:
        segment = f"{scene.seed:08d}"
        places = [f"images/{split}/{segment}/{k}.png" for k in range(N_FRAMES)]
        shots = frames(scene, N_FRAMES)
        written += [base.write_picture(shot, folder / place) for shot, place in zip(shots, places, strict=True)]
        rows += _rows(scene, segment, places, twice=split == "val")
    schema = dict.fromkeys(COLUMNS, pl.String) | {"images": pl.List(pl.String)}
    return [*written, base.write_table(pl.DataFrame(rows, schema=schema), folder / f"{split}.parquet")]


def prompt(sample: Sample, style: str) -> str:
    """The question, or the question after the description of the assistant's role."""
    return base.styled(sample, style, ROLE + sample.question)


def _rows(scene: Scene, segment: str, places: list[str], *, twice: bool) -> list[dict[str, Any]]:
    rows = []
    for k, question in enumerate(scene.questions):
        row = {"question_id": f"{segment}-{k}", "segment_id": segment, "images": places, "question": question.text}
        rows.append(row | {"answer": question.answer})
        # The second reference says the same in another spelling, as a second annotator would.
        if twice:
            rows.append(row | {"answer": question.answer.capitalize() + "."})
    return rows


def _table(root: Path, split: str, layout: str) -> pl.DataFrame:
    """All rows of a split with the folder that their frames are in."""
    _check_option("layout", layout, ("auto", *LAYOUTS))
    parts = [
        base.read_table(root / folder / table, COLUMNS, SOURCE).with_columns(
            pl.col("question_id", "question", "answer").cast(pl.String), folder=pl.lit(folder)
        )
        for folder, table in LAYOUTS[_present(root, split) if layout == "auto" else layout][split]
    ]
    if any(part.schema["images"] != pl.List(pl.String) for part in parts):
        raise base.damaged(root / split, "the column images does not hold lists of paths", SOURCE)
    return pl.concat(parts)


def _present(root: Path, split: str) -> str:
    """The first layout whose tables are there; else the one of the released code, whose error names the file."""
    whole = (
        layout
        for layout, tables in LAYOUTS.items()
        if all((root / folder / table).is_file() for folder, table in tables[split])
    )
    return next(whole, "code")


def _picked(images: list[str], frames: str) -> list[str]:
    # Chosen before looking for files: a missing middle frame is not replaced by its neighbour.
    places = {"first": slice(0, 1), "middle": slice(len(images) // 2, len(images) // 2 + 1), "last": slice(-1, None)}
    return images[places.get(frames, slice(None))]


def _check_option(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise VlmscopeError(
            f"{LABEL} does not know {option}: {value!r}.",
            where="datasets: options",
            instead=f"one of {', '.join(known)}",
        )
