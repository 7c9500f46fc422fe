"""How many words the concepts of a dictionary share (xl_vlms.md 6.4)."""

from collections.abc import Sequence

import numpy as np


def matrix(words: Sequence[Sequence[str]], *, as_sets: bool = False) -> np.ndarray:
    """Share of the words of concept k that are among those of concept l, float64 [k, l]; 0 where k has none.

    as_sets   a word counts once, as in the paper; else as often as it stands in the list, as released; tables have
              both [differs: xl_vlms.md 8 #20]
    """
    lists = [list(dict.fromkeys(one)) if as_sets else list(one) for one in words]
    known = [set(one) for one in lists]
    found = np.zeros((len(lists), len(lists)))
    for k, own in enumerate(lists):
        for other, theirs in enumerate(known):
            found[k, other] = sum(word in theirs for word in own) / len(own) if own else 0.0
    return found


def overlap(words: Sequence[Sequence[str]], *, as_sets: bool = False) -> float:
    """Mean of `matrix` over pairs of different concepts; NaN where there is but one."""
    found = matrix(words, as_sets=as_sets)
    apart = ~np.eye(len(found), dtype=bool)
    return float(found[apart].mean()) if apart.any() else float("nan")
