"""What the released code calls conditions and blocked groups in its result files."""

import re

from vlmscope.llava_interp.knockout import windows
from vlmscope.llava_interp.knockout.windows import Window

# Condition and size as in records.
Condition = tuple[str, int | None]
QUESTIONS: dict[Condition, str] = {
    ("register", None): "register_ablation",
    ("object", 0): "patch_ablation",
    ("object", 1): "patch_plus_one_ablation",
    ("object", 2): "patch_plus_two_ablation",
}
DESCRIPTIONS: dict[Condition, str] = {
    ("none", None): "no_ablation",
    ("noise", None): "image_ablation",
    ("register", None): "register_ablation",
    ("object", 0): "patch_ablation_0",
    ("object", 1): "patch_ablation_1",
    ("object", 2): "patch_ablation_2",
}
SIZED = ("random", "gradient")


def condition(one: Condition, known: dict[Condition, str]) -> str | None:
    """The released name; None for conditions that are ours alone."""
    return f"{one[0]}_ablation_{one[1]}" if one[0] in SIZED else known.get(one)


def parsed(name: str, known: dict[Condition, str]) -> Condition | None:
    """The condition of a released name; None for another name."""
    found = {value: key for key, value in known.items()}.get(name)
    sized = re.fullmatch(rf"({'|'.join(SIZED)})_ablation_(\d+)", name)
    return found or ((sized[1], int(sized[2])) if sized else None)


def groups(depth: int) -> dict[str, tuple[str, str, Window]]:
    """Released key -> source, target and window of every intervention in a decoder of so many layers."""
    return {
        group(source, target, window.name): (source, target, window)
        for source, target in windows.RELEASED
        for window in windows.windows(depth)
    }


def group(source: str, target: str, window: str) -> str:
    """The released key of one of the released groups in one of the published windows."""
    return f"{windows.RELEASED[source, target]}_{window.upper()}_LAYERS"
