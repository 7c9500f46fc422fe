"""How well a region agrees with another (multimodal_sae.md 2.10)."""

from collections.abc import Sequence

import numpy as np

# What the released code writes for a picture in which nothing was found.
BAD = -1.0


def iou(left: np.ndarray, right: np.ndarray) -> float:
    """|A and B| / |A or B| of regions bool [..]; NaN where both are empty."""
    union = np.count_nonzero(left | right)
    return np.count_nonzero(left & right) / union if union else float("nan")


def scored(regions: Sequence[np.ndarray], targets: Sequence[np.ndarray | None]) -> list[float]:
    """IoU per picture; -1 where the segmenter found nothing."""
    return [BAD if target is None else iou(region, target) for region, target in zip(regions, targets, strict=True)]


def average(scores: Sequence[float]) -> float:
    """Mean over pictures, bad ones as 0, as released; pictures without any region are left out [differs: 2.10]."""
    known = [max(score, 0.0) for score in scores if not np.isnan(score)]
    return float(np.mean(known)) if known else float("nan")


def ceiling(dilated: Sequence[np.ndarray], exact: Sequence[np.ndarray]) -> float:
    """What a perfect segmentation of the active patches reaches: masks are interpolated, which makes them larger."""
    return average([iou(one, other) for one, other in zip(dilated, exact, strict=True)])


def share(regions: Sequence[np.ndarray]) -> float:
    """Mean share of a picture that is active."""
    return float(np.mean([region.mean() for region in regions])) if len(regions) else float("nan")
