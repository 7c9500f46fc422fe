"""PyTorch files of the released code, read as data: lists, tables, text, numbers, and tensors as numpy arrays.

Such a file is an archive with a pickle inside. Before anything is opened the pickle is looked through, without running
it: it may name tensors and nothing else. What then opens it runs nothing either (`weights_only`) and leaves the numbers
on disk until they are used (`mmap`).
"""

import pickletools
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.store.files import publish

# Everything that a file of counts, masks, answers, neurons, activations or pictures has to name.
KNOWN = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {
    f"torch {kind}Storage" for kind in ("Bool", "Byte", "Int", "Long", "Half", "Float", "Double")
}
CALLS = ("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")
# Far beyond a thousand answers or the masks of a 13 B model.
LONGEST_PICKLE = 64 << 20
MOST_PARTS = 2_000_000
DEEPEST = 8


class Nothing:
    """What stands in place of an object whose class is not loaded; it takes anything and keeps nothing."""

    def __init__(self, *given: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read(path: str | Path, without: Sequence[str] = ()) -> Any:
    """What a file holds, refused when it is anything but plain data.

    without   packages whose objects are left out, None in their place: neither they nor their code is loaded
    """
    path = Path(path)
    stand_ins = [(Nothing, name) for name in _look_through(path, without)]
    try:
        with torch.serialization.safe_globals(stand_ins):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # Whatever a damaged file makes the reader raise; nothing of it was run.
    except Exception as error:
        raise _refused(path, f"it is damaged ({_first_line(error)})") from error
    room = [MOST_PARTS, path.stat().st_size]
    return _plain(found, path, room, 0)


def write(value: Any, target: str | Path) -> None:
    """Write numpy arrays, lists, tables, text and numbers as the released code does; equal values give equal bytes."""
    with publish(target) as part:
        torch.save(_tensors(value), part)


def _look_through(path: Path, without: Sequence[str]) -> list[str]:
    """Refuse a file whose pickle calls something, or whose archive claims more than it holds.

    Returned are dotted names of what is called but left out.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            # PyTorch compresses nothing, so what a file claims is what it has.
            packed = any(one.compress_type != zipfile.ZIP_STORED for one in parts)
            if packed or sum(one.file_size for one in parts) > path.stat().st_size:
                raise _refused(path, "its archive claims to unpack to more than it holds")
            pickles = [one for one in parts if one.filename.endswith("data.pkl")]
            if len(pickles) != 1 or pickles[0].file_size > LONGEST_PICKLE:
                raise _refused(path, f"it has {len(pickles)} tables of contents, or one of more than 64 MB")
            called = list(_called(archive.read(pickles[0])))
    except FileNotFoundError:
        raise VlmscopeError(
            "A file of the released code is not there.", where=str(path), instead="the whole folder (docs/formats.md)"
        ) from None
    except (OSError, zipfile.BadZipFile, ValueError, IndexError, OverflowError, NotImplementedError) as error:
        raise _refused(path, f"it is no PyTorch file, or damaged ({_first_line(error)})") from error
    left_out = {name for name in called if name.partition(" ")[0].partition(".")[0] in without}
    # Objects of these packages are built of stand-ins; nothing else may be built.
    built = {f"something by the opcode {code}" for code in ("NEWOBJ", "NEWOBJ_EX")} if left_out else set()
    if strange := [name for name in called if name not in KNOWN | left_out | built]:
        raise _refused(path, f"it would call {strange[0].replace(' ', '.')}, and a file of numbers has no need to")
    return sorted(name.replace(" ", ".") for name in left_out)


def _called(stream: bytes) -> Iterator[str]:
    """Names of everything that a pickle would call, found without running it."""
    for code, argument, _ in pickletools.genops(stream):
        if code.name in CALLS:
            yield str(argument) if code.name == "GLOBAL" else f"something by the opcode {code.name}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


def _refused(path: Path, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The file is refused: {why}. Nothing of it was run.",
        where=str(path),
        instead="a file of tensors, lists and text as the released code writes it (docs/formats.md)",
    )


def _plain(value: Any, path: Path, room: list[int], depth: int) -> Any:
    """The same with tensors as arrays; `room` is what may still come: parts and bytes."""
    room[0] -= 1
    if room[0] < 0 or depth > DEEPEST:
        raise _refused(path, "its lists hold more, or lie deeper, than any released file's")
    if isinstance(value, Tensor):
        return _array(value, path, room)
    if isinstance(value, dict):
        return {_key(key, path): _plain(one, path, room, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, path, room, depth + 1) for one in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Nothing):
        return None
    raise _refused(path, f"it holds a {type(value).__name__}")


def _key(key: Any, path: Path) -> str:
    if not isinstance(key, str):
        raise _refused(path, f"a table of it has the name {key!r}")
    return key


def _array(value: Tensor, path: Path, room: list[int]) -> np.ndarray:
    """A tensor that is as large as the file says it is."""
    room[1] -= value.numel() * value.element_size()
    if value.device.type != "cpu" or value.layout != torch.strided or room[1] < 0:
        raise _refused(path, f"a tensor of it claims the shape {tuple(value.shape)}, more than the file holds")
    return value.detach().numpy().copy()


def _tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
    if isinstance(value, dict):
        return {key: _tensors(one) for key, one in value.items()}
    return [_tensors(one) for one in value] if isinstance(value, list) else value
