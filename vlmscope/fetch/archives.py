"""Unpacking zip and tar archives: looked through before the first byte is written, nothing outside the folder."""

import contextlib
import logging
import posixpath
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from vlmscope.errors import VlmscopeError
from vlmscope.store import files

log = logging.getLogger(__name__)

BLOCK = 1 << 20


class _Member(NamedTuple):
    """One file of an archive.

    size   bytes unpacked
    open   opens its content
    link   name of the member that it stands for; empty for a plain file
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]
    link: str = ""


def unpack(
    archive: str | Path, folder: str | Path, members: Sequence[str] | None = None, *, flat: bool = False
) -> dict[str, Any]:
    """Unpack a zip or tar archive; nothing is written when a member would leave the folder. A finished one is skipped.

    members   patterns of member names, None for all
    flat      leave out the archive's own folders: every file goes right into `folder`
    """
    archive, folder = Path(archive), Path(folder)
    marker = unpacked_marker(archive, folder)
    asked = {"members": list(members or ()), "flat": flat}
    if (done := _finished(marker, archive)) and asked.items() <= done.items():
        return done
    with _opened(archive) as found:
        chosen = _chosen(found, members, flat, archive)
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder, sum(member.size for member in chosen.values()))
        marker.unlink(missing_ok=True)
        for place, member in chosen.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, open(folder / place, "wb") as target:
                shutil.copyfileobj(source, target, BLOCK)
    places = list(chosen)
    # Written last: without it the archive is unpacked again.
    done = {**asked, **_stamp(archive), "files": len(places), "first": places[0], "last": places[-1]}
    files.write_json(done, marker)
    log.info("%s: %d files unpacked in %s", archive.name, len(places), folder)
    return done


def unpacked_marker(archive: Path, folder: Path) -> Path:
    """The file that says that an archive lies unpacked in a folder."""
    return folder / f".{archive.name}.unpacked"


def _finished(marker: Path, archive: Path) -> dict[str, Any]:
    """The marker of a finished unpacking; empty when the archive or what came out of it has changed."""
    done = files.read_json(marker) if marker.is_file() else {}
    is_same = not archive.is_file() or _stamp(archive).items() <= done.items()
    is_there = done and all((marker.parent / done[end]).is_file() for end in ("first", "last"))
    return done if is_same and is_there else {}


def _stamp(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as handle:
                yield [_zip_member(handle, info) for info in handle.infolist() if not info.is_dir()]
        else:
            with tarfile.open(archive) as handle:
                yield [_tar_member(handle, info) for info in handle.getmembers() if not info.isdir()]
    # RuntimeError: an encrypted member.
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, RuntimeError) as error:
        raise VlmscopeError(
            f"The archive {archive.name} is damaged or no zip or tar archive: {error}",
            where=str(archive),
            instead="delete it and run again",
        ) from error


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        link = _beside(info.filename, archive.read(info).decode(errors="replace"))
        return _Member(info.filename, 0, lambda: archive.open(info), link)
    if kind not in (0, stat.S_IFREG):
        raise _hostile(info.filename, "is a device", archive.filename)
    return _Member(info.filename, info.file_size, lambda: archive.open(info))


def _tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    def content() -> IO[bytes]:
        return archive.extractfile(info)

    if info.issym():
        return _Member(info.name, 0, content, _beside(info.name, info.linkname))
    if info.islnk():
        return _Member(info.name, 0, content, posixpath.normpath(info.linkname))
    if not info.isfile():
        raise _hostile(info.name, "is a device", archive.name)
    return _Member(info.name, info.size, content)


def _beside(name: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def _chosen(found: list[_Member], patterns: Sequence[str] | None, flat: bool, archive: Path) -> dict[str, _Member]:
    """Place below the folder -> member, all names checked; links become copies of what they stand for."""
    plain = {posixpath.normpath(member.name): member for member in found if not member.link}
    chosen: dict[str, _Member] = {}
    for member in found:
        path = _checked(member.name, archive)
        if _is_litter(path) or (patterns and not any(fnmatch(member.name, pattern) for pattern in patterns)):
            continue
        if member.link and member.link not in plain:
            raise _hostile(member.name, f"is a link to {member.link}, which is no file of the archive", archive)
        place = path.name if flat else str(path)
        if flat and place in chosen:
            raise _hostile(member.name, "has the name of another member", archive)
        chosen[place] = plain[member.link] if member.link else member
    if not chosen:
        raise VlmscopeError(
            f"The archive {archive.name} has no file like {', '.join(patterns or ['*'])}.",
            where=str(archive),
            instead="compare the archive with vlmscope/datasets/sources.toml",
        )
    return chosen


def _checked(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.search(r"[\\\x00]|^[A-Za-z]:", name) or not path.name:
        raise _hostile(name, "would leave the folder", archive)
    return path


def _is_litter(path: PurePosixPath) -> bool:
    """Whether a packing program on a Mac added this by itself."""
    return "__MACOSX" in path.parts or path.name.startswith("._")


def _hostile(name: str, what: str, archive: object) -> VlmscopeError:
    return VlmscopeError(
        f"The archive is refused: its member {name!r} {what}.",
        where=str(archive),
        instead="delete the archive; this is not what the publisher hands out",
    )


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise VlmscopeError(
            f"Unpacking needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free.",
            where=str(folder),
            instead="make room, or set datasets.*.root to a folder on a larger disk",
        )
