"""Columns of the records that the passes of the atlas leave, and of tables that a page reads."""

import polars as pl

# One number of one picture under one condition.
#   word        the object of the picture
#   condition   clean; object, matched: its tokens, or as many others, replaced where embeddings enter the decoder;
#               blocked, blocked_matched: the last position may not look at them in any block
#   kind        concept (along a word's direction, 0 at the other words' mean and 1 at its own), latent, neuron, domain
#               (share of its neurons that fire), answer (log probability of the word)
#   name        word, number of the latent, L0.u5, domain
#   belongs     own, other, random: to the picture's word, another one, none
#   depth       blocks that were computed; 0 where it is none of one depth
#   place       last: the position that answers; text: mean over the question; patches: mean over patches of others
RECORDS = {
    "sample": pl.String,
    "word": pl.String,
    "condition": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "belongs": pl.String,
    "depth": pl.Int32,
    "place": pl.String,
    "value": pl.Float64,
}
CLEAN = "clean"
CONDITIONS = (CLEAN, "object", "matched", "blocked", "blocked_matched")
# What is destroyed -> as many other tokens.
CONTROLS = {"object": "matched", "blocked": "blocked_matched"}

# One picture steered to a word it does not show.
#   method     concept, latent, neurons, logit, edit, edit elsewhere, random, random neurons, random edit
#   draw       number of what is random
#   stage      tried: pictures on which strengths are matched; held_out: all others
#   kl         divergence of the next token behind the picture's question, clean from steered, in nats
#   gain       log probability of the word there, steered less clean; says: it is the likeliest
#   loss       log probability of the right answer to two questions after other objects, clean less steered; right: both
#              still answered rightly, beside right_clean
STEERED = {
    "word": pl.String,
    "method": pl.String,
    "draw": pl.Int32,
    "stage": pl.String,
    "strength": pl.Float64,
    "sample": pl.String,
    "kl": pl.Float64,
    "gain": pl.Float64,
    "says": pl.Boolean,
    "loss": pl.Float64,
    "right": pl.Float64,
    "right_clean": pl.Float64,
}

# One row per concept and way to match.
#   kind     word: direction of its states; concept: number `concept` of the word's dictionary
#   latent   the match; value: cosine or correlation, with its interval (none where a fit would have to be repeated)
#   random_mean, random_high, random_p   of random directions: mean, bound of the highest 2.5 %, share as good
#   shuffled_*   the same; n: states behind the value
DIRECTIONS = {
    "word": pl.String,
    "kind": pl.String,
    "concept": pl.Int64,
    "match": pl.String,
    "latent": pl.Int64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "random_mean": pl.Float64,
    "random_high": pl.Float64,
    "random_p": pl.Float64,
    "shuffled_mean": pl.Float64,
    "shuffled_high": pl.Float64,
    "shuffled_p": pl.Float64,
    "n": pl.Int64,
}
