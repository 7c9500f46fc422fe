"""Columns of the records and tables of this system."""

import polars as pl

# Which object of which picture.
OBJECT = {"sample": pl.String, "image_id": pl.Int64, "ann_id": pl.Int64, "class": pl.String}
# One token as an answer: what it was, and how likely the class. Null where a text was written.
#   text         the token decoded, or the text
#   first        first piece of the class; first_prob its probability
#   right        ids that begin the class, with a blank in front and without; right_prob theirs together
ANSWER = {
    "text": pl.String,
    "token": pl.Int32,
    "prob": pl.Float64,
    "first": pl.String,
    "first_prob": pl.Float64,
    "right": pl.List(pl.Int32),
    "right_prob": pl.Float64,
    "right_log_prob": pl.Float64,
}
# Attention that is blocked: which keys for which queries, and in which layers.
GROUP = {"source": pl.String, "target": pl.String}
WINDOW = {"window": pl.String, "layer_first": pl.Int32, "layer_last": pl.Int32}
# How far a condition is from its control, with an interval, picture by picture.
DIFFERENCE = {"difference": pl.Float64, "difference_low": pl.Float64, "difference_high": pl.Float64}
# One answer of one picture under one condition.
#   setting      generative, polling, vqa
#   condition    none, object, matched, register, register_tower, random, gradient, whole; noise, grey: other pictures
#   size         buffer of object and matched, k of random and gradient
#   tokens       how many were replaced; indices: which, numbered from 0 within the picture
RECORDS = OBJECT | {
    "setting": pl.String,
    "condition": pl.String,
    "size": pl.Int32,
    "tokens": pl.Int32,
    "indices": pl.List(pl.Int32),
    **ANSWER,
}
# One answer of one picture under one blocked group; source and target empty where nothing was blocked.
KNOCKOUTS = OBJECT | {
    **GROUP,
    "sort": pl.String,
    **WINDOW,
    "keys": pl.Int32,
    "queries": pl.Int32,
    **ANSWER,
}
# How many of an object's patches a layer names, one row per picture, layer, criterion and k.
#   rate         share of its patches; background: share of the patches beside it and its neighbours, null for none
LAYER_AND_WAY = {"layer": pl.Int32, "criterion": pl.String, "topk": pl.Int32}
HITS = OBJECT | {
    **LAYER_AND_WAY,
    "rate": pl.Float64,
    "background": pl.Float64,
}
# Means of these over pictures.
RATES = LAYER_AND_WAY | {
    "rate_mean": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "background_mean": pl.Float64,
}
# Maps of the class's share against the object, one row per picture and layer; layers max and mean: over all of them.
#   share        of the picture's patches that are the object's: what chance would reach in ap and pointing
SEGMENTATION = {
    "image": pl.String,
    "class": pl.String,
    "layer": pl.String,
    "iou": pl.Float64,
    "ap": pl.Float64,
    "pointing": pl.Boolean,
    "share": pl.Float64,
}
