"""Records of a long step, kept piece by piece until it ends: a step that was stopped goes on where it was."""

import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.store import tables
from vlmscope.store.tables import Schema

log = logging.getLogger(__name__)

# Seconds: what is made faster than that is made again rather than kept.
LEAST = 1.0


class Pieces:
    """What a step has made so far, a table per piece.

    A piece must depend on its name and on what the digest tells, and on nothing that was made before it.
    """

    def __init__(self, home: str | Path = "", digest: str = "", least: float = LEAST) -> None:
        """Pieces of one digest have a folder of their own; others are not looked at.

        home     folder that is there until the step ends; empty: nothing is kept
        digest   of all that decides the records: settings, inputs, code
        least    seconds of work that are worth keeping
        """
        self.home, self.folder, self.least = Path(home) if home else None, Path(home) / digest, least
        if self.home and (there := len(list(self.folder.glob("*.parquet")))):
            log.info("Going on behind %d pieces of an earlier run.", there)

    def kept(self, name: str, make: Callable[[], Iterable[dict[str, Any]]], columns: Schema) -> pl.DataFrame:
        """The records of a piece: read where an earlier run made them, else made."""
        path = self.folder / f"{name}.parquet"
        if self.home and path.is_file():
            return tables.read(path, columns)
        start = time.monotonic()
        found = pl.DataFrame(list(make()), schema=columns)
        if self.home and time.monotonic() - start >= self.least:
            tables.write(found, path, columns)
        return found

    def clear(self) -> None:
        """Nothing goes on from a step that has ended."""
        if self.home and self.home.is_dir():
            shutil.rmtree(self.home)
