"""Columns of the tables of steering; units and meaning in docs/formats.md."""

import polars as pl

from vlmscope.metrics.vqa_official import TYPES, UNRECOGNIZED

# Every answer under every condition, see `conditions.Condition`; steered: False where a gate was shut.
CONDITION = {
    "kind": pl.String,
    "vector": pl.String,
    "block": pl.Int64,
    "alpha": pl.Float64,
    "positions": pl.String,
    "start": pl.Int64,
    "draw": pl.Int64,
    "n_samples": pl.Int64,
}
STEERED = {
    "condition": pl.Int64,
    **CONDITION,
    "sample": pl.String,
    "prediction": pl.String,
    "tokens": pl.Int64,
    "steered": pl.Boolean,
}
_COUNTS = [f"n_{kind}" for kind in (*TYPES, UNRECOGNIZED)]
# One row per condition. Accuracies in percent, counts of questions; see docs/formats.md.
EFFECTS = {
    "model": pl.String,
    "seed": pl.Int64,
    "condition": pl.Int64,
    **CONDITION,
    "n": pl.Int64,
    **{f"acc_{kind}{end}": pl.Float64 for kind in TYPES for end in ("", "_low", "_high")},
    "acc": pl.Float64,
    "acc_low": pl.Float64,
    "acc_high": pl.Float64,
    **{f"acc_{kind}_as_official": pl.Float64 for kind in (*TYPES, "overall")},
    **dict.fromkeys(_COUNTS, pl.Int64),
    "steered_pct": pl.Float64,
    "changed_pct": pl.Float64,
    "changed_low": pl.Float64,
    "changed_high": pl.Float64,
    "original": pl.String,
    "wanted": pl.String,
    "n_original": pl.Int64,
    "n_wanted": pl.Int64,
    "n_wanted_all": pl.Int64,
    "n_wanted_all_as_official": pl.Int64,
    "d_original": pl.Int64,
    "d_wanted": pl.Int64,
    "d_wanted_low": pl.Float64,
    "d_wanted_high": pl.Float64,
    "wanted_pct": pl.Float64,
    "p_wanted": pl.Float64,
    "p_right": pl.Float64,
    "acc_off": pl.Float64,
    "d_acc_off": pl.Float64,
    "d_acc_off_low": pl.Float64,
    "d_acc_off_high": pl.Float64,
    "n_off": pl.Int64,
}
# The effects of vectors beside those of random directions and of shuffled labels, and what was published.
CONTROLS = ("d_original", "d_wanted", "changed_pct", "acc", "d_acc_off")
PAPER = ("acc_yesno", "acc_number", "acc_other", "d_original", "d_wanted")
STEER = {
    **EFFECTS,
    "method": pl.String,
    **{f"{kind}_{name}": pl.Float64 for kind in ("random", "shuffled") for name in CONTROLS},
    "random_draws": pl.Int64,
    "shuffled_draws": pl.Int64,
    "above_random": pl.Float64,
    **{f"paper_{name}": pl.Float64 for name in PAPER},
    "source": pl.String,
}
DIRECTIONS = {
    "model": pl.String,
    "seed": pl.Int64,
    "rank": pl.Int64,
    "i": pl.Int64,
    "j": pl.Int64,
    "main_answers": pl.String,
    "increases": pl.String,
    "gap": pl.Float64,
    "key": pl.String,
    "kept": pl.Boolean,
    "n": pl.Int64,
    "random_gap": pl.Float64,
}
SEPARABILITY = {
    "model": pl.String,
    "seed": pl.Int64,
    "question": pl.String,
    "module": pl.String,
    "classes": pl.Int64,
    "n": pl.Int64,
    "linear_accuracy": pl.Float64,
    "linear_low": pl.Float64,
    "linear_high": pl.Float64,
    "permuted_accuracy": pl.Float64,
    "permuted_high": pl.Float64,
    "silhouette": pl.Float64,
    "permuted_silhouette": pl.Float64,
    "explained": pl.Float64,
}
