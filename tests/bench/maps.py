"""Enlargement of maps by two small matrices against the element-wise form: same grids, one process.

    python tests/bench/maps.py [--side 16] [--size 224] [--repeats 5]

The baseline goes over the pixels one by one and works in half precision, as the released code does; eleven maps per
noun, as released. Times are CPU seconds in one thread, the smallest of the repeats; a column gives the largest
difference between the two, which is the rounding of half precision.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from vlmscope.mm_neurons.image import maps

MAPS = 11


def pixel_by_pixel(grid: np.ndarray, size: int) -> np.ndarray:
    """One map, in the grid's own precision."""
    side = len(grid)
    found = np.zeros((size, size), grid.dtype)
    for row in range(size):
        for column in range(size):
            x, y = (min(int(place * side / size), side - 2) for place in (column, row))
            u, v = (grid.dtype.type(place * side / size - cell) for place, cell in ((column, x), (row, y)))
            found[row, column] = (
                (1 - u) * (1 - v) * grid[y, x]
                + u * (1 - v) * grid[y, x + 1]
                + (1 - u) * v * grid[y + 1, x]
                + u * v * grid[y + 1, x + 1]
            )
    return found


def seconds(work: object) -> tuple[float, np.ndarray]:
    """CPU time of one call, and what it gave."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def main() -> None:
    """Print one line per precision of the baseline."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    told = parser.parse_args()
    grids = np.random.default_rng(0).normal(size=(MAPS, told.side, told.side)).astype(np.float16)
    ours = [seconds(lambda: maps.enlarge(grids, (told.size, told.size))) for _ in range(told.repeats)]
    for kind in (np.float16, np.float64):
        typed = grids.astype(kind)
        one = [seconds(lambda typed=typed: pixel_by_pixel(typed[0], told.size)) for _ in range(told.repeats)]
        slow, fast = MAPS * min(time for time, _ in one), min(time for time, _ in ours)
        difference = np.abs(one[0][1] - ours[0][1][0]).max()
        print(
            f"{kind.__name__}: pixel by pixel {slow:.3f} s, two matrices {1000 * fast:.2f} ms per noun of {MAPS} maps, "
            f"ratio {slow / fast:.0f}, largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
