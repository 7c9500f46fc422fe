"""Attribution case by case: where the latents behind an answer lie in its picture and in its question (figure 9)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from vlmscope import samples
from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.attribution.probe import HARMLESS
from vlmscope.multimodal_sae.attribution.tables import ATTRIBUTION
from vlmscope.multimodal_sae.figures.choice import TRAINED
from vlmscope.multimodal_sae.schemas import SCORED
from vlmscope.multimodal_sae.score.classes import CLASSES
from vlmscope.raw import read_manifest
from vlmscope.store import files, tables

# A row per latent and token where it is active; sum and pooled are over its part.
CASE = {
    "feature": pl.Int64,
    "part": pl.String,
    "rank": pl.Int64,
    "sum": pl.Float64,
    "pooled": pl.Float64,
    "token": pl.Int64,
    "value": pl.Float64,
    "effect": pl.Float64,
}
# Panels of a row of overlays.
ACROSS = 5
NOTE = (
    "Bright: where, in the first view, the latent supports the answer. share: its attribution over all image tokens, "
    "in logits of answer\nminus baseline; effect: what switching it off at all tokens takes from that."
)


@dataclass(frozen=True)
class Case:
    """One answer.

    prompt   as in attribution_prompts.json
    rows     `CASE` of it
    picture  that was asked about
    names    latent -> what it stands for, where that is known
    """

    prompt: Mapping[str, Any]
    rows: pl.DataFrame
    picture: Image.Image
    names: Mapping[int, str]

    def best(self, part: str, most: int) -> list[dict[str, Any]]:
        """The latents of the highest rank in a part: feature, sum, pooled, effect; those that support the answer."""
        own = self.rows.filter(pl.col("part") == part, pl.col("pooled") > 0)
        once = own.unique("feature", maintain_order=True).sort("rank", "feature")
        return once.select("feature", "sum", "pooled", "effect").head(most).to_dicts()

    def values(self, part: str, feature: int) -> np.ndarray:
        """Attribution of a latent at every token of a part, float64 [token of the part]; 0 where it is silent."""
        own = self.rows.filter(part=part, feature=feature)
        places = [place for place, kind in enumerate(self.prompt["parts"]) if kind == part]
        order = {place: number for number, place in enumerate(places)}
        found = np.zeros(len(places))
        found[[order[token] for token in own["token"]]] = own["value"]
        return found

    def overlays(self, most: int) -> list[dict[str, Any]]:
        """Rows of panels: the picture, then a panel per latent of the image part; positive values alone."""
        side = math.isqrt(self.prompt["base"])
        panels = [{"picture": self.picture, "values": None, "target": None, "title": "picture"}]
        for place, one in enumerate(self.best("image", most), 1):
            # Tokens of one view make a square; families whose views differ in size have no overlays.
            values = self.values("image", one["feature"])[: side * side] if side * side == self.prompt["base"] else None
            grid = None if values is None else np.maximum(values, 0).reshape(side, side)
            panels.append({"picture": self.picture, "values": grid, "target": None, "title": self._title(place, one)})
        rows = [panels[start : start + ACROSS + 1] for start in range(0, len(panels), ACROSS + 1)]
        return [{"label": self._about() if not number else [""], "panels": row} for number, row in enumerate(rows)]

    def _title(self, place: int, one: Mapping[str, Any]) -> str:
        name = self.names.get(one["feature"], "")
        about = f" ({name})" if name else ""
        return f"{place}. latent {one['feature']}{about}\nshare {one['sum']:.2f}, effect {one['effect']:.2f}"

    def _about(self) -> list[str]:
        own = self.prompt
        return [f"{own['answer']} or {own['baseline']}", own["question"], f"difference {own['difference']:.2f}"]

    def page(self, most: int) -> dict[str, Any]:
        """What the page of coloured text shows."""
        words = [text for text, kind in zip(self.prompt["tokens"], self.prompt["parts"], strict=True) if kind == "text"]
        lines = [
            {**one, "name": self.names.get(one["feature"], ""), "shades": shades(self.values("text", one["feature"]))}
            for one in self.best("text", most)
        ]
        about = {key: self.prompt[key] for key in ("image", "question", "answer", "baseline", "difference")}
        return {**about, "tokens": words, "latents": lines}


def shades(values: np.ndarray) -> list[float]:
    """How red every token is, 0 to 1: what is below 0 counts as 0, then least to most, as released."""
    own = np.maximum(values, 0)
    return ((own - own.min()) / (own.max() - own.min() + 1e-5)).round(4).tolist() if len(own) else []


def meanings(classes: pl.DataFrame, explanations: pl.DataFrame) -> dict[int, str]:
    """Latent -> what it stands for: its best word of the masks, else its best name that fits better than controls."""
    trained, controls = pl.col("coder") == TRAINED, pl.max_horizontal("iou_random", "iou_shuffled")
    named = explanations.filter(trained, pl.col("iou") > controls).sort("iou")
    words = classes.filter(trained, pl.col("latent").is_not_null()).sort("iou")
    # Later ones win.
    return dict([*named.select("latent", "refined").rows(), *words.select("latent", "word").rows()])


def from_files(
    rows: str, prompts: str, raw: str, table: str, names: Sequence[str], most: int
) -> Iterator[dict[str, Any]]:
    """Every answer: name (of its folder), rows (`CASE`), picture, overlays, page.

    names   iou_classes.csv and explanations.csv; none: latents stay without names
    most    latents per part
    """
    every, root = tables.read(rows, ATTRIBUTION), Path(read_manifest(raw)["root"])
    named = {one.sample: one for one in samples.read(table)}
    known = meanings(tables.read(names[0], CLASSES), tables.read(names[1], SCORED)) if names else {}
    for prompt in files.read_json(prompts)["prompts"]:
        name = prompt["image"]
        if not HARMLESS.fullmatch(name):
            raise VlmscopeError(f"The sample {name!r} cannot be the name of a folder.", where=table)
        own = every.filter(image=name).select(*CASE)
        case = Case(prompt, own, samples.picture(named[name], root), known)
        told = {"overlays": case.overlays(most), "page": case.page(most)}
        yield {"name": name, "rows": own, "picture": case.picture, **told}
