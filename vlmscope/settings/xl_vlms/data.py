"""Benchmarks and recording runs of system 3 in the embedded default."""

from typing import Any

_STATES = [
    {"site": "resid_post", "where": "emitting", "keep": "values"},
    {"site": "final_norm", "where": "emitting", "keep": "values"},
]
_WRITTEN = {"prompt": "chat", "run": "generate", "take": _STATES}

DATASETS: dict[str, Any] = {
    "coco": {
        "kind": "karpathy",
        "options": {"query": "describe the image."},
        "splits": {"train": "train", "val": "test"},
        "scenes": {"train": 800, "val": 240},
        "limit": {"train": 800, "val": 240},
    },
    "vqa": {
        "kind": "vqav2_questions",
        # What the embedded models were taught to expect before a question.
        "options": {"ask": "Question: "},
        "scenes": {"train": 240, "val": 80},
        "limit": {"train": 1600, "val": 480},
    },
    "vg": {
        "kind": "visual_genome",
        "options": {"query": "describe the image."},
        "scenes": {"train": 400, "val": 80},
        "limit": {"train": 2000, "val": 400},
    },
    "pope": {
        "kind": "pope",
        "splits": {"train": "train", "val": "test"},
        "scenes": {"train": 100, "val": 80},
        "limit": {"train": 800, "val": 640},
    },
}
CAPTURES: dict[str, Any] = {
    "concept_states": {**_WRITTEN, "data": ["coco"], "max_new_tokens": 24},
    "concept_states_val": {**_WRITTEN, "data": ["coco"], "split": "val", "max_new_tokens": 24},
    "answer_states": {**_WRITTEN, "data": ["vqa"], "max_new_tokens": 8},
}
