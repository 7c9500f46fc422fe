"""Vector sets from feature files of the released code, and feature files from vector sets."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from vlmscope import selection
from vlmscope.errors import VlmscopeError
from vlmscope.store import files, hdf5
from vlmscope.xl_vlms.exchange import features
from vlmscope.xl_vlms.sets import modules, vectors

log = logging.getLogger(__name__)


def read(target: str, *, file: str, name: str, position: int | None, part: str) -> None:
    """Write the set that a feature file holds.

    name             of the set
    position, part   see `features.matrix`, `features.read`
    Samples are called as their pictures, since the file names no others.
    """
    held = features.read(file, part)
    values = {module: features.matrix(states, position) for module, states in held.states.items()}
    whole = np.logical_and.reduce([np.isfinite(one).all(1) for one in values.values()])
    if not whole.all():
        log.info("%d of %d states are no numbers: nothing was written there; they are left out.", *_counts(~whole))
    named = {modules.canonical(module): module for module in values}
    if len(named) < len(values):
        raise VlmscopeError(f"Two of the modules {', '.join(values)} are the same.", where=file)
    found = np.ones(len(whole), bool) if held.found is None else held.found
    log.info("%s: %d samples, %d with what was looked for", name, *reversed(_counts(found)))
    vectors.write(
        target,
        samples=numbered([selection.stem(image) for image in held.images]),
        texts=held.texts or [""] * len(held.images),
        images=[shortened(image) for image in held.images],
        row=np.flatnonzero(whole),
        found=found[whole],
        vectors={place: values[module][whole] for place, module in named.items()},
        recipe={
            "set": name,
            "settings": {"position": position, "part": part},
            "released": {
                "digest": files.digest(file),
                "names": named,
                "mask": held.found is not None,
                "texts": held.texts is not None,
                "folder": folder(held.images),
            },
        },
    )


def write(target: str, *, vectors_file: str, family: str) -> None:
    """Write a set as the released code does; samples without a vector are not in it.

    family   of the model, for the released spelling of its modules; what was imported keeps its own
    """
    with vectors.opened(vectors_file) as file:
        told = hdf5.recipe(file)
        released, row = told.get("released", {}), file["row"][()]
        values = {name: file["vectors"][name][()] for name in modules.ordered(file["vectors"])}
        texts, images = ([one.decode() for one in file[key][()]] for key in ("texts", "images"))
        found = file["found"][()]
    names = released.get("names") or {name: modules.released(name, family) for name in values}
    # The released code stores no mask with means over an answer.
    has_mask = released.get("mask", told["settings"].get("rule") not in ("before_end", "mean", "index", "range"))
    own = [released.get("folder", "") + image for image in images]
    features.write(
        target,
        vectors={names[place]: one for place, one in values.items()},
        found=found if has_mask else None,
        images=[own[place] for place in row],
        texts=[texts[place] for place in row] if released.get("texts", True) else None,
    )


def _counts(flags: np.ndarray) -> tuple[int, int]:
    return int(flags.sum()), len(flags)


def numbered(names: Sequence[str]) -> list[str]:
    """The names, later ones of several alike with a number behind."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(f"{name}.{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def shortened(image: str) -> str:
    """Folder and name of a picture, which is its place below COCO's folder: `train2014/COCO_train2014_....jpg`."""
    return "/".join(PurePosixPath(image.replace("\\", "/")).parts[-2:])


def folder(images: Sequence[str]) -> str:
    """What stands before `shortened` in all pictures' names; nothing where they differ in it."""
    found = {image[: len(image) - len(shortened(image))] for image in images}
    return found.pop() if len(found) == 1 else ""
