"""Columns of the tables of steering; units and meaning in docs/formats.md."""

import polars as pl

# Every answer under every condition, see `steer_conditions.Condition`; steered: False where a gate was shut.
STEERED = {
    "condition": pl.Int64,
    "kind": pl.String,
    "vector": pl.String,
    "block": pl.Int64,
    "alpha": pl.Float64,
    "positions": pl.String,
    "start": pl.Int64,
    "draw": pl.Int64,
    "n": pl.Int64,
    "sample": pl.String,
    "prediction": pl.String,
    "tokens": pl.Int64,
    "steered": pl.Boolean,
}
