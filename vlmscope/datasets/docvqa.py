"""DocVQA, documents: scanned pages embedded in parquet tables, several accepted answers (mmneuron.md 5.5)."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
from PIL import Image

from vlmscope import orders
from vlmscope.datasets import base
from vlmscope.datasets.shared import cells
from vlmscope.samples import Sample
from vlmscope.world.scene import Scene

LABEL = "DocVQA"
DOMAIN = "doc"
SPLITS = ("train", "val")
SOURCE = "https://huggingface.co/datasets/pixparse/docvqa-single-page-questions"
FILES = {"train": "train", "val": "validation"}
METADATA = pa.struct(
    [
        ("ucsf_document_id", pa.string()),
        ("ucsf_document_page_no", pa.string()),
        ("doc_id", pa.int64()),
        ("image", pa.string()),
        ("data_split", pa.string()),
    ]
)
FEATURES = {
    "question_id": {"dtype": "int64", "_type": "Value"},
    "image": cells.FEATURE,
    "question": {"dtype": "string", "_type": "Value"},
    "answers": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
    "other_metadata": {field.name: {"dtype": str(field.type), "_type": "Value"} for field in METADATA},
}
SCHEMA = pa.schema(
    [
        ("question_id", pa.int64()),
        ("image", cells.PICTURE),
        ("question", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("other_metadata", METADATA),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


class Row(NamedTuple):
    """A question without its page.

    place   row number in its file
    page    what names the page
    """

    file: str
    place: int
    page: str
    question: str
    answers: list[str]


def read(root: Path, split: str, *, name: str, limit: int | None = None) -> Iterator[Sample]:
    """One question per page in the official order; the answer is the list of accepted answers."""
    base.check_split(split, SPLITS, name)
    # Questions alone are held in memory; pages (12.4 GB) are looked at when their turn comes.
    rows = [row for path in cells.parts(root / "data", FILES[split], SOURCE) for row in _rows(path, root)]
    numbered = ((rank, rows[k]) for rank, k in enumerate(orders.hub_order(len(rows)).tolist()))
    firsts = orders.first_per(numbered, lambda row: row.page)
    for item in cells.found(firsts, root, limit=limit, name=name, source=SOURCE):
        yield base.sample(item, name=name, split=split, question=item.row.question, answer=item.row.answers)


def write(scenes: Sequence[Scene], root: Path, split: str) -> list[Path]:
    """Drawn scenes as pages embedded without loss, one row per question."""
    base.check_split(split, SPLITS, LABEL)
    base.check_scenes(scenes, root)
    rows = []
    for scene in scenes:
        page = _page(scene, split)
        rows += [
            {**page, "question_id": scene.seed * 1000 + k, "question": asked.text, "answers": [asked.answer]}
            for k, asked in enumerate(scene.questions)
        ]
    # A page is repeated for each of its questions, as in the original.
    return [cells.write(rows, SCHEMA, root / "data" / f"{FILES[split]}-00000-of-00001.parquet")]


def prompt(sample: Sample, style: str) -> str:
    """The question, or the question with the request for one word or phrase."""
    return base.styled(sample, style, base.short_answer(sample))


def _page(scene: Scene, split: str) -> dict[str, Any]:
    """The columns that all questions of a page share."""
    name = f"documents/{scene.seed:08d}_1.png"
    metadata = {
        "ucsf_document_id": f"{scene.seed:08d}",
        "ucsf_document_page_no": "1",
        "doc_id": scene.seed,
        "image": name,
        "data_split": split,
    }
    return {"image": cells.cell(Image.fromarray(scene.image), Path(name).name), "other_metadata": metadata}


def _rows(path: Path, root: Path) -> Iterator[Row]:
    """The rows of one file without their pictures."""
    table = base.read_table(path, ("question", "answers", "other_metadata"), SOURCE)
    try:
        slim = table.select("question", "answers", page=pl.col("other_metadata").struct.field("image"))
    except pl.exceptions.PolarsError as error:
        raise base.damaged(path, f"other_metadata has no field image: {error}", SOURCE) from error
    file = path.relative_to(root).as_posix()
    for place, (question, answers, page) in enumerate(slim.iter_rows()):
        yield Row(file, place, page, question, answers)
