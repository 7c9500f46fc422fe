"""Columns of the tables that this system's steps hand to each other."""

import polars as pl

# Answers: one row per condition and question.
ANSWERS = {"condition": pl.String, "sample": pl.String, "group": pl.String, "prediction": pl.String, "tokens": pl.Int32}

# Scores: one row per condition, question and metric, 0..1.
SCORES = {"condition": pl.String, "group": pl.String, "metric": pl.String, "score": pl.Float64}

# Perturbation: one row per mask and sample; deviations in %, see perturb.py.
PERTURBED = {
    "mask": pl.String,
    "kind": pl.String,
    "sample": pl.String,
    "group": pl.String,
    "units": pl.Int64,
    "deviation": pl.Float64,
    "one_minus_cos": pl.Float64,
    "kl_next": pl.Float64,
    "prediction": pl.String,
}
