"""Files of Hugging Face repositories at a fixed commit: weights, tables and texts, nothing executable."""

import logging
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from vlmscope.errors import VlmscopeError
from vlmscope.fetch.web import measure

log = logging.getLogger(__name__)

HUB = "vlmscope.hub/1"
# Data and texts only: pickles and programs are never asked for.
HARMLESS = (".safetensors", ".json", ".txt", ".model", ".parquet")
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")


def hub(
    repo: str, revision: str, folder: str | Path, patterns: Sequence[str], kind: Literal["dataset", "model"] = "dataset"
) -> dict[str, Any]:
    """Fetch files of a Hugging Face repository. Returns the commit behind the revision and every file as measured.

    patterns   names to fetch; each must end like data or text, so that nothing executable comes along
    """
    if unfit := [pattern for pattern in patterns if not pattern.endswith(HARMLESS)]:
        raise VlmscopeError(
            f"Files like {', '.join(unfit)} are never fetched.", where=repo, instead=f"endings: {', '.join(HARMLESS)}"
        )
    # Half a second of imports that a plain download does not need.
    import httpx
    import huggingface_hub

    try:
        about = huggingface_hub.HfApi().repo_info(repo, repo_type=kind, revision=revision)
        names = sorted(
            one.rfilename for one in about.siblings if any(fnmatch(one.rfilename, pattern) for pattern in patterns)
        )
        log.info("%s at %s: %d files", repo, about.sha, len(names))
        huggingface_hub.snapshot_download(
            repo, repo_type=kind, revision=about.sha, local_dir=folder, allow_patterns=names
        )
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise VlmscopeError(
            f"Hugging Face does not hand this out: {str(error).split(chr(10))[0] or type(error).__name__}",
            where=f"{repo} at {revision}",
            instead="check id, revision and network; or fetch the folder elsewhere and set source: folder",
        ) from error
    return {"repo": repo, "commit": about.sha, "files": {name: measure(Path(folder) / name) for name in names}}


def fetch_model(folder: str | Path, checkpoint: str, revision: str) -> dict[str, Any]:
    """Fetch a checkpoint: weights as safetensors, configuration, tokenizer. Returns its manifest (`hub.json`)."""
    folder = Path(folder)
    found = hub(checkpoint, revision or "main", folder, MODEL_FILES, kind="model")
    weights = {name for name in found["files"] if name.endswith(".safetensors")}
    if not weights:
        raise VlmscopeError(
            "The checkpoint has no .safetensors file; pickled weights are never fetched.",
            where=f"{checkpoint} at {revision}",
            instead="a revision that has them, or convert it in a place you trust and set source: folder",
        )
    # Weights of another revision beside these would be read with them.
    if others := {path.name for path in folder.glob("*.safetensors")} - weights:
        raise VlmscopeError(
            f"The folder holds weights of another revision: {', '.join(sorted(others))}.",
            where=str(folder),
            instead="delete this folder and run again",
        )
    return {"format": HUB, "folder": str(folder), "checkpoint": checkpoint, "revision": revision, **found}
