"""CLIPScore: how well words fit a picture (xl_vlms.md 6.4)."""

from collections.abc import Sequence

import numpy as np

from vlmscope.metrics.concepts import cosines

# Concepts of a picture that are looked at, as released.
LOOKED_AT = 5


def phrase(words: Sequence[str], prefix: str) -> str:
    """Words as CLIP reads them: `prefix w1, w2.`; no word gives the prefix and a full stop."""
    return prefix + ", ".join(words) + "."


# The factor is that of CLIPScore (Hessel et al. 2021), which stretches usual cosines to about 0 to 1.
def clip_score(images: np.ndarray, texts: np.ndarray, weight: float = 2.5) -> np.ndarray:
    """weight * max(cosine, 0), float64 [image, text].

    images, texts   float [.., d]   features of the two towers
    """
    return weight * np.maximum(cosines(images, texts), 0.0)


def strongest(activations: np.ndarray, count: int = LOOKED_AT) -> np.ndarray:
    """The most active concepts of every sample, weakest of them first: int64 [M, count].

    Where there are fewer concepts all of them; the released code refuses [differs: xl_vlms.md 8 #22].
    """
    return np.argsort(activations, axis=1, kind="stable")[:, -count:]


def top_mean(scores: np.ndarray, top: int) -> np.ndarray:
    """Mean of the last `top` scores of every row, float64 [M].

    scores   float [M, count]   in the order of `strongest`
    """
    return scores[:, -top:].mean(axis=1)
