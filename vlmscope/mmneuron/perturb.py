"""How far changed neurons move the hidden states, and whether answers change: own domain, others, random ones.

The published definition of the hidden-state perturbation was not seen; ours is in mmneuron.md 2.7:
    h, h'  raw output of the last decoder block with and without the change, identical prompt
    deviation = 100 ||h' - h|| / ||h||, mean over prompt positions of a sample
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from PIL import Image
from torch import Tensor

from vlmscope import sweep
from vlmscope.capture import taps
from vlmscope.capture.batches import picture_of
from vlmscope.datasets import base
from vlmscope.edits import Change
from vlmscope.mmneuron import generate, masks, modules
from vlmscope.mmneuron.masks import Units
from vlmscope.mmneuron.schemas import PERTURBED
from vlmscope.models import answer
from vlmscope.models.inputs import Batch
from vlmscope.models.load import Loaded
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample, read
from vlmscope.session import progress
from vlmscope.sweep import Pass


@dataclass(frozen=True)
class Mask:
    """One change that is measured.

    kind        none, own, other, random; mean, scale, dose, dose_random in variations
    condition   whose modules are changed; empty for none
    variant     the other domain, the seed, the rate or the factor
    """

    kind: str
    condition: str
    variant: str
    change: Change

    @property
    def name(self) -> str:
        """E.g. none, own:all, other:all:med, random:lang:0."""
        return ":".join(part for part in (self.kind, self.condition, self.variant) if part)


UNTOUCHED = Mask("none", "", "", Change({}))


def mask_list(
    neurons: pl.DataFrame,
    family: str,
    domain: str,
    domains: Sequence[str],
    conditions: Mapping[str, Sequence[str]],
    crossed: str,
    widths: Mapping[str, int],
    seeds: Sequence[int],
) -> list[Mask]:
    """Untouched; own and random neurons under every condition; other domains' under the condition `crossed`.

    Random neurons match the own ones module by module and layer by layer (mmneuron.md 2.8).
    """
    found = [UNTOUCHED]
    for name, chosen in conditions.items():
        own = masks.of_domain(neurons, family, domain, chosen)
        found.append(Mask("own", name, "", Change(own)))
        found += [Mask("random", name, str(seed), Change(masks.random_like(own, widths, seed))) for seed in seeds]
    others = [other for other in domains if other != domain]
    units = {other: masks.of_domain(neurons, family, other, conditions[crossed]) for other in others}
    return found + [Mask("other", crossed, other, Change(units[other])) for other in others]


def rows(
    loaded: Loaded,
    samples: Sequence[Sample],
    prompt: Callable[[Sample], str],
    picture: Callable[[Sample], Image.Image],
    changes: Sequence[Mask],
    decoding: generate.Decoding,
    batch: int,
) -> Iterator[pl.DataFrame]:
    """Per batch one table: each sample under each mask, deviation of its states and the answer.

    changes   the first one is the untouched model
    """
    for chosen, tensors in generate.encoded(loaded, samples, prompt, picture, decoding, batch):
        every = [one.change for one in changes]
        passes = generate.written(loaded, chosen, tensors, every, decoding, batch, states=True)
        yield pl.concat(_measured(loaded, chosen, tensors["attention_mask"], changes, passes))


def _measured(
    loaded: Loaded, samples: Sequence[Sample], attended: Tensor, changes: Sequence[Mask], passes: Iterator[Pass]
) -> Iterator[pl.DataFrame]:
    for one, moved in _compared(loaded, attended, passes):
        used = [changes[number] for number, _ in one.pairs]
        asked = [samples[row] for _, row in one.pairs]
        columns = {
            "domain": [sample.dataset for sample in asked],
            "mask": [mask.name for mask in used],
            "kind": [mask.kind for mask in used],
            "condition": [mask.condition for mask in used],
            "variant": [mask.variant for mask in used],
            "sample": [sample.sample for sample in asked],
            "group": [sample.group for sample in asked],
            "units": [masks.size(mask.change.units) for mask in used],
            **moved,
            "prediction": [answer.text_of(loaded, tokens) for tokens in one.written],
        }
        yield pl.DataFrame(columns, schema=PERTURBED)


def deviations(
    loaded: Loaded, batch: Batch, samples: Sequence[Sample], sets: Mapping[str, tuple[str, Units]]
) -> Iterator[pl.DataFrame]:
    """How far the states of each sample move under each mask, without answers.

    sets   name -> kind and units that are set to zero; the untouched states of a batch serve all of them
    """
    named = {"": ("none", {}), **sets}
    changes = [Change(units) for _, units in named.values()]
    passes = sweep.passes(loaded, batch.inputs, changes, len(samples), None, states=True)
    for one, moved in _compared(loaded, batch.inputs["attention_mask"], passes):
        used = [list(named)[number] for number, _ in one.pairs]
        columns = {
            "mask": used,
            "kind": [named[name][0] for name in used],
            "sample": [samples[row].sample for _, row in one.pairs],
            "group": [samples[row].group for _, row in one.pairs],
            "units": [masks.size(named[name][1]) for name in used],
        }
        yield pl.DataFrame(columns | moved).filter(pl.col("mask") != "")


@torch.inference_mode()
def _compared(
    loaded: Loaded, attended: Tensor, passes: Iterator[Pass]
) -> Iterator[tuple[Pass, dict[str, list[float]]]]:
    """Each pass with the deviations of its rows from the first change's states of the same sample."""
    before: dict[int, tuple[Tensor, Tensor]] = {}
    for one in passes:
        for place, (number, row) in enumerate(one.pairs):
            if number == 0:
                before[row] = one.states[place], _next(loaded, one.states[place], attended[row])
        found = [
            _deviation(loaded, one.states[place], attended[row], before[row])
            for place, (_, row) in enumerate(one.pairs)
        ]
        yield one, {key: [each[key] for each in found] for key in ("deviation", "one_minus_cos", "kl_next")}


def _deviation(loaded: Loaded, after: Tensor, attended: Tensor, before: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Means over the prompt's positions, and the divergence of the next token in nats."""
    real = attended.bool().to(after.device)
    h, moved = before[0][real].double(), after[real].double()
    first, then = before[1], _next(loaded, after, attended)
    cosine = torch.nn.functional.cosine_similarity(moved, h, dim=-1)
    return {
        "deviation": float((100 * (moved - h).norm(dim=-1) / h.norm(dim=-1)).mean()),
        "one_minus_cos": float((100 * (1 - cosine)).mean()),
        "kl_next": float((first.exp() * (first - then)).sum()),
    }


def _next(loaded: Loaded, states: Tensor, attended: Tensor) -> Tensor:
    """Log-probabilities of the token behind the last position of one sample, [vocabulary]."""
    # Padding may stand on either side; rows end at different places.
    last = int(attended.nonzero()[-1])
    norm, head = (taps.module_at(loaded.model, path) for path in (loaded.family.norm, loaded.family.head))
    return head(norm(states[last : last + 1])).double().log_softmax(-1)[0].to(states.device)


def over_domains(
    loaded: Loaded,
    portion: Mapping[str, str],
    raws: Sequence[str],
    samples: Sequence[str],
    decoding: generate.Decoding,
    changes: Callable[[str], Sequence[Mask]],
    most: int,
    batch: int,
) -> pl.DataFrame:
    """Rows of several domains one after the other, each in the order of its samples, then of its masks.

    portion         domain -> benchmark format
    raws, samples   manifests of the official files and sample tables, in the order of the portion
    changes         the masks of a domain
    most            samples per domain
    """
    done = []
    for (domain, kind), raw, table in zip(portion.items(), raws, samples, strict=True):
        benchmark, picture = base.load(kind), picture_of(read_manifest(raw)["root"])
        asked = generate.questions(read(table))[:most]
        used = changes(domain)
        parts = rows(loaded, asked, _full(benchmark), picture, used, decoding, batch)
        found = list(progress(parts, generate.rounds(loaded, asked, decoding, batch), f"batches of {domain}"))
        # Masks that share their part before the decoder come together, so the order has to be made.
        ranks = {"sample": [one.sample for one in asked], "mask": [one.name for one in used]}
        order = [_rank(column, names) for column, names in ranks.items()]
        joined = pl.concat(found) if found else pl.DataFrame(schema=PERTURBED)
        done.append(joined.with_columns(domain=pl.lit(domain)).sort(order))
    return pl.concat(done)


def _rank(column: str, names: Sequence[str]) -> pl.Expr:
    """The place of a value in a list of names."""
    return pl.col(column).replace_strict({name: place for place, name in enumerate(names)}, return_dtype=pl.Int32)


def _full(benchmark: Any) -> Callable[[Sample], str]:
    return lambda sample: benchmark.prompt(sample, "full")


def widths(loaded: Loaded) -> dict[str, int]:
    """Units per layer of the sites behind the modules."""
    names = modules.sites(loaded.family.name).values()
    return {name: loaded.family.site(name).width(loaded.config) for name in names}


def from_files(
    loaded: Loaded,
    *,
    raws: Sequence[str],
    samples: Sequence[str],
    neurons: str,
    portion: Mapping[str, str],
    settings: Mapping[str, Any],
    conditions: Sequence[tuple[str, list[str]]],
    batch: int,
) -> pl.DataFrame:
    """Rows of the effect measurement of some domains.

    portion         domain -> benchmark format, the domains that are measured
    raws, samples   files in the order of the portion
    """
    table, chosen = masks.read(neurons, settings["domains"]), settings["effects"]

    def changes(domain: str) -> list[Mask]:
        told = dict(conditions), chosen["condition"], widths(loaded), chosen["random_seeds"]
        return mask_list(table, loaded.family.name, domain, settings["domains"], *told)

    decoding = generate.Decoding(**settings["generate"])
    return over_domains(loaded, portion, raws, samples, decoding, changes, chosen["samples"], batch)
