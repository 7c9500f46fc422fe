"""Numbers of the paper, by family; None where they are not known (llava_interp.md 7).

The tables of the paper were not seen: [A] stands for its own words, [B] for public notes of people who read them.
"""

SOURCE = "arXiv 2410.07149, from public notes [B]"
# Family -> setting, condition, size -> percent of the identifications that are lost.
ABLATION = {
    "llava": {
        ("generative", "object", 1): 71.8,
        ("polling", "object", 1): 51.3,
        ("vqa", "object", 1): 86.7,
        ("generative", "random", 40): 2.4,
        ("polling", "random", 40): 0.0,
        ("vqa", "random", 40): 0.0,
    }
}
# Family -> source, target, window -> relative accuracy.
KNOCKOUT = {
    "llava": {
        ("object_1", "last", "mid_late"): 0.82,
        ("object_1", "last", "all"): 0.67,
        **{
            ("all_but_last_row", "last_row", window): 1.0
            for window in ("early", "early_mid", "mid", "mid_late", "late", "all")
        },
    }
}
# Family -> best rate, and its layer, averaged over pictures.
LENS = {"llava": (0.237, 25.7)}
