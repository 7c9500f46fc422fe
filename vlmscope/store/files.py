"""Atomic files: what stands under its final name is whole."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from vlmscope.errors import VlmscopeError


@contextlib.contextmanager
def publish(target: str | Path) -> Iterator[Path]:
    """A path beside the target to write to; it takes the target's name when the block ends well.

    An interrupted writer leaves `NAME.part` behind, which the next writer replaces.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    try:
        yield part
        with open(part, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(text: str, target: str | Path) -> None:
    """Write UTF-8 text with `\\n` line ends."""
    with publish(target) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(value: Any, target: str | Path) -> None:
    """Write JSON for people: two blanks, sorted keys."""
    write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", target)


def read_json(path: str | Path) -> Any:
    """Read JSON; a damaged file is named."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VlmscopeError(
            "A file is not there.", where=str(path), instead="make it: snakemake " + str(path)
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise VlmscopeError(
            f"The file is not whole JSON: {error}", where=str(path), instead="delete it and run snakemake again"
        ) from None


def digest(path: str | Path) -> str:
    """xxh3-128 of a file's bytes, read in blocks of 4 MB."""
    state = xxhash.xxh3_128()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 22):
            state.update(block)
    return state.hexdigest()


def digest_text(text: str) -> str:
    """xxh3-128 of a text."""
    return xxhash.xxh3_128_hexdigest(text.encode())
