"""Tables about dictionaries. Errors are shares; intervals are of 95 %; n and n_test count vectors, train and held out.

published and source: numbers of the paper's own model, empty where there are none.
"""

import polars as pl

# Words of random directions, and captions by people, where a method stands.
RANDOM, CAPTION = "random", "caption"

_WHICH = {"model": pl.String, "token": pl.String, "module": pl.String, "method": pl.String, "k": pl.Int64}
_RUN = {**_WHICH, "seed": pl.Int64, "n": pl.Int64, "n_test": pl.Int64}
_PUBLISHED = {"published": pl.Float64, "source": pl.String}
_INTERVAL = {"low": pl.Float64, "high": pl.Float64}

# error: |Z - V U|^2 / |Z|^2; error_centred: the same about the mean of the samples of the fit. sparsity: share of
# activations that are 0. active: activations that are not, per sample. dead: concepts without a sample. cosine: mean
# size of the cosine between concepts. own_word: share of concepts whose words have the token itself.
DICTIONARIES = {
    **_RUN,
    **{f"error{kind}{side}": pl.Float64 for kind in ("", "_centred") for side in ("", "_test")},
    "error_test_low": pl.Float64,
    "error_test_high": pl.Float64,
    "sparsity": pl.Float64,
    "active": pl.Float64,
    "dead": pl.Int64,
    "overlap_list": pl.Float64,
    "overlap_set": pl.Float64,
    "cosine": pl.Float64,
    "own_word": pl.Float64,
    "words": pl.Float64,
    "steps": pl.Int64,
}
# error_random: least squares on as many random samples, held out.
RECON = {
    **_RUN,
    "error": pl.Float64,
    "error_test": pl.Float64,
    **_INTERVAL,
    "error_random": pl.Float64,
    **_PUBLISHED,
}
# k: the smallest whose error_test is within one standard error of the least, which k_least has.
CHOSEN = {
    "model": pl.String,
    "token": pl.String,
    "module": pl.String,
    "method": pl.String,
    "seed": pl.Int64,
    "n_test": pl.Int64,
    "k": pl.Int64,
    "error_test": pl.Float64,
    "k_least": pl.Int64,
    "error_least": pl.Float64,
    "standard_error": pl.Float64,
}
# kind: seeds or subsamples; cosine: mean of matched concepts, with `runs` other dictionaries; random_*: the same with
# random samples and random directions in place of the other dictionary.
STABILITY = {
    **_WHICH,
    "seed": pl.Int64,
    "n": pl.Int64,
    "kind": pl.String,
    "runs": pl.Int64,
    "cosine": pl.Float64,
    **_INTERVAL,
    "random_samples": pl.Float64,
    "random_directions": pl.Float64,
}
# low, high: over concepts.
OVERLAP = {
    **_WHICH,
    "seed": pl.Int64,
    "n": pl.Int64,
    "overlap_list": pl.Float64,
    **_INTERVAL,
    "overlap_set": pl.Float64,
    "random_list": pl.Float64,
    "random_set": pl.Float64,
    **_PUBLISHED,
}
# One score of one picture. method: that of a dictionary, or random (words of random directions), or caption (the first
# reference). split: test for held-out pictures by their most active concepts, concept for the pictures of a concept.
# item: sample, or number of the concept. metric: CS (CLIPScore) or BS (BERTScore F1, `by` names what computed it).
SCORED = {
    "model": pl.String,
    "token": pl.String,
    "module": pl.String,
    "method": pl.String,
    "k": pl.Int64,
    "seed": pl.Int64,
    "split": pl.String,
    "item": pl.String,
    "metric": pl.String,
    "top_k": pl.Int64,
    "value": pl.Float64,
    "by": pl.String,
}
# std: of held-out pictures. noise_images stands in the published table alone: no states of noise pictures are recorded.
TABLE1 = {
    "model": pl.String,
    "token": pl.String,
    "metric": pl.String,
    "top_k": pl.Int64,
    "method": pl.String,
    "k": pl.Int64,
    "seed": pl.Int64,
    "mean": pl.Float64,
    "std": pl.Float64,
    **_INTERVAL,
    "over_random": pl.Float64,
    "over_random_low": pl.Float64,
    "over_random_high": pl.Float64,
    "n_test": pl.Int64,
    "by": pl.String,
    "published_mean": pl.Float64,
    "published_std": pl.Float64,
    "source": pl.String,
}
# Mean over a concept's pictures of the score of its words, and of those of random directions.
FIG3 = {
    "model": pl.String,
    "token": pl.String,
    "concept": pl.Int64,
    "metric": pl.String,
    "method": pl.String,
    "k": pl.Int64,
    "seed": pl.Int64,
    "n": pl.Int64,
    "grounded": pl.Float64,
    "random": pl.Float64,
    "words": pl.String,
    "by": pl.String,
}
# Means over concepts; the intervals too. own_word as in `DICTIONARIES`.
LAYERS = {
    "model": pl.String,
    "token": pl.String,
    "module": pl.String,
    "layer": pl.Int64,
    "method": pl.String,
    "k": pl.Int64,
    "seed": pl.Int64,
    "n": pl.Int64,
    "clipscore": pl.Float64,
    **_INTERVAL,
    "random": pl.Float64,
    "own_word": pl.Float64,
    **_PUBLISHED,
}
# Agreement of each sample's most active concept with what its picture shows. kind: colour, place, position of the
# token's first thing, or number of things. top_purity: of each concept's most activating samples. *_random_samples,
# *_random_directions: a dictionary of them instead; *_shuffled: classes in another order; means over the draws.
CLASSES = {
    **_WHICH,
    "seed": pl.Int64,
    "kind": pl.String,
    "n": pl.Int64,
    "classes": pl.Int64,
    **{
        f"{name}{end}": pl.Float64
        for name in ("nmi", "purity", "top_purity")
        for end in ("", "_low", "_high", "_shuffled", "_random_samples", "_random_directions")
    },
}
# Probability of the token that the state predicts, mean over held-out samples. edit: delete takes the part of the state
# within the span of concepts away, keep leaves nothing else. concepts: how many; which: the most active ones, random
# ones of the same dictionary, random samples, or random directions.
FAITHFUL = {
    **_WHICH,
    "seed": pl.Int64,
    "edit": pl.String,
    "which": pl.String,
    "concepts": pl.Int64,
    "n": pl.Int64,
    "probability": pl.Float64,
    **_INTERVAL,
    "unedited": pl.Float64,
    "unchanged": pl.Float64,
}
# Two models over the samples that both have. cka: linear CKA of their states; matched: mean correlation of activations
# of concepts matched one to one. *_shuffled: samples of one model in another order, mean and 97.5 % quantile.
ACROSS = {
    "token": pl.String,
    "model": pl.String,
    "other": pl.String,
    "module": pl.String,
    "method": pl.String,
    "k": pl.Int64,
    "seed": pl.Int64,
    "n": pl.Int64,
    **{
        f"{name}{end}": pl.Float64
        for name in ("cka", "matched")
        for end in ("", "_low", "_high", "_shuffled", "_shuffled_high", "_p")
    },
}
