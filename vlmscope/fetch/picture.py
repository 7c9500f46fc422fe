"""One picture from one link that may be dead: what came, or why nothing did."""

import hashlib
import http.client
import io
import logging
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from vlmscope.fetch import web
from vlmscope.store.files import publish

log = logging.getLogger(__name__)

# Seconds without a byte, and for a picture as a whole, after which a link counts as silent.
SILENCE = 20
PATIENCE = 120
# Seconds to wait before the next try at a link that is silent or busy.
WAITS = (2, 10, 30)
LARGEST = 64 << 20
# Bytes and md5 of what Flickr hands out for a photograph that its owner took away.
NOTICES = {(2051, "880a7a58e05d3e83797f27573bb6d35c")}
NOTICE_NAME = "photo_unavailable"

OK = "ok"
GONE = "gone"
SILENT = "no answer"
STRANGE = "no picture"
LARGE = "too large"


class Found(NamedTuple):
    """What a link led to.

    status          ok, or why there is no picture; `no answer` may be different tomorrow
    sha256          of the bytes as they came, which are the file; empty without a picture
    width, height   pixels; 0 without a picture
    """

    status: str
    sha256: str = ""
    width: int = 0
    height: int = 0


class _Silent(Exception):
    """Trouble that another try may cure."""


def fetch(url: str, target: Path) -> Found:
    """Bring the picture of a link in its place, bytes as they come, once they are known to be a whole picture."""
    if not url.startswith(("https://", "http://")):
        return Found("no web address")
    for wait in (*WAITS, None):
        try:
            status, body = _body(url)
            break
        except _Silent as trouble:
            if wait is None:
                log.info("%s: %s", url, trouble)
                return Found(SILENT)
            time.sleep(wait)
    return Found(status) if status != OK else _kept(body, target)


def _body(url: str) -> tuple[str, bytes]:
    """Status and content of an answer."""
    request = urllib.request.Request(url, headers={"User-Agent": "vlmscope", "Accept-Encoding": "identity"})
    try:
        with urllib.request.urlopen(request, timeout=SILENCE) as answer:
            if NOTICE_NAME in answer.url:
                return GONE, b""
            return _read(answer)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in web.PASSING:
                raise _Silent(f"{error.code} {error.reason}") from error
            return GONE if error.code in (404, 410) else f"refused ({error.code})", b""
    except (OSError, http.client.HTTPException) as error:
        raise _Silent(f"{type(error).__name__}: {error}") from error


def _read(answer: http.client.HTTPResponse) -> tuple[str, bytes]:
    """The body, if it is neither endless nor cut."""
    blocks, got, begun = [], 0, time.monotonic()
    while block := answer.read1(web.BLOCK):
        blocks.append(block)
        got += len(block)
        if got > LARGEST:
            return LARGE, b""
        if time.monotonic() - begun > PATIENCE:
            raise _Silent(f"only {got} bytes in {PATIENCE} s")
    length = answer.headers.get("Content-Length")
    # A body that ends early raises nothing by itself.
    if length and length.isdigit() and got != int(length):
        raise _Silent(f"the connection ended after {got} of {length} bytes")
    return OK, b"".join(blocks)


def _kept(body: bytes, target: Path) -> Found:
    if (len(body), hashlib.md5(body, usedforsecurity=False).hexdigest()) in NOTICES:
        return Found(GONE)
    try:
        with Image.open(io.BytesIO(body)) as opened:
            # Opening reads the head alone; this reads all of it.
            width, height = opened.convert("RGB").size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.info("%s: %s", target.name, error)
        return Found(STRANGE)
    with publish(target) as part:
        part.write_bytes(body)
    return Found(OK, hashlib.sha256(body).hexdigest(), width, height)
