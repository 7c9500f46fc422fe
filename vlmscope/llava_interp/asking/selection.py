"""Which object of a picture is looked at (llava_interp.md 2.2)."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vlmscope.llava_interp.asking import geometry
from vlmscope.llava_interp.asking.geometry import Mode, View
from vlmscope.samples import Sample


@dataclass(frozen=True)
class Target:
    """The object of one picture.

    name      its class
    patches   those it touches, numbered row by row
    """

    sample: Sample
    image_id: int
    ann_id: int
    name: str
    area: float
    patches: tuple[int, ...]


@dataclass(frozen=True)
class Filter:
    """Which objects count.

    most                     objects in a picture
    least_area, most_area    square pixels of the picture, both ends left out
    area                     of the whole object, as released, or of what lies in the central square
    """

    most: int
    least_area: float
    most_area: float
    area: Literal["whole", "visible"] = "whole"

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Filter":
        """As the settings have it, llava_interp.objects."""
        return cls(told["most"], told["least_area"], told["most_area"], told["area"])

    def fits(self, one: Mapping[str, Any], size: tuple[int, int]) -> bool:
        """Whether an annotation of a picture (W, H) counts: its area fits, and it is no crowd."""
        if one.get("crowd", False):
            return False
        area = one["area"] * (geometry.visible(one["segmentation"], size) if self.area == "visible" else 1)
        return self.least_area < area < self.most_area


def choose(objects: Sequence[Mapping[str, Any]], told: Filter, size: tuple[int, int]) -> Mapping[str, Any] | None:
    """The first class, in the order of the annotations, with one member alone, of fitting size; its member.

    objects   `class` and `area` of all annotations of a picture; crowds are passed over once the classes are counted,
              which the released code cannot do [differs: llava_interp.md 8 #6]
    size      (W, H)
    """
    if len(objects) > told.most:
        return None
    counts = Counter(one["class"] for one in objects)
    fitting = (one for one in objects if counts[one["class"]] == 1 and told.fits(one, size))
    return next(fitting, None)


def targets(samples: Iterable[Sample], told: Filter, view: View, mode: Mode) -> tuple[list[Target], dict[str, int]]:
    """The objects to look at, in the order of the samples, and how many pictures each step left."""
    found, funnel = [], {"pictures": 0, "with_object": 0, "in_view": 0}
    for sample in samples:
        funnel["pictures"] += 1
        answer, size = json.loads(sample.answer), (sample.width, sample.height)
        chosen = choose(answer["objects"], told, size)
        funnel["with_object"] += chosen is not None
        if chosen is None:
            continue
        touched = geometry.patches(chosen, size, view, mode)
        funnel["in_view"] += touched is not None
        if touched is not None:
            told_of = {"image_id": answer["image_id"], "ann_id": chosen["id"], "name": chosen["class"]}
            found.append(Target(sample, **told_of, area=float(chosen["area"]), patches=tuple(touched)))
    return found, funnel
