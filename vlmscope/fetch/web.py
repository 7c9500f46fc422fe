"""One file over the network: resumed where it stopped, compared with what is known of it, under its name at last.

A download grows as `NAME.part` beside its target; `.NAME.part` says which version of the file it is a part of.
"""

import email.message
import hashlib
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vlmscope.errors import VlmscopeError

log = logging.getLogger(__name__)

BLOCK = 1 << 20
# Seconds without a byte after which a connection counts as lost.
SILENCE = 60
# Seconds to wait before the next try; a try that brought new bytes starts the list again.
WAITS = (1, 5, 20, 60, 120)
# Seconds between two lines of progress in the log.
EVERY = 10.0
# Answers that pass with another try: too many requests, trouble within the server.
PASSING = (408, 425, 429, 500, 502, 503, 504)
BY_HAND = "fetch the file in another way and put it in its place (docs/data.md)"


class _Passing(Exception):
    """Trouble that another try may cure."""


def download(
    url: str, target: str | Path, *, size: int | None = None, sha256: str | None = None, md5: str | None = None
) -> dict[str, Any]:
    """Fetch one file; what is known of it must hold. Returns url, size and sha256 as measured.

    size, sha256, md5   bytes and hexadecimal digests, None where unknown; a file that is there is only compared
    """
    target = Path(target)
    if not url.startswith(("https://", "http://")):
        raise VlmscopeError(
            f"This is no web address: {url}", where="vlmscope/datasets/sources.toml", instead="https://..."
        )
    is_new = not target.is_file()
    part = target.with_name(target.name + ".part")
    if is_new:
        target.parent.mkdir(parents=True, exist_ok=True)
        _complete(url, part, size)
    measured = measure(part if is_new else target)
    problem = _difference(part if is_new else target, measured, {"size": size, "sha256": sha256, "md5": md5})
    if problem and is_new:
        _forget(part)
    if problem:
        instead = "run again; if it comes back, the publisher changed the file" if is_new else "delete it and run again"
        raise VlmscopeError(
            f"The file {target.name} is not the one that was published: {problem}.",
            where=url if is_new else str(target),
            instead=instead,
        )
    if is_new:
        os.replace(part, target)
        _forget(part)
    return {"url": url, **measured}


def measure(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file."""
    return {"size": path.stat().st_size, "sha256": _digest(path, "sha256")}


def _digest(path: Path, kind: str) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, kind).hexdigest()


def _difference(path: Path, measured: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """What is wrong with a file, in words; empty when nothing is."""
    for kind, value in known.items():
        if value is not None and (found := measured.get(kind) or _digest(path, kind)) != value:
            return f"its {kind} is {found} instead of {value}"
    return ""


def _complete(url: str, part: Path, size: int | None) -> None:
    """Let the part grow until it is whole; lost connections are taken up again."""
    most, failures = 0, 0
    while True:
        try:
            return _receive(url, part, size)
        except _Passing as trouble:
            grown = part.stat().st_size if part.is_file() else 0
            # Only bytes never had before count, else a server that always breaks half way would be asked forever.
            if grown > most:
                most, failures = grown, 0
            if failures == len(WAITS):
                raise VlmscopeError(
                    f"The download broke off {failures + 1} times in a row: {trouble}",
                    where=url,
                    instead=f"run again later; the {grown} bytes that are here are kept",
                ) from trouble
            log.warning("%s: %s; again in %d s", part.stem, trouble, WAITS[failures])
            time.sleep(WAITS[failures])
            failures += 1


def _receive(url: str, part: Path, size: int | None) -> None:
    """One connection: ask for what is missing, write what comes."""
    have = _usable(part, size)
    if have and have == size:
        return
    try:
        with urllib.request.urlopen(_request(url, part, have), timeout=SILENCE) as answer:
            start = _start(answer, have, url)
            if not start:
                _forget(part)
            _label(part).write_text(_validator(answer.headers), encoding="utf-8")
            _write(answer, part, start)
    except urllib.error.HTTPError as error:
        _refused(error, part, have, url)
    except (OSError, http.client.HTTPException) as error:
        raise _Passing(f"{type(error).__name__}: {error}") from error


def _usable(part: Path, size: int | None) -> int:
    """Bytes of an earlier try; a part longer than the file belongs to another file."""
    have = part.stat().st_size if part.is_file() else 0
    if size is not None and have > size:
        _forget(part)
        return 0
    return have


def _request(url: str, part: Path, have: int) -> urllib.request.Request:
    headers = {"User-Agent": "vlmscope", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        # The rest of a file that changed meanwhile would not fit; the server then sends the new one whole.
        if known := _label(part).read_text(encoding="utf-8") if _label(part).is_file() else "":
            headers["If-Range"] = known
    return urllib.request.Request(url, headers=headers)


def _start(answer: http.client.HTTPResponse, have: int, url: str) -> int:
    """First byte of an answer within the file."""
    if answer.status == 200:
        return 0
    span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if answer.status != 206 or span is None or int(span[1]) != have:
        raise VlmscopeError(
            f"The server answers {answer.status} with range {answer.headers.get('Content-Range')!r} "
            f"where the file from byte {have} was asked for.",
            where=url,
            instead=BY_HAND,
        )
    return have


def _write(answer: http.client.HTTPResponse, part: Path, start: int) -> None:
    length = answer.headers.get("Content-Length")
    end = start + int(length) if length and length.isdigit() else None
    with open(part, "r+b" if start else "wb") as handle:
        handle.seek(start)
        for block in _told(iter(lambda: answer.read(BLOCK), b""), part.name.removesuffix(".part"), start, end):
            handle.write(block)
        handle.flush()
        os.fsync(handle.fileno())
        got = handle.tell()
    # A body that ends early raises nothing by itself.
    if end is not None and got != end:
        raise _Passing(f"the connection ended after {got} of {end} bytes")


def _told(blocks: Iterable[bytes], name: str, done: int, end: int | None) -> Iterator[bytes]:
    """Hand blocks through and write to the log how far the download is."""
    begun = last = time.monotonic()
    first, total = done, f" of {end / 1e6:.1f}" if end else ""
    for block in blocks:
        yield block
        done += len(block)
        now = time.monotonic()
        if now - last >= EVERY or done == end:
            last = now
            speed = (done - first) / 1e6 / max(now - begun, 1e-3)
            log.info("%s: %.1f%s MB, %.1f MB/s", name, done / 1e6, total, speed)


def _refused(error: urllib.error.HTTPError, part: Path, have: int, url: str) -> None:
    """What to do about an answer that is no file; returns when the part turns out to be whole."""
    with error:
        if error.code == 416 and have:
            if (error.headers.get("Content-Range") or "") == f"bytes */{have}":
                return
            _forget(part)
            raise _Passing("the part that was here does not fit the file")
        if error.code in PASSING:
            raise _Passing(f"the server answers {error.code} {error.reason}")
    raise VlmscopeError(
        f"The server does not hand out this file: {error.code} {error.reason}.",
        where=url,
        instead=BY_HAND,
    )


def _validator(headers: email.message.Message) -> str:
    """What tells one version of a file from another; weak tags do not serve for ranges."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _label(part: Path) -> Path:
    return part.with_name("." + part.name)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _label(part).unlink(missing_ok=True)
