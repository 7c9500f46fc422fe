import hashlib
import threading
import types
from pathlib import Path

import pytest
from doubles import BODY, COMMIT, Server

from vlmscope.fetch import web


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(web, "WAITS", (0, 0, 0))
    with Server() as server:
        server.files["data.zip"] = BODY
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def listed(name, content):
    """What the hub tells of a file; digests of weights alone, as in reality."""
    large = name.endswith((".safetensors", ".bin", ".parquet"))
    lfs = types.SimpleNamespace(sha256=hashlib.sha256(content).hexdigest()) if large else None
    return types.SimpleNamespace(rfilename=name, size=len(content), lfs=lfs)


@pytest.fixture
def fake_hub(monkeypatch):
    """A repository of the hub; what is asked for is written to the folder."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    repository, asked = {}, []

    class Api:
        def repo_info(self, repo, repo_type, revision, files_metadata):
            if not repository:
                raise huggingface_hub.errors.OfflineModeIsEnabled("no network")
            told = [listed(name, content) for name, content in repository.items()]
            return types.SimpleNamespace(sha=COMMIT, siblings=told if files_metadata else [])

    def snapshot_download(repo, repo_type, revision, local_dir, allow_patterns):
        asked.append((repo, repo_type, revision, tuple(allow_patterns)))
        for name in allow_patterns:
            target = Path(local_dir) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(repository[name])

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return types.SimpleNamespace(repository=repository, asked=asked, fetch=snapshot_download)
