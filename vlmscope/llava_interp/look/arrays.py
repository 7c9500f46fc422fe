"""Numbers of the pages of the lens: base64 of little-endian whole numbers, as few bytes as they need.

Notation: L blocks, S positions, V visual tokens, Q positions that look, H heads that are kept.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from vlmscope.llava_interp.asking import tokens
from vlmscope.llava_interp.lens import scores as lens_scores

DIGITS = 4


def array(values: np.ndarray) -> dict[str, Any]:
    """Whole numbers from 0 up: `bytes` of each, `values` as base64."""
    size = 2 if values.max(initial=0) < 1 << 16 else 4
    return {"bytes": size, "values": _text(values.astype(f"<u{size}"))}


def scaled(values: np.ndarray, size: int = 1) -> dict[str, Any]:
    """Numbers from 0 up in steps of the largest, `most`: of one byte enough for a color, of two for a number."""
    most = float(values.max(initial=0))
    steps = np.round(values * ((256**size - 1) / most)) if most else np.zeros(values.shape)
    return {"bytes": size, "values": _text(steps.astype(f"<u{size}")), "most": most}


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def packed(group: Any, more: Any) -> dict[str, Any]:
    """One picture as its page has it, from the file of lenses and that of views.

    texts   one per id of `vocabulary`; prompt: one per position
    """
    layers, positions, k = group["tokens"].shape
    arrays = {name: array(group[name][()]) for name in ("tokens", "probs", "share", "rank")}
    words = _words(group) | _words(more)
    norms = group["norms"][()]
    return arrays | {
        "layers": layers,
        "positions": positions,
        "k": k,
        "grid": int(group.attrs["grid"]),
        "first": int(group.attrs["first"]),
        "vocabulary": array(np.array(sorted(words), np.int64)),
        "texts": [words[one] for one in sorted(words)],
        "prompt": [str(one) for one in group["prompt"].asstr()[()]],
        "patches": group["patches"][()].tolist(),
        "norms": [round(float(one), 2) for one in norms],
        "registers": tokens.outliers(norms),
        "entropy": scaled(_numbers(more["entropy"]), 2),
        "lengths": scaled(_numbers(more["lengths"])),
        "turned": scaled(1 - np.clip(_numbers(more["previous"]), -1, 1)),
        "looks": _looks(more),
        "lenses": {name: _lens(one) for name, one in more["lenses"].items()} if "lenses" in more else {},
    }


def _words(group: Any) -> dict[int, str]:
    """Token -> text."""
    texts = (str(one) for one in group["texts"].asstr()[()])
    return dict(zip(group["vocabulary"][()].tolist(), texts, strict=True))


def _numbers(dataset: Any) -> np.ndarray:
    return dataset[()].astype(np.float64)


def _looks(more: Any) -> dict[str, Any]:
    """Attention: every map in steps of its own largest value, and what it pays to the picture as a whole.

    queries   positions; heads: [H][L] of the last one
    mean      maps [Q, L, V]; single: [H, L, V]
    """
    told = {"queries": more["queries"][()].tolist(), "heads": more["heads"][()].tolist()}
    return told | {"mean": _maps(_numbers(more["attention"])), "single": _maps(_numbers(more["attention_heads"]))}


def _maps(values: np.ndarray) -> Mapping[str, Any]:
    most = values.max(-1)
    shares = values / np.where(most, most, 1)[..., None]
    return scaled(shares) | {"most": _rounded(most), "picture": _rounded(values.sum(-1))}


def _rounded(values: np.ndarray) -> Any:
    """Numbers of four digits, nested lists."""
    return [_rounded(one) for one in values] if values.ndim else float(f"{values:.{DIGITS}g}")


def _lens(group: Any) -> dict[str, Any]:
    """Tokens and values [L + 1, V, k]; a cosine below 0 is 0."""
    found = group["tokens"][()]
    return {
        "k": found.shape[-1],
        "tokens": array(found),
        "values": array(lens_scores.quantised(_numbers(group["values"]))),
    }
