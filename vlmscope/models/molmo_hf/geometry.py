"""How Molmo cuts a picture into a global view and tiles, and where their pieces stand in the prompt (xl_vlms.md 4.4).

Numbers for the published model in brackets. Crops: the global view first, then the tiles row by row.
"""

from dataclasses import dataclass

import numpy as np

# Rows of the second embedding table.
START, END, PATCH, COLUMN = range(4)
# Marks a pooled cell that stands nowhere in the prompt.
NOWHERE = -100


@dataclass(frozen=True)
class Geometry:
    """Sizes of crops and tiles.

    size        pixels along a crop [336]
    patch       pixels along a patch [14]
    margins     patches before and after the part of a tile that is its own [4, 4]
    max_crops   tiles of a picture at most [12]
    """

    size: int
    patch: int
    margins: tuple[int, ...]
    max_crops: int

    @property
    def grid(self) -> int:
        """Patches along a crop [24]."""
        return self.size // self.patch

    @property
    def window(self) -> int:
        """Patches from one tile to the next [16]."""
        return self.grid - sum(self.margins)

    @property
    def pooled(self) -> int:
        """Cells along a crop after pooling two by two [12]."""
        return (self.grid + 1) // 2

    def tiling(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of tiles that suit a picture.

        The smallest grid that needs no downscaling; if there is none, the one that downscales least. Ties go to the
        smaller area, then to fewer rows. A picture no larger than the margins is measured by a size of zero or less,
        as in the released code.
        """
        margin = self.patch * sum(self.margins)
        numbers = range(1, self.max_crops + 1)
        grids = [(rows, columns) for rows in numbers for columns in numbers if rows * columns <= self.max_crops]
        grids.sort(key=lambda grid: (grid[0] * grid[1], grid[0]))
        room = np.array(grids, dtype=np.float32) * (self.window * self.patch)
        with np.errstate(divide="ignore"):
            scales = (room / np.array([height - margin, width - margin], dtype=np.float32)).min(axis=1)
        if (scales < 1).all():
            return grids[int(scales.argmax())]
        return grids[int(np.where(scales < 1, np.inf, scales).argmin())]

    def canvas(self, rows: int, columns: int) -> tuple[int, int]:
        """Height and width in pixels of the picture that the tiles are cut from."""
        margin = self.patch * sum(self.margins)
        return rows * self.window * self.patch + margin, columns * self.window * self.patch + margin

    def cells(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of pooled cells of all tiles together."""
        margin = sum(self.margins)
        return (rows * self.window + margin + 1) // 2, (columns * self.window + margin + 1) // 2

    def tokens(self, rows: int, columns: int) -> np.ndarray:
        """Image tokens as rows of the second table, int64 [token]: the global view line by line, then the tiles."""
        parts = []
        for high, wide in ((self.pooled, self.pooled), self.cells(rows, columns)):
            parts += [START, *([PATCH] * wide + [COLUMN]) * high, END]
        return np.array(parts, dtype=np.int64)

    def places(self, rows: int, columns: int) -> np.ndarray:
        """Which image token each pooled cell stands for, int64 [crop, cell]; NOWHERE for cells that are not shown."""
        patches = np.flatnonzero(self.tokens(rows, columns) == PATCH)
        whole, rest = patches[: self.pooled**2], patches[self.pooled**2 :].reshape(self.cells(rows, columns))
        crops = [whole]
        for row in range(rows):
            for column in range(columns):
                crops.append(self._tile(rest, row, column, (rows, columns)).reshape(-1))
        return np.stack(crops)

    def _tile(self, rest: np.ndarray, row: int, column: int, grid: tuple[int, int]) -> np.ndarray:
        """Tokens of one tile, int64 [cell row, cell column]; inner edges belong to the neighbour."""
        before, after = (margin // 2 for margin in self.margins)
        found = np.full((self.pooled, self.pooled), NOWHERE, dtype=np.int64)
        spans = []
        for place, count in zip((row, column), grid, strict=True):
            start = before if place else 0
            stop = self.pooled - (after if place < count - 1 else 0)
            spans.append((slice(start, stop), slice(place * self.window // 2 + start, place * self.window // 2 + stop)))
        (rows_here, rows_there), (columns_here, columns_there) = spans
        found[rows_here, columns_here] = rest[rows_there, columns_there]
        return found

    def crops(self, width: int, height: int) -> int:
        """Crops of a picture, the global view included."""
        rows, columns = self.tiling(width, height)
        return 1 + rows * columns
