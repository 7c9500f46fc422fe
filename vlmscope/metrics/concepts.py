"""How good a dictionary of concepts is: error, sparsity, likeness of two dictionaries, agreement with classes."""

import numpy as np

# An activation counts as none below this share of the largest.
NOTHING = 1e-6


def error(values: np.ndarray, rebuilt: np.ndarray, middle: np.ndarray | float = 0.0) -> float:
    """Squared difference as a share of the vectors' own squares, about a middle."""
    apart, whole = (np.asarray(one, dtype=np.float64) for one in (values - rebuilt, values - middle))
    return float((apart**2).sum() / (whole**2).sum())


def errors(values: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """Squared difference of every sample as a share of the mean squares of all, float64 [M]."""
    apart, whole = (np.asarray(one, dtype=np.float64) for one in (values - rebuilt, values))
    return (apart**2).sum(axis=1) / (whole**2).sum(axis=1).mean()


def active(activations: np.ndarray) -> np.ndarray:
    """Which activations count, bool [M, K]."""
    sizes = np.abs(activations)
    return sizes > NOTHING * sizes.max(initial=0.0)


def dead(activations: np.ndarray, nearest: bool) -> int:
    """Concepts that no sample activates; with `nearest`, since every concept is active then, nearest to no sample."""
    count = activations.shape[1]
    used = np.unique(activations.argmax(axis=1)) if nearest else np.flatnonzero(active(activations).any(axis=0))
    return int(count - len(used))


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosines of rows, float64 [k, l]; 0 for a row of zeros."""
    one, other = (np.asarray(part, dtype=np.float64) for part in (one, other))
    lengths = [np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-30) for part in (one, other)]
    return (one / lengths[0]) @ (other / lengths[1]).T


def alike(concepts: np.ndarray) -> float:
    """Mean size of the cosine between different concepts: 0 where all stand at right angles."""
    found = np.abs(cosines(concepts, concepts))
    return float(found[~np.eye(len(found), dtype=bool)].mean())


def matched(likeness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One-to-one pairs with the greatest sum (Hungarian): places of rows and of columns."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(-likeness)


def matched_mean(likeness: np.ndarray) -> float:
    """Mean of the matched pairs."""
    return float(likeness[matched(likeness)].mean())


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson correlations of columns over the same rows, float64 [k, l]; 0 for a column that does not vary."""
    parts = [np.asarray(part, dtype=np.float64) - np.mean(part, axis=0, dtype=np.float64) for part in (one, other)]
    return cosines(parts[0].T, parts[1].T)


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear centred kernel alignment of two sets of vectors of the same samples: 1 for the same up to rotation."""
    one, other = (np.asarray(part, dtype=np.float64) - part.mean(axis=0, dtype=np.float64) for part in (one, other))
    # Over samples: there are fewer of them than units at paper scale.
    left, right = one @ one.T, other @ other.T
    return float(np.vdot(left, right) / np.sqrt(np.vdot(left, left) * np.vdot(right, right)))


def counts(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Samples of every label and class, float64 [label, class]."""
    found = np.zeros((labels.max(initial=-1) + 1, classes.max(initial=-1) + 1))
    np.add.at(found, (labels, classes), 1.0)
    return found


def purity(labels: np.ndarray, classes: np.ndarray) -> float:
    """Share of samples that are of the commonest class of their label."""
    return float(counts(labels, classes).max(axis=1).sum() / len(labels))


def nmi(labels: np.ndarray, classes: np.ndarray) -> float:
    """Mutual information as a share of the mean of both entropies; 0 where neither varies."""
    joint = counts(labels, classes) / len(labels)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    mean = (_entropy(rows) + _entropy(columns)) / 2
    return float((_entropy(rows) + _entropy(columns) - _entropy(joint.ravel())) / mean) if mean > 0 else 0.0


def _entropy(shares: np.ndarray) -> float:
    there = shares[shares > 0]
    return float(-(there * np.log(there)).sum())


def top_purity(images: np.ndarray, classes: np.ndarray) -> float:
    """Share of each concept's most activating samples that are of their commonest class, mean over concepts.

    images   int64 [K, n]   places of samples
    """
    shares = [np.bincount(classes[row]).max() / len(row) for row in images]
    return float(np.mean(shares))


def random_directions(kind: str, k: int, d: int, generator: np.random.Generator) -> np.ndarray:
    """Directions that know nothing, float32 [k, d]: Gaussian, or uniform between 0 and 1, as released.

    Uniform ones all lie in one orthant and share a direction [differs: xl_vlms.md 8 #21].
    """
    drawn = generator.normal(size=(k, d)) if kind == "gaussian" else generator.uniform(size=(k, d))
    return drawn.astype(np.float32)
