"""Findings of what lies beyond the published autoencoder stand beside their controls."""

import polars as pl

from vlmscope.report import finding, sae_beyond


def tables(**frames):
    return lambda file: frames.get(file.split("/")[1].removesuffix(".csv"), pl.DataFrame())


def stability(kind, right, value):
    numbers = {"value": value, "low": value - 0.01, "high": value + 0.01, "latents": 512}
    return {"left": "seed 0", "right": right, "kind": kind, "scope": "all", "metric": "max_cosine", **numbers}


def test_latents_of_another_seed_stand_beside_untrained_and_random_ones():
    rows = [stability("seed", "seed 1", 0.46), stability("untrained", "untrained", 0.31)]
    rows += [stability("random", "random", 0.36), stability("pca", "pca", 0.34)]
    found = sae_beyond.seeded(tables(stability=pl.DataFrame(rows)))
    assert found.own.value == 0.46 and [one.value for one in found.controls] == [0.31, 0.36, 0.34]
    assert finding.verdict(found).kind == "clear"


def test_absorbed_words_should_be_fewer_than_without_training():
    shares = {"trained": 0.025, "untrained": 0.05}
    rows = [
        {"coder": coder, "word": "mean", "absorbed": share, "low": share - 0.01, "high": share + 0.01, "chance": 0.007}
        for coder, share in shares.items()
    ]
    found = sae_beyond.absorbed(tables(absorption=pl.DataFrame(rows)))
    assert found.own.value == 2.5 and [one.value for one in found.controls] == [5.0]
    assert finding.verdict(found).kind == "clear" and "0.7 % for random directions" in found.says
