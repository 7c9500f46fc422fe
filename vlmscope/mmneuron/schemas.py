"""Columns of the tables that this system's steps hand to each other."""

from collections.abc import Sequence
from typing import Any

import polars as pl


def neurons(domains: Sequence[str]) -> dict[str, Any]:
    """Neuron table: one row per neuron and domain, firing probabilities of all domains beside it (mmneuron.md 7.3)."""
    head = {"module": pl.String, "layer": pl.Int32, "index": pl.Int32, "domain": pl.String}
    return head | {f"p_{domain}": pl.Float64 for domain in domains} | {"entropy": pl.Float64}


# Answers: one row per condition and question.
ANSWERS = {"condition": pl.String, "sample": pl.String, "group": pl.String, "prediction": pl.String, "tokens": pl.Int32}

# Scores: one row per condition, question and metric, 0..1.
SCORES = {"condition": pl.String, "group": pl.String, "metric": pl.String, "score": pl.Float64}

# The same with the domain in front.
DOMAIN_SCORES = {"domain": pl.String, **SCORES}

# Perturbation: one row per domain, mask and sample; deviations in %, see perturb.py.
PERTURBED = {
    "domain": pl.String,
    "mask": pl.String,
    "kind": pl.String,
    "condition": pl.String,
    "variant": pl.String,
    "sample": pl.String,
    "group": pl.String,
    "units": pl.Int64,
    "deviation": pl.Float64,
    "one_minus_cos": pl.Float64,
    "kl_next": pl.Float64,
    "prediction": pl.String,
}

# Lens: one row per sample, channel, layer, position and rank; probability and entropy (nats) of the position.
CELLS = {
    "sample": pl.String,
    "channel": pl.String,
    "layer": pl.Int32,
    "position": pl.Int32,
    "token_type": pl.String,
    "rank": pl.Int32,
    "id": pl.Int32,
    "token": pl.String,
    "prob": pl.Float32,
    "entropy": pl.Float32,
}

# Lens as published: block output; the sample stands last.
LENS = {
    "layer": pl.Int32,
    "position": pl.Int32,
    "token_type": pl.String,
    "rank": pl.Int32,
    "token": pl.String,
    "prob": pl.Float64,
    "entropy": pl.Float64,
    "sample": pl.String,
}

# Lens in sums: n positions, their entropies and squares of them added up, positions whose first token is a whole word.
CURVES = {
    "sample": pl.String,
    "channel": pl.String,
    "layer": pl.Int32,
    "token_type": pl.String,
    "n": pl.Int64,
    "entropy": pl.Float64,
    "squares": pl.Float64,
    "words": pl.Int64,
}

# One vector per picture, read from the vision tower.
EMBEDDINGS = {"domain": pl.String, "sample": pl.String, "vector": pl.List(pl.Float32)}

# A neuron by its place.
NEURON = {"module": pl.String, "layer": pl.Int32, "index": pl.Int32}

# Pictures that a neuron fires at most strongly, best first; see examples.Peak.
EXAMPLES = {
    **NEURON,
    "rank": pl.Int32,
    "sample": pl.String,
    "highest": pl.Float64,
    "overall": pl.Float64,
    "share": pl.Float64,
    "place": pl.String,
    "values": pl.List(pl.Float32),
    "shapes": pl.String,
}

# What zeroing one neuron alone does: deviation in %, divergence in nats, means over n samples (see perturb.py).
ZEROED = {**NEURON, "n": pl.UInt32, "deviation": pl.Float64, "kl_next": pl.Float64}
