"""What the pages of the lens show of a picture: tokens of every layer, answers without some tokens, an overview."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.ablation import tables as ablation_tables
from vlmscope.llava_interp.lens import file as lens_file
from vlmscope.llava_interp.look import arrays, views_file
from vlmscope.llava_interp.schemas import HITS, KNOCKOUTS, RECORDS, SEGMENTATION
from vlmscope.store import tables

# Neighbours of the object whose tokens are replaced too in the overview's verdicts: those of the published result.
BUFFER = 1
NAME = re.compile(r"(?!index$)[A-Za-z0-9][A-Za-z0-9_.-]*")
Values = Mapping[str, Any]


class Shown(NamedTuple):
    """One picture.

    data      contents of its page
    picture   PNG bytes of the square that the model sees
    row       its line in the overview
    """

    data: dict[str, Any]
    picture: bytes
    row: dict[str, Any]


class Records(NamedTuple):
    """Records of all pictures, those of answers with `ok`."""

    hits: pl.DataFrame
    maps: pl.DataFrame
    answered: pl.DataFrame
    blocked: pl.DataFrame

    def of(self, sample: str) -> "Records":
        """Those of one picture."""
        own = (frame.filter(sample=sample) for frame in (self.answered, self.blocked))
        return Records(self.hits.filter(sample=sample), self.maps.filter(image=sample), *own)


def from_files(
    *, shown: str, views: str, hits: str, maps: str, ablation: str, vqa: str, knockout: str, told: Values
) -> Iterator[Shown]:
    """The first pictures of the file of lenses, one after the other.

    told   pages, threshold, answers, synonyms
    """
    judged = [
        ablation_tables.judged(frame, told["answers"], told["synonyms"])
        for frame in (pl.concat(tables.read(path, RECORDS) for path in (ablation, vqa)), _asked(knockout))
    ]
    every = Records(tables.read(hits, HITS), tables.read(maps, SEGMENTATION), *judged)
    counted = {setting: set(ablation_tables.kept(every.answered, setting)) for setting in ablation_tables.SETTINGS}
    with lens_file.opened(shown) as file, views_file.opened(views) as more:
        names = list(file)[: told["pages"]]
        for place, name in enumerate(names):
            own, group = every.of(_checked(name, shown)), file[name]
            told_of = {"sample": name, "class": str(group.attrs["class"]), "threshold": told["threshold"]}
            beside = {"before": names[place - 1] if place else None, "after": (names[place + 1 :] or [None])[0]}
            data = told_of | beside | arrays.packed(group, more[name]) | _answers(own)
            yield Shown(data, group["picture"][()].tobytes(), _row(data, own, counted))


def compared(
    *, shown: Sequence[str], models: Sequence[str], labels: Mapping[str, str], most: int
) -> list[dict[str, Any]]:
    """Models whose pages stand side by side: their layers, the folder of their pages, classes of their pictures.

    shown   files of lenses, in the order of the models
    most    pictures with a page
    """
    found = []
    for path, model in zip(shown, models, strict=True):
        with lens_file.opened(path) as file:
            names = [_checked(name, path) for name in list(file)[:most]]
            samples = {name: str(file[name].attrs["class"]) for name in names}
            layers = max((len(file[name]["tokens"]) for name in names), default=0)
        found.append({"label": labels[model], "layers": layers, "folder": f"{model}/lens", "samples": samples})
    return found


def _checked(name: str, where: str) -> str:
    """The name of a sample, which becomes that of a file."""
    if not NAME.fullmatch(name):
        raise VlmscopeError(
            f"The sample '{name}' cannot give its name to a page.",
            where=where,
            instead="letters, digits, '_', '.' and '-', and not 'index'",
        )
    return name


def _asked(knockout: str) -> pl.DataFrame:
    """Answers under blocked attention in the published windows, and untouched ones; all are single tokens."""
    rows = tables.read(knockout, KNOCKOUTS).filter((pl.col("sort") == "window") | (pl.col("source") == ""))
    return rows.with_columns(setting=pl.lit("vqa"))


def _answers(own: Records) -> dict[str, Any]:
    """Answers without some tokens: setting, condition, size, text, ok, tokens; blocked: source, target, window, ..."""
    told = ("setting", "condition", "size", "text", "ok", "indices")
    return {
        "answers": [list(row) for row in own.answered.select(told).iter_rows()],
        "blocked": [list(row) for row in own.blocked.select("source", "target", "window", "text", "ok").iter_rows()],
    }


def _row(data: Values, own: Records, counted: Mapping[str, set[str]]) -> dict[str, Any]:
    """One line of the overview: best layers of first tokens and of maps, and whether the object stayed."""
    ways = own.hits.filter(topk=1)
    criterion = "strict" if "strict" in ways["criterion"] else "lenient"
    rates = ways.filter(criterion=criterion).sort("layer")["rate"].to_list()
    layered = own.maps.filter(~pl.col("layer").is_in(["max", "mean"]))["iou"].to_list()
    return {
        "sample": data["sample"],
        "class": data["class"],
        "patches": len(data["patches"]),
        "criterion": criterion,
        "rate": _best(rates),
        "iou": _best(layered),
        "verdicts": {
            setting: _verdict(own.answered.filter(setting=setting)) if data["sample"] in samples else None
            for setting, samples in counted.items()
        },
    }


def _best(values: list[float]) -> list[float] | None:
    """The largest value and its place, the first of several; none of nothing."""
    return [round(max(values), 4), values.index(max(values))] if values else None


def _verdict(answered: pl.DataFrame) -> list[bool | None]:
    """Whether the object stayed without its tokens, and without as many others."""
    found = (answered.filter(condition=name, size=BUFFER)["ok"].to_list() for name in ("object", "matched"))
    return [(one or [None])[0] for one in found]
