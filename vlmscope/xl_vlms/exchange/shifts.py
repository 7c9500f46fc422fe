"""Comparisons of two models as files of the released code, `analyse_clusters_NAME.pth`, in and out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import files, torch_files
from vlmscope.xl_vlms.shift import files as shift_files

# Part of such a file -> its names -> ours.
NAMES = {
    "recovery_metrics": {
        "word_intersection_original": "orig_count",
        "word_intersection_shifted": "shifted_count",
        "mas_intersection_original": "orig_images",
        "mas_intersection_shifted": "shifted_images",
        "improved_distance": "improved_distance",
        "improved_cosine": "improved_cosine",
        "normalized_improved_distance": "normalised_improved_distance",
        "normalized_improved_cosine": "normalised_improved_cosine",
    },
    "shift_stats": {
        "cosine_sim_scores": "consistency",
        "dot_prod_scores": "consistency_dot",
        "average_cosine_sim_w_mean_scores": "consistency_mean",
        "average_dot_product_w_mean_scores": "consistency_mean_dot",
        "mag_mean_shift_score": "magnitude",
    },
}
# Counts are whole numbers, in lists; the other measures are tensors.
COUNTS = ("orig_count", "shifted_count", "orig_images", "shifted_images")
WORDS = {"shift_text_grounding": "vector", "shifted_components_text_grounding": "shifted"}


def write(comparison: str, arrays: str, target: str) -> None:
    """Write a comparison as the released code does.

    comparison, arrays   its JSON and its HDF5
    """
    told, held = shift_files.read(comparison)["rows"]["concepts"], shift_files.read_vectors(arrays)
    found: dict[str, Any] = {
        part: {theirs: _values([row[ours] for row in told], ours) for theirs, ours in names.items()}
        for part, names in NAMES.items()
    }
    deltas = held["sample_deltas"].astype(np.float32)
    found["per_sample_shift"] = [deltas[held["labels"] == k] for k in range(len(told))]
    found["shifted_components"] = held["shifted"]
    found |= {theirs: [row["words"][ours] for row in told] for theirs, ours in WORDS.items()}
    torch_files.write(found, target)


def _values(values: list[Any], name: str) -> Any:
    if name in COUNTS:
        return values
    return np.array([np.nan if one is None else one for one in values], dtype=np.float32)


def read(path: str | Path) -> dict[str, Any]:
    """What a file of the released code tells, under our names; what was not computed is left out.

    measures        name -> values of every concept
    words           side -> words of every concept
    shifted         float32 [K, D]
    sample_deltas   K arrays, float32 [samples of the concept, D]
    """
    held = torch_files.read(path)
    if not isinstance(held, Mapping) or not held.keys() & {*NAMES, "shifted_components"}:
        raise VlmscopeError(
            "This is no comparison of two models by the released code.",
            where=str(path),
            instead="analysis/analyse_clusters_NAME.pth, as its analyse_features.py writes it",
        )
    measures = {
        ours: _numbers(held[part][theirs], path)
        for part, names in NAMES.items()
        for theirs, ours in names.items()
        if theirs in held.get(part, {})
    }
    found: dict[str, Any] = {"measures": measures, "words": {}}
    for theirs, ours in WORDS.items():
        if theirs in held:
            found["words"][ours] = [list(map(str, one)) for one in held[theirs]]
    if "shifted_components" in held:
        found["shifted"] = np.asarray(held["shifted_components"], dtype=np.float32)
    if "per_sample_shift" in held:
        found["sample_deltas"] = [np.asarray(one, dtype=np.float32) for one in held["per_sample_shift"]]
    _check(found, path)
    return found


def _numbers(value: Any, path: str | Path) -> np.ndarray:
    try:
        return np.array([float(one) for one in value], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise VlmscopeError(f"A measure is no list of numbers: {error}", where=str(path)) from error


def _check(found: Mapping[str, Any], path: str | Path) -> None:
    counts = {name: len(values) for name, values in found["measures"].items()}
    counts |= {f"words of {side}": len(lists) for side, lists in found["words"].items()}
    counts |= {name: len(found[name]) for name in ("shifted", "sample_deltas") if name in found}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise VlmscopeError(f"The parts of the file do not have one concept each: {told}.", where=str(path))


def import_file(path: str, settings: Mapping[str, Any], about: Mapping[str, Any], target: str) -> None:
    """Write a comparison by the released code as one of ours; what it does not tell stays empty.

    settings, about   see `shift.files.from_files`
    """
    found = read(path)
    measures, deltas = found["measures"], found.get("sample_deltas")
    count = max([*map(len, measures.values()), len(found.get("shifted", []))])
    concepts = [
        {
            **dict.fromkeys(("matched", "denom", "orig_pct", "shifted_pct", "orig_cosine", "shifted_cosine")),
            **{name: None for names in NAMES.values() for name in names.values()},
            **{name: int(values[k]) if name in COUNTS else float(values[k]) for name, values in measures.items()},
            "concept": k,
            "n": len(deltas[k]) if deltas else None,
            "words": {side: lists[k] for side, lists in found["words"].items()},
            "images": {},
        }
        for k in range(count)
    ]
    rows = {"concepts": concepts, **{name: [] for name in shift_files.SWEEPS}}
    told = {key: settings[key] for key in ("module", "method", "seed", "alpha")} | {"k": count}
    told["samples"] = sum(map(len, deltas)) if deltas else None
    files.write_json(shift_files.plain({"format": shift_files.FORMAT, **about, **told, "rows": rows}), target)
