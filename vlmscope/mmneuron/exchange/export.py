"""All results of a model that the released code has a file for, as such files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope import samples as table
from vlmscope.mmneuron import masks as neuron_masks
from vlmscope.mmneuron import modules
from vlmscope.mmneuron.exchange import answers, counts, masks, names
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.store import files, tables

FORMAT = "vlmscope.released/1"


def write(
    folder: Path,
    *,
    indices: Sequence[str],
    neurons: str,
    summary: str,
    untouched: Sequence[str],
    masked: Sequence[str],
    samples: Sequence[str],
    settings: Mapping[str, Any],
    conditions: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Write counts, masks and answers below a folder; the manifest names every file with its digest.

    indices, untouched, masked, samples   one file per domain, in the order of settings["domains"]
    """
    domains, family = settings["domains"], settings["family"]
    made = [names.log_file(family, domain, settings["snapshot"]) for domain in domains]
    for index, name in zip(indices, made, strict=True):
        counts.export(index, family, folder / name)
    found, shapes = neuron_masks.read(neurons, domains), files.read_json(summary)
    for module in modules.sites(family):
        members = masks.members_of(found, module, domains, tuple(shapes[module]["shape"]))
        made.append(names.mask_file(family, module))
        masks.write(members, folder / made[-1])
    for domain, *one in zip(domains, untouched, masked, samples, strict=True):
        said = pl.concat([tables.read(path, ANSWERS) for path in one[:2]])
        made += _answers(folder, said, table.read(one[2]), family, domain, conditions)
    return {"format": FORMAT, "family": family, "files": {name: files.digest(folder / name) for name in made}}


def _answers(
    folder: Path,
    said: pl.DataFrame,
    samples: Sequence[table.Sample],
    family: str,
    domain: str,
    conditions: Sequence[Mapping[str, Any]],
) -> list[str]:
    made = []
    for row in conditions:
        made.append(names.answer_file(family, domain, row["modules"]))
        answers.write(said.filter(pl.col("condition") == row["name"]), samples, family, folder / made[-1])
    return made
