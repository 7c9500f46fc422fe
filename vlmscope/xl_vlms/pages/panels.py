"""Panels of concept shift: every concept before, shifted, and as the fine-tuned model has it (xl_vlms.md 2.9)."""

from collections.abc import Mapping, Sequence
from typing import Any

from vlmscope.xl_vlms.pages.parts import Numbered, Page, rounded, unlike
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.shift import files as shift_files
from vlmscope.xl_vlms.shift.study import SIDES

VALUES = (
    *("n", "matched", "denom", "orig_count", "shifted_count", "orig_pct", "shifted_pct", "orig_images"),
    *("shifted_images", "orig_cosine", "shifted_cosine", "consistency", "magnitude"),
)
ABOUT = ("model", "tuned", "set", "module", "method", "k", "alpha", "samples", "keywords")
ARM = ("arm", "n", "t_overlap", "t_overlap_low", "t_overlap_high", "cosine", "cosine_low", "cosine_high")


def texts(path: str, module: str) -> dict[str, str]:
    """What a model wrote of every sample with a vector."""
    found = vectors.read(path, module)
    return dict(zip(found.samples, found.texts, strict=True))


def from_files(path: str, *, written: Sequence[str], raw: str, images: int) -> Page:
    """Panels of one comparison.

    path      the comparison
    written   vectors of the original and of the fine-tuned model, for what they wrote; none where it was imported
    raw       manifest of the pictures
    images    most pictures per concept and side
    """
    found, pictures = shift_files.read(path), Numbered()
    said = [texts(one, found["module"]) for one in written] or [{}, {}]
    whose = dict(zip(SIDES, (said[0], said[1], said[1]), strict=True))

    def seen(side: str, names: Sequence[str]) -> list[list[Any]]:
        known = found.get("pictures", {})
        return [
            [pictures.place(known[name]) if name in known else None, name, whose[side].get(name, "")]
            for name in names[:images]
        ]

    data = {
        **{name: found.get(name) for name in ABOUT},
        "sides": [side for side in SIDES if any(side in row["words"] for row in found["rows"]["concepts"])],
        "concepts": [_panel(row, seen) for row in found["rows"]["concepts"]],
        "arms": arms(found),
    }
    return Page.below(raw, data, pictures)


def _panel(row: Mapping[str, Any], seen: Any) -> dict[str, Any]:
    values = {name: row.get(name) for name in VALUES}
    return {
        "number": row["concept"],
        **{name: rounded(one) if isinstance(one, float) else one for name, one in values.items()},
        "words": {side: unlike(words) for side, words in row["words"].items()},
        "images": {side: seen(side, names) for side, names in row.get("images", {}).items() if side in SIDES},
    }


def arms(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Means over concepts without a shift, with it, and with random directions of its lengths.

    found   a comparison
    """
    rows = found["rows"].get("alpha", [])
    none = [{**row, "arm": "none"} for row in rows if row["alpha"] == 0 and row["arm"] == "shift"]
    own = [row for row in rows if row["alpha"] == found["alpha"]]
    return [
        {name: rounded(row[name]) if isinstance(row[name], float) else row[name] for name in ARM} for row in none + own
    ]
