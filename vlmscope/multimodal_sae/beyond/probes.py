"""Directions of words from states of patches: differences of means, and linear probes.

Notation: n patches, d units. A patch shows a word or not; directions come from one half of the pictures.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Probe:
    """A linear probe: a patch has the word where x . direction + bias > 0.

    direction   float32 [d]
    """

    direction: np.ndarray
    bias: float

    def values(self, x: np.ndarray) -> np.ndarray:
        """Its value for states [n, d], float32 [n]."""
        return x @ self.direction + np.float32(self.bias)


def differences(x: np.ndarray, told: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Mean state of the patches with each word less that of the patches that it is held against, float32 [word, d].

    x            float32 [n, d]
    told, rest   bool [n, word]   with the word; held against
    """
    means = []
    for one in (told, rest):
        count = np.maximum(one.sum(0), 1)[:, None]
        means.append(one.T.astype(np.float32) @ x / count.astype(np.float32))
    return means[0] - means[1]


def fit(x: np.ndarray, there: np.ndarray, seed: int = 0) -> Probe:
    """A logistic regression in which patches with and without the word weigh alike."""
    from sklearn.linear_model import LogisticRegression

    middle, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
    # Units of very different size would be punished differently.
    model = LogisticRegression(class_weight="balanced", max_iter=1000, random_state=seed)
    model.fit((x - middle) / spread, there)
    direction = (model.coef_[0] / spread).astype(np.float32)
    return Probe(direction, float(model.intercept_[0] - middle @ direction))


def f1(predicted: np.ndarray, there: np.ndarray) -> float:
    """Harmonic mean of precision and recall; 0 where nothing is right."""
    both = np.count_nonzero(predicted & there)
    return 2 * both / max(1, np.count_nonzero(predicted) + np.count_nonzero(there))


def area(values: np.ndarray, there: np.ndarray) -> float:
    """Area under the ROC curve; NaN where all patches or none have the word."""
    from vlmscope.multimodal_sae.steer.features import auc

    return float(auc(values[:, None], there)[0]) if there.any() and not there.all() else float("nan")
