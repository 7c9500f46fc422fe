"""What the tests of downloads share: a server that breaks off, forgets and lies, and packed archives."""

import hashlib
import http.server
import io
import stat
import tarfile
import zipfile
from pathlib import Path

BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()
COMMIT = "c0ffee" + "0" * 34


class Server(http.server.ThreadingHTTPServer):
    """Hands out `files`; `faults` is a list of what goes wrong with the next answers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.asked = {}, [], []
        self.tag, self.knows_ranges = '"one"', True

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, span = self.server, self.headers.get("Range")
        server.asked.append((self.path, span))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, int):
            return self.send_error(fault)
        if self.path[1:] not in server.files:
            return self.send_error(404)
        body, start = server.files[self.path[1:]], 0
        if span and server.knows_ranges and self.headers.get("If-Range", server.tag) == server.tag:
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            first = 0 if fault == "wrong range" else start
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(204 if fault == "empty" else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)


def zipped(path, members):
    """Members: name -> bytes, or ("link", target)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if isinstance(content, tuple):
                info.external_attr, content = (stat.S_IFLNK | 0o777) << 16, content[1]
            archive.writestr(info, content)
    return path


def tarred(path, members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                kinds = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
                info.type, info.linkname = kinds[content[0]], content[1]
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def names(folder: Path) -> list[str]:
    """What lies in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
