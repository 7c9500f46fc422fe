"""Columns of the tables that this system's steps hand to each other."""

import polars as pl

# Tokens of neurons: from both ends of the vocabulary, outermost first.
NEURON_TOKENS = {
    "layer": pl.Int32,
    "unit": pl.Int32,
    "end": pl.String,
    "rank": pl.Int32,
    "token_id": pl.Int32,
    "token": pl.String,
    "logit": pl.Float32,
}
