"""Columns of the tables that this system's steps hand to each other."""

import polars as pl

# Captions as the model wrote them; `row` is the first row of the sample in the capture, over all its shards.
CAPTIONS = {
    "sample": pl.String,
    "caption": pl.String,
    "tokens": pl.List(pl.Int32),
    "reference": pl.String,
    "row": pl.Int64,
}

# Nouns of captions; `position` is that of the first piece among the caption's tokens, null where a noun was dropped.
NOUNS = {
    "sample": pl.String,
    "noun": pl.String,
    "tokens": pl.List(pl.Int32),
    "token": pl.Int32,
    "position": pl.Int32,
    "n_subtokens": pl.Int32,
    "starts_word": pl.Boolean,
    "status": pl.String,
    "official_token": pl.Int32,
    "in_picture": pl.Boolean,
}

# One row that sums up the nouns of a model. `official_wrong_token`: nouns that the released code scores with another
# noun's token, `official_wrong_captions`: captions with such a noun; `not_in_picture`: of drawn pictures.
NOUN_COUNTS = dict.fromkeys(
    (
        *("captions", "without_noun", "nouns", "different", "kept", "spelled_otherwise", "several_tokens"),
        *("starts_no_word", "official_wrong_token", "official_wrong_captions", "not_in_picture"),
    ),
    pl.Int64,
)

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

# Exact parts of the logit of a noun's token: neurons and heads with their place in one ranking, and sums of the rest.
ATTRIBUTION = {
    "sample": pl.String,
    "noun": pl.String,
    "kind": pl.String,
    "layer": pl.Int32,
    "unit": pl.Int32,
    "rank": pl.Int32,
    "score": pl.Float64,
    "logit": pl.Float64,
}

# Likeness of a neuron's decoded words to a text; a neuron, or its lower end, is numbered as in `sets`. Scores of empty
# texts are null.
SIMILARITIES = {
    "neuron": pl.Int64,
    "ref": pl.String,
    "reference": pl.String,
    "bertscore": pl.Float32,
    "moverscore": pl.Float32,
    "bleurt": pl.Float32,
}

# Pictures of maps, below the folder `maps`; `n`: how many of the best neurons, or the one neuron, L2_u22. Colours and
# mask go from `low` to `high`, the range of the enlarged map.
MAPS = {
    "activation": pl.String,
    "sample": pl.String,
    "noun": pl.String,
    "n": pl.String,
    "low": pl.Float64,
    "high": pl.Float64,
    "heat": pl.String,
    "mask": pl.String,
}

# Noise on neurons, and neurons set to zero: one row per noun, set of neurons, draw, kind, size of the set and strength.
#   set, activation   contribution, activation, gradient; random, whose activation is "";
#                     random_layers, in the layers of the contribution list of that activation
#   kind, sigma       noise and its standard deviation; zero, which has none
#   gone              the noun's first token is not in the new caption
#   dlogp             change of its log-probability where it stood, the caption before it given
NOISE, ZERO = "noise", "zero"
EFFECTS = {
    "sample": pl.String,
    "noun": pl.String,
    "set": pl.String,
    "activation": pl.String,
    "draw": pl.Int32,
    "kind": pl.String,
    "k": pl.Int32,
    "sigma": pl.Float64,
    "gone": pl.Boolean,
    "dlogp": pl.Float64,
    "changed": pl.Boolean,
    "caption": pl.String,
}

# Nouns of pictures whose image tokens changed places: in captions written anew (mode free) or in the original ones.
SHUFFLED = {"mode": pl.String, "permutation": pl.Int32, "caption": pl.String, **NOUNS}

# Edits: one row per pair of words, method, and picture.
#   applied       alone, or stacked: with the edits of all other pairs by this method
#   role          made: the edit is made from this picture; general: another one whose caption has the source;
#                 local: one whose caption has not
#   success       the new caption has the target and no longer the source; null where the role is local
#   first_token   the target's first token stands where the source's stood
#   unchanged     the new caption is the old one
#   kl_first      divergence of the first step's distribution from the untouched one, nats
#   kl            the same, mean over the steps of the old caption
#   nll           of the caption under the untouched model, nats, its end included; tokens: how many
#   seconds       that making the edit took; null where it is stacked
#   margin        log-probability of the target's first token minus that of the source's, mean over occurrences; null
#                 where the caption has none
EDITED = {
    "source": pl.String,
    "target": pl.String,
    "method": pl.String,
    "applied": pl.String,
    "role": pl.String,
    "sample": pl.String,
    "before": pl.String,
    "after": pl.String,
    "success": pl.Boolean,
    "first_token": pl.Boolean,
    "unchanged": pl.Boolean,
    "kl_first": pl.Float64,
    "kl": pl.Float64,
    "nll_before": pl.Float64,
    "nll_after": pl.Float64,
    "tokens_before": pl.Int32,
    "tokens_after": pl.Int32,
    "margin_before": pl.Float64,
    "margin_after": pl.Float64,
    "neurons": pl.Int32,
    "weights": pl.Int64,
    "seconds": pl.Float64,
}
