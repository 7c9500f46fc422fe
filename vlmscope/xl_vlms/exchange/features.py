"""Feature files of the released code, `features/{hook}_{name}.pth`: states, masks, pictures, texts (xl_vlms.md 5.1).

Files differ by version and by the page that describes them: masks are lists or one tensor, lists of pictures are nested
or flat, texts are there or not. All of them are read; one is written.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import torch_files

STATES, MASK, IMAGES, TEXTS = "hidden_states", "token_of_interest_mask", "image", "model_predictions"


class Features(NamedTuple):
    """What a feature file holds.

    states   name as it stands there -> one array [T, D] per sample
    found    bool [N], None where the file has no mask
    images   [N] as they stand there
    texts    [N], None where the file has none
    """

    states: dict[str, list[np.ndarray]]
    found: np.ndarray | None
    images: list[str]
    texts: list[str] | None


def read(path: str | Path, part: str = "") -> Features:
    """A feature file, read as data alone.

    part   of files of the learn-to-steer code, which state is taken: `outputs/average`
    """
    held = torch_files.read(path)
    if not isinstance(held, dict) or STATES not in held:
        raise _unfit(path, f"it has no {STATES}")
    states = _states(held[STATES], part, path)
    count = len(next(iter(states.values())))
    images = _texts(held.get(IMAGES), IMAGES, count, path)
    if images is None:
        raise _unfit(path, f"it has no list {IMAGES}")
    return Features(states, _mask(held.get(MASK), count, path), images, _texts(held.get(TEXTS), TEXTS, count, path))


def matrix(states: Sequence[np.ndarray], position: int | None = None) -> np.ndarray:
    """One vector per sample, [N, D]: a position of each, or the mean over them (xl_vlms.md 2.4).

    states   [T, D] or [1, T, D] each
    """
    flat = [state.reshape(-1, state.shape[-1]) for state in states]
    if position is None:
        return np.stack([one[0] if len(one) == 1 else one.astype(np.float32).mean(0) for one in flat])
    if any(not -len(one) <= position < len(one) for one in flat):
        raise VlmscopeError(
            f"Some samples have no position {position}.",
            where="xl_vlms.exchange.position",
            instead="empty, for the mean over all positions",
        )
    return np.stack([one[position] for one in flat])


def write(
    target: str | Path,
    *,
    vectors: Mapping[str, np.ndarray],
    found: np.ndarray | None,
    images: Sequence[str],
    texts: Sequence[str] | None,
) -> None:
    """Write vectors [N, D] by name as the released code writes states of one position."""
    names = list(vectors)
    content: dict[str, Any] = {
        STATES: [{name: vectors[name][row][None, None] for name in names} for row in range(len(images))],
        IMAGES: [[image] for image in images],
    }
    if found is not None:
        content[MASK] = [np.array([one]) for one in found]
    if texts is not None:
        content[TEXTS] = [[text] for text in texts]
    torch_files.write(content, target)


def _states(held: Any, part: str, path: str | Path) -> dict[str, list[np.ndarray]]:
    """Arrays by name, whether the file is a list of tables or a table of lists."""
    if isinstance(held, list) and held and all(isinstance(one, dict) for one in held):
        if any(set(one) != set(held[0]) for one in held):
            raise _unfit(path, "its samples do not have the same modules")
        held = {name: [one[name] for one in held] for name in held[0]}
    if not isinstance(held, dict) or not held:
        raise _unfit(path, f"its {STATES} are no states by module")
    found = {name: [_state(one, part, path) for one in values] for name, values in held.items()}
    if len({len(values) for values in found.values()}) > 1 or not next(iter(found.values())):
        raise _unfit(path, "its modules have different numbers of samples, or none")
    for name, values in found.items():
        if len({one.shape[-1] for one in values}) > 1:
            raise _unfit(path, f"the states of {name} differ in width")
    return found


def _state(value: Any, part: str, path: str | Path) -> np.ndarray:
    """One sample's state, [T, D]."""
    if isinstance(value, dict):
        value = _inside(value, part, path)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim not in (1, 2, 3):
        raise _unfit(path, "a state of it is no tensor of numbers")
    if value.ndim == 3 and len(value) != 1:
        raise _unfit(path, f"a state of it has the shape {list(value.shape)}, more than one sample")
    return value.reshape(-1, value.shape[-1])


def _inside(value: Mapping[str, Any], part: str, path: str | Path) -> Any:
    """The wanted part of a learn-to-steer entry, {inputs: {..}, outputs: {..}}."""
    known = [f"{side}/{name}" for side, one in value.items() if isinstance(one, dict) for name in one]
    side, _, name = part.partition("/")
    if part not in known:
        raise VlmscopeError(
            f"The file has several states of every sample, none of them '{part}'.",
            where=str(path),
            instead="xl_vlms.exchange.part: one of " + ", ".join(known),
        )
    return value[side][name]


def _mask(held: Any, count: int, path: str | Path) -> np.ndarray | None:
    if held is None:
        return None
    parts = held.tolist() if isinstance(held, np.ndarray) else held
    flat = [one.item() if isinstance(one, np.ndarray) and one.size == 1 else one for one in parts]
    if len(flat) != count or not all(isinstance(one, bool | int) and one in (0, 1) for one in flat):
        raise _unfit(path, f"its {MASK} does not tell of {count} samples whether something was found")
    return np.array(flat, bool)


def _texts(held: Any, key: str, count: int, path: str | Path) -> list[str] | None:
    """Texts of a flat or nested list; the released grounding reads the first letter of a flat one (8 #19)."""
    if held is None:
        return None
    found = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in held] if held else []
    if not isinstance(held, list) or len(found) != count or not all(isinstance(one, str) for one in found):
        raise _unfit(path, f"its list {key} has no text for each of {count} samples")
    return found


def _unfit(path: str | Path, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The feature file does not fit: {why}.",
        where=str(path),
        instead="a file of save_features.py (docs/formats.md)",
    )
