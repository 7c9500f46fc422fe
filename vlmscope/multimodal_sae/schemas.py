"""Tables that steps with a model write and pages read; here, so that pages start without a model's libraries."""

import polars as pl

# Names of latents, and the pictures behind them.
LABELS = {
    "coder": pl.String,
    "explainer": pl.String,
    "latent": pl.Int64,
    "pictures": pl.List(pl.String),
    "explanation": pl.String,
    "refined": pl.String,
    "concept": pl.String,
}
# Scores that a judge gives.
FOUND = ("detection", "fuzzing", "simulation")
# Names with their scores: a row per autoencoder, explainer and latent.
MEASURES = (
    *("iou", "iou_undilated", "iou_reference", "iou_random", "iou_shuffled", "ceiling", "activated_pct"),
    *("clip", "clip_random", "clip_shuffled"),
    *(name + ending for name in FOUND for ending in ("", "_shuffled")),
)
# What there is only where positions are patches of the picture.
REGIONAL = tuple(name for name in MEASURES if name.startswith("iou") or name in ("ceiling", "activated_pct"))
SCORED = {
    **{name: kind for name, kind in LABELS.items() if name != "pictures"},
    "density": pl.Float64,
    **dict.fromkeys(MEASURES, pl.Float64),
    "consistency": pl.Int64,
}
# One measure of many names. value: mean over latents, with an interval of 95 %; random_ci99: half-width over runs with
# random pictures; ceiling: what a perfect segmentation would reach, given that masks are interpolated.
MEASURED = {
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "random_mean": pl.Float64,
    "random_ci99": pl.Float64,
    "shuffled": pl.Float64,
    "ceiling": pl.Float64,
    "n_features": pl.Int64,
    "n_refused": pl.Int64,
}
# Answers without and with a latent held.
STEERING = {
    "word": pl.String,
    "kind": pl.String,
    "feature": pl.Int64,
    "prompt": pl.String,
    "image": pl.String,
    "value": pl.Float64,
    "mode": pl.String,
    "positions": pl.String,
    "original": pl.String,
    "steered": pl.String,
    "category": pl.String,
    "in_picture": pl.Boolean,
}
# Tokens of cached texts.
TOKENS = {"text": pl.String, "position": pl.Int64, "token_id": pl.Int64, "token": pl.String}
# Decoder rows: `kind` promoted and suppressed, `other` a token; nearest, `other` a latent.
DIRECTIONS = {
    "latent": pl.Int64,
    "kind": pl.String,
    "rank": pl.Int64,
    "other": pl.Int64,
    "token": pl.String,
    "value": pl.Float64,
}
# Names by texts with their ratings: a row per autoencoder, explainer and latent.
TEXT_SCORED = {
    "coder": pl.String,
    "explainer": pl.String,
    "latent": pl.Int64,
    "explanation": pl.String,
    "refined": pl.String,
    "density": pl.Float64,
    "rubric": pl.Float64,
    "rubric_shuffled": pl.Float64,
    "rated": pl.Int64,
    "unclear": pl.Int64,
    "promoted": pl.String,
}
