"""How far zeroed neurons move the hidden states, and whether answers change: own domain, others, random ones.

The published definition of the hidden-state perturbation was not seen; ours is in mmneuron.md 2.7:
    h, h'  raw output of the last decoder block with and without the mask, identical prompt
    deviation = 100 ||h' - h|| / ||h||, mean over prompt positions of a sample
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import torch
from PIL import Image

from vlmscope.capture import batches, taps
from vlmscope.capture.batches import picture_of
from vlmscope.capture.run import forward
from vlmscope.datasets import base
from vlmscope.edits import zeroed
from vlmscope.mmneuron import generate, masks, modules
from vlmscope.mmneuron.masks import Units
from vlmscope.mmneuron.schemas import PERTURBED
from vlmscope.models import inputs
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress


def mask_sets(
    neurons: pl.DataFrame,
    family: str,
    domain: str,
    domains: Sequence[str],
    modules: Sequence[str],
    widths: Mapping[str, int],
    seeds: Sequence[int],
) -> dict[str, tuple[str, Units]]:
    """Mask name -> (none, own, other or random; units). Random masks match the own mask layer by layer."""
    own = masks.of_domain(neurons, family, domain, modules)
    sets: dict[str, tuple[str, Units]] = {"none": ("none", {}), "own": ("own", own)}
    for other in domains:
        if other != domain:
            sets[f"other:{other}"] = ("other", masks.of_domain(neurons, family, other, modules))
    for seed in seeds:
        sets[f"random:{seed}"] = ("random", masks.random_like(own, widths, seed))
    return sets


def rows(
    loaded: Loaded,
    samples: Sequence[Sample],
    prompt: Callable[[Sample], str],
    picture: Callable[[Sample], Image.Image],
    sets: Mapping[str, tuple[str, Units]],
    decoding: generate.Decoding,
    batch: int,
) -> Iterator[pl.DataFrame]:
    """Per batch one table: each sample under each mask, deviation of its states and the answer."""
    whole = {sample.sample: loaded.family.template.replace("{prompt}", prompt(sample)) for sample in samples}
    stream = batches.prefill(loaded, samples, lambda sample: whole[sample.sample], picture, batch)
    units = {name: chosen for name, (_, chosen) in sets.items()}
    for one in stream:
        part = [samples[row] for row in one.rows]
        answers = pl.concat(generate.answers(loaded, part, prompt, picture, units, decoding, batch))
        moved = pl.concat(_deviations(loaded, one, part, sets))
        said = answers.rename({"condition": "mask"}).select("mask", "sample", "prediction")
        yield moved.join(said, on=["mask", "sample"], how="left", maintain_order="left").select(list(PERTURBED))


@torch.inference_mode()
def _deviations(
    loaded: Loaded, batch: Batch, samples: Sequence[Sample], sets: Mapping[str, tuple[str, Units]]
) -> Iterator[pl.DataFrame]:
    # The untouched states of a batch serve all of its masks.
    before, first = _states(loaded, batch, {})
    real = batch.inputs["attention_mask"].float()
    for name, (kind, units) in sets.items():
        after, then = _states(loaded, batch, units)
        share = 100 * (after - before).norm(dim=-1) / before.norm(dim=-1)
        turn = 100 * (1 - torch.nn.functional.cosine_similarity(after, before, dim=-1))
        divergence = (first.exp() * (first - then)).sum(-1)
        yield pl.DataFrame(
            {
                "mask": [name] * len(samples),
                "kind": [kind] * len(samples),
                "sample": [sample.sample for sample in samples],
                "group": [sample.group for sample in samples],
                "units": [masks.size(units)] * len(samples),
                "deviation": _over_prompt(share, real),
                "one_minus_cos": _over_prompt(turn, real),
                "kl_next": divergence.tolist(),
            }
        )


def _over_prompt(value: Any, real: Any) -> list[float]:
    """Mean over the prompt positions of each sample."""
    return ((value * real).sum(1) / real.sum(1)).double().tolist()


def _states(loaded: Loaded, batch: Batch, units: Units) -> tuple[Any, Any]:
    """Raw last-block states [sample, token, d] and log-probabilities of the next token [sample, vocabulary]."""
    site = loaded.family.site("resid_post")
    last = site.layers(loaded.config) - 1
    seen: dict[int, Any] = {}
    with zeroed(loaded, units), taps.reading(loaded, site, [last], seen.__setitem__):
        forward(loaded, batch)
    # Rows end at different places, so the head is applied to the picked states, not to every position.
    ends = batch.inputs["attention_mask"].sum(1) - 1
    # The last layer of a large model may lie on another GPU than its inputs.
    states = seen[last].to(ends.device)
    picked = states[torch.arange(len(ends), device=ends.device), ends]
    norm, head = (taps.module_at(loaded.model, path) for path in (loaded.family.norm, loaded.family.head))
    return states.float(), head(norm(picked)).to(ends.device).double().log_softmax(-1)


def from_files(
    loaded: Loaded,
    *,
    raw: str,
    samples: str,
    neurons: str,
    domain: str,
    settings: Mapping[str, Any],
    conditions: Sequence[tuple[str, list[str]]],
    batch: int,
) -> pl.DataFrame:
    """Rows of the effect measurement of one domain, in the order of the samples."""
    benchmark, picture = base.load(settings["kind"]), picture_of(read_manifest(raw)["root"])
    asked = generate.questions(read(samples))[: settings["effects"]["samples"]]
    family, sites = loaded.family.name, modules.sites(loaded.family.name)
    widths = {site: loaded.family.site(site).width(loaded.config) for site in sites.values()}
    sets = mask_sets(
        masks.read(neurons, settings["domains"]),
        family,
        domain,
        settings["domains"],
        dict(conditions)[settings["effects"]["condition"]],
        widths,
        settings["effects"]["random_seeds"],
    )
    decoding = generate.Decoding(**settings["generate"])
    parts = rows(loaded, asked, lambda one: benchmark.prompt(one, "full"), picture, sets, decoding, batch)
    done = pl.concat(progress(parts, inputs.rounds(loaded, asked, batch), "batches"))
    order = pl.col("sample").replace_strict({one.sample: k for k, one in enumerate(asked)}, return_dtype=pl.Int32)
    return done.sort(order, maintain_order=True)
