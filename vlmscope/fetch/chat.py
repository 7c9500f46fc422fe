"""A server that talks as OpenAI's does (`/chat/completions`): words and pictures in, words out."""

import base64
import http.client
import io
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.fetch.web import PASSING

log = logging.getLogger(__name__)

# Seconds to wait before the next try.
WAITS = (1, 5, 20, 60)
# Seconds without a byte after which a connection counts as lost; large models think long.
SILENCE = 600


class _Passing(Exception):
    """Trouble that another try may cure."""


class Server:
    """One model behind a server (vLLM, SGLang, llama.cpp, a paid one).

    url      up to, not with, /chat/completions: http://localhost:8000/v1
    model    as the server names it
    key      name of the environment variable with the password; empty for none
    """

    def __init__(self, url: str, model: str, key: str = "", waits: Sequence[float] = WAITS) -> None:
        if not url.startswith(("https://", "http://")):
            raise VlmscopeError(f"This is no web address: {url!r}", where="url of a server", instead="http://...")
        if key and not os.environ.get(key):
            raise VlmscopeError(f"The environment variable {key} is not set.", where=url, instead=f"export {key}=...")
        self.url, self.model, self.waits = url.rstrip("/") + "/chat/completions", model, tuple(waits)
        self.headers = {"Content-Type": "application/json", "User-Agent": "vlmscope"}
        if key:
            self.headers["Authorization"] = f"Bearer {os.environ[key]}"

    def say(self, system: str, parts: Sequence[str | Image.Image], most: int = 0) -> str:
        """The answer to one turn, without chance (temperature 0).

        parts   of the user's turn, in their order
        most    new tokens; 0 for as many as the server likes
        """
        turns = [{"role": "system", "content": system}] if system else []
        turns.append({"role": "user", "content": [content(part) for part in parts]})
        body: dict[str, Any] = {"model": self.model, "messages": turns, "temperature": 0}
        if most:
            body["max_tokens"] = most
        for wait in (*self.waits, None):
            try:
                return self._answer(json.dumps(body).encode())
            except _Passing as trouble:
                if wait is None:
                    raise VlmscopeError(
                        f"The server failed {len(self.waits) + 1} times in a row: {trouble}",
                        where=self.url,
                        instead="run again once it is up; answers that came are kept",
                    ) from trouble
                log.warning("%s: %s; again in %s s", self.url, trouble, wait)
                time.sleep(wait)
        raise AssertionError("the last wait is None")

    def _answer(self, body: bytes) -> str:
        request = urllib.request.Request(self.url, data=body, headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=SILENCE) as reply:
                return _text(reply.read(), self.url)
        except urllib.error.HTTPError as error:
            with error:
                told = error.read(500).decode(errors="replace")
            if error.code in PASSING:
                raise _Passing(f"it answers {error.code} {error.reason}") from error
            raise VlmscopeError(f"The server refuses: {error.code} {told}", where=self.url) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Passing(f"{type(error).__name__}: {error}") from error


def content(part: str | Image.Image) -> dict[str, Any]:
    """A part of a turn: a text, or a picture as PNG in a data URL."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    buffer = io.BytesIO()
    part.save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}, "modalities": "multi-images"}


def _text(reply: bytes, url: str) -> str:
    """The words of a reply."""
    try:
        found = json.loads(reply)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError) as error:
        raise VlmscopeError(f"The reply is not that of a chat: {reply[:200]!r}", where=url) from error
    if not isinstance(found, str):
        raise VlmscopeError(f"The reply has no text: {reply[:200]!r}", where=url)
    return found
