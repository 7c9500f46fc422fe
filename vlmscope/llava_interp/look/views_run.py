"""What pages tell of states beside the lens, from files to one HDF5 file (views.py, docs/formats.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from vlmscope.lens import texts
from vlmscope.llava_interp.asking import experiments, prompts
from vlmscope.llava_interp.asking.experiments import Bench
from vlmscope.llava_interp.lens import file as lens_file
from vlmscope.llava_interp.lens import tuned
from vlmscope.llava_interp.look import views, views_file
from vlmscope.models.load import Loaded
from vlmscope.samples import read
from vlmscope.session import progress
from vlmscope.store import hdf5


def from_files(
    loaded: Loaded,
    *,
    raw: str,
    samples: str,
    shown: str,
    maps: Sequence[str],
    settings: Mapping[str, Any],
    batch: int,
    target: str,
) -> None:
    """Views of the pictures in the file of lenses, a group per picture of the same name.

    shown      the file of lenses
    maps       the affine maps, where settings name that lens; else nothing
    settings   asking, question, views
    """
    own = experiments.bench(loaded, raw, "", settings, batch)
    with lens_file.opened(shown) as file:
        names = list(file)
    by_name = {one.sample: one for one in read(samples)}
    fitted = tuned.load(maps[0], loaded) if maps else None
    recipe = {"settings": dict(settings), "model": loaded.about["fingerprint"]}
    with views_file.published(target, recipe) as file:
        for name in progress(names, len(names), "pictures"):
            text, picture = own.ask(settings["question"]), own.picture(by_name[name])
            _keep(file.create_group(name), own, prompts.prepare(loaded, [text], [picture], 1)[0], fitted)


def _keep(group: h5py.Group, own: Bench, asked: prompts.Asked, fitted: tuned.Maps | None) -> None:
    """Everything of one picture."""
    told, loaded = own.told["views"], own.loaded
    found = tuned.states(loaded, asked, whole=True)
    for name, values in vars(views.stream(loaded, found)).items():
        group.create_dataset(name, data=hdf5.half(values))
    behind = range(asked.end, len(asked.ids))[-told["queries"] :]
    looks = views.looks(loaded, asked, behind, told["heads"])
    for name, values in (("attention", looks.mean), ("attention_heads", looks.single)):
        group.create_dataset(name, data=values.astype(np.float32))
    group.create_dataset("queries", data=np.array(looks.queries, np.int32))
    group.create_dataset("heads", data=looks.heads.astype(np.int32))
    seen = found[:, asked.first : asked.end]
    lenses = {name: _lens(name, loaded, seen, told["k"], fitted) for name in told["lenses"]}
    for name, (tokens, values) in lenses.items():
        part = group.create_group(f"lenses/{name}")
        part.create_dataset("tokens", data=tokens.astype(np.int32))
        part.create_dataset("values", data=hdf5.half(values))
    shown = sorted({token for tokens, _ in lenses.values() for token in np.unique(tokens).tolist()})
    known = texts(loaded.processor.tokenizer, shown)
    group.create_dataset("vocabulary", data=np.array(shown, np.int32))
    group.create_dataset("texts", data=[known[token] for token in shown], dtype=h5py.string_dtype())


def _lens(name: str, loaded: Loaded, seen: Any, k: int, fitted: tuned.Maps | None) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and values of one of the other lenses at the visual positions."""
    if name == "cosine":
        return views.nearest(loaded, seen, k)
    return views.affine(loaded, seen, k, fitted)
