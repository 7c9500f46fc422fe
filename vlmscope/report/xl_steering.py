"""Findings of xl_vlms on steering: answers, captions, learned vectors, separability of answers."""

import polars as pl

from vlmscope.report.finding import Finding, Measure, Tables, highest, measured, number, pick, spelled


def targeted(tables: Tables) -> Finding | None:
    """How many more answers become the wanted one."""
    # Controls were run at some strengths alone: a gain without one says little.
    frame = tables("steer_targeted.csv").filter(pl.col("kind") == "vector", pl.col("random_d_wanted").is_not_null())
    row = highest(frame, "d_wanted")
    if row is None:
        return None
    controls = [
        Measure(f"mean of {row[f'{kind}_draws']} {words}", row[f"{kind}_d_wanted"])
        for kind, words in (("random", "random directions"), ("shuffled", "shuffles of the labels"))
        if row[f"{kind}_d_wanted"] is not None
    ]
    return Finding(
        f"How many more answers say \u201c{row['wanted']}\u201d under {row['vector']}, strength {row['alpha']:g} after "
        f"block {row['block']}; accuracy on questions of other answers changes by {number(row['d_acc_off'])} points.",
        measured(row, "steered", "d_wanted", "d_wanted"),
        tuple(controls),
        unit="answers",
        n=f"{row['n']} questions",
        caveat=f"The largest gain of {len(frame)} vectors and strengths that have controls; these are means.",
    )


def captions(tables: Tables) -> Finding | None:
    """Captions with a word of the style."""
    frame = tables("steer_captions.csv").filter(kind="vector")
    row = highest(frame, "with_style_pct")
    if row is None:
        return None
    every = tables("steer_captions.csv")
    names = {"none": "no steering", "random": "random directions", "shuffled": "shuffled labels"}
    rows = {
        kind: pick(every, vector=row["vector"], kind=kind, **({} if kind == "none" else {"alpha": row["alpha"]}))
        for kind in names
    }
    return Finding(
        f"Captions with a word of \u201c{row['style']}\u201d at strength {row['alpha']:g}; CIDEr is then "
        f"{spelled(measured(row, '', 'cider', 'cider'))}.",
        measured(row, "steered", "with_style_pct", "with_style_pct"),
        tuple(measured(one, names[kind], "with_style_pct", "with_style_pct") for kind, one in rows.items() if one),
        unit="%",
        n=f"{row['n']} pictures",
        caveat=f"The largest share of {len(frame)} vectors and strengths.",
    )


def separable(tables: Tables) -> Finding | None:
    """Whether answers can be told from states of the last block."""
    frame = tables("separability.csv")
    if not len(frame):
        return None
    last = frame.filter(module=frame["module"].to_list()[-1]).sort("linear_accuracy", maintain_order=True)
    row = last.row(0, named=True)
    return Finding(
        f"How well a line tells answers to \u201c{row['question']}\u201d apart at {row['module']}, the "
        f"hardest of {len(last)} kinds.",
        measured(row, "linear probe", "linear_accuracy", "linear", 100),
        (Measure("permuted answers, 97.5 % quantile", 100 * row["permuted_high"]),),
        unit="%",
        n=f"{row['n']} questions",
    )


def learned(name: str, tables: Tables) -> Finding | None:
    """Learned vectors beside none, over all subsets."""
    frame = tables(name)
    if "accuracy_pct" not in frame.columns:
        return None
    every = frame.filter(subset="all")
    own = highest(every.filter(method="learned"), "accuracy_pct")
    if own is None:
        return None
    rows = {
        "no steering": pick(every, method="none"),
        "random vector": pick(every, method="random", alpha=own["alpha"]),
        "mean vector": pick(every, method="mean", alpha=own["alpha"]),
    }
    return Finding(
        f"Accuracy under a learned vector, strength {own['alpha']:g}; p = {number(own['p'])} against no steering.",
        measured(own, "learned", "accuracy_pct", "accuracy"),
        tuple(measured(one, told, "accuracy_pct", "accuracy") for told, one in rows.items() if one),
        unit="%",
        n=f"{own['n']} questions",
    )


def pope(tables: Tables) -> Finding | None:
    """Learned steering on POPE."""
    return learned("learned_pope.csv", tables)
