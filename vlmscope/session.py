"""One job's surroundings: its log file, its settings, its threads and seeds."""

import contextlib
import json
import logging
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from vlmscope.errors import VlmscopeError

T = TypeVar("T")
log = logging.getLogger("vlmscope")


@contextlib.contextmanager
def logged(path: str) -> Iterator[None]:
    """Send messages and warnings to the rule's log; a user's error ends the job with its own words, not a traceback."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # Warnings of libraries belong to the job that caused them.
    logging.captureWarnings(True)
    try:
        yield
    except VlmscopeError as error:
        log.error("%s", error)
        print(f"{error}\n  log: {path}", file=sys.stderr)
        # The engine prints the log and names it; a traceback would only bury the words.
        raise SystemExit(1) from None
    except BaseException:
        log.exception("The job failed.")
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def settings(text: str) -> dict[str, Any]:
    """The settings that a rule handed over as canonical JSON."""
    return json.loads(text)


def progress(items: Iterable[T], total: int, what: str, every: float = 10.0) -> Iterator[T]:
    """Hand items through and write to the log how far the work is, at most every `every` seconds and at the end."""
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= every or done == total:
            last = now
            rest = (now - start) / done * (total - done)
            log.info("%s: %d of %d, %.0f s, about %.0f s left", what, done, total, now - start, rest)


def prepare_torch(threads: int, seed: int = 0) -> None:
    """Fix thread count and seeds before a model runs; results then do not depend on the machine's core count."""
    import numpy
    import torch

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.set_num_threads(threads)
    # float32 means float32: by default a GPU rounds the inputs of convolutions, here of the first vision layer.
    torch.backends.cudnn.allow_tf32 = False
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def device(gpus: int, wanted: str = "auto") -> str:
    """Where a job's model goes: `cpu`, `cuda`, or `auto`, which spreads it over all GPUs that the job was given.

    gpus     what the job asked for, the resource `gpu`
    wanted   models.*.device: cpu; cuda, which insists on a GPU; auto, the CPU where there is none
    """
    import torch

    there = bool(gpus) and torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise VlmscopeError(
            "The model is to run on a GPU, and torch finds none." if gpus else "The job was given no GPU.",
            where="models.*.device",
            instead="device: auto takes the CPU where there is no GPU; python -c 'import torch; torch.cuda.init()' "
            "tells what is amiss",
        )
    if wanted == "cpu" or not there:
        return "cpu"
    return "auto" if gpus > 1 else "cuda"
