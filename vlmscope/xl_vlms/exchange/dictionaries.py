"""Analysis files of the released code: concepts, activations, words and pictures, in and out (xl_vlms.md 5.1).

The released file also holds the estimator itself as a pickled object of scikit-learn. It is never loaded: snmf, kmeans
and simple need nothing but their concepts, and the mean of pca is that of the vectors.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.store import torch_files
from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries.files import Key, Side, Stored
from vlmscope.xl_vlms.sets import modules, vectors
from vlmscope.xl_vlms.sets.vectors import VectorSet
from vlmscope.xl_vlms.words import grounding

# Packages that the pickled estimator is made of.
ESTIMATOR = ("sklearn", "numpy", "scipy", "_codecs", "copyreg", "joblib")
# Names of the released code -> ours.
METHODS = {"snmf": "snmf", "nndl": "snmf", "kmeans": "kmeans", "pca": "pca", "simple": "simple"}
CONCEPTS, ACTIVATIONS, METHOD = "concepts", "activations", "decomposition_method"
WORDS, IMAGES = "text_grounding", "image_grounding_paths"


def imported(path: str | Path, train: VectorSet, test: VectorSet, *, module: str, pictures: int) -> Stored:
    """A dictionary of the released code, with activations of the vectors that it was made from and of others.

    module     where the vectors are from
    pictures   most activating samples per concept; the file's own paths may be of another machine
    """
    held = torch_files.read(path, without=ESTIMATOR)
    method, concepts = _checked(held, path, train)
    known = dictionary.given(concepts, method, train.values)
    stored = np.asarray(held[ACTIVATIONS], dtype=np.float32) if held.get(ACTIVATIONS) is not None else known.activations
    words = [list(map(str, one)) for one in held.get(WORDS) or [[] for _ in concepts]]
    projected, held_out = known.activations, dictionary.project(known, test.values)
    images = grounding.images(projected, pictures)
    key = Key(module, method, len(concepts), 0)
    return Stored(key, known._replace(activations=stored), projected, held_out, words, images)


def _checked(held: Any, path: str | Path, train: VectorSet) -> tuple[Any, np.ndarray]:
    """Method and concepts of a file, refused where they do not fit the vectors."""
    problem = ""
    if not isinstance(held, dict) or held.get(CONCEPTS) is None or METHOD not in held:
        problem = f"it lacks '{CONCEPTS}' or '{METHOD}'"
    elif held[METHOD] not in METHODS:
        problem = f"its method '{held[METHOD]}' is none of {', '.join(METHODS)}"
    else:
        concepts = np.asarray(held[CONCEPTS], dtype=np.float32)
        rows = held.get(ACTIVATIONS)
        if concepts.ndim != 2 or concepts.shape[1] != train.values.shape[1]:
            problem = f"its concepts are {concepts.shape}, the vectors have {train.values.shape[1]} units"
        elif rows is not None and np.shape(rows) != (len(train.values), len(concepts)):
            problem = f"its activations are {np.shape(rows)}, there are {len(train.values)} vectors"
    if problem:
        raise VlmscopeError(
            f"The file is no dictionary of these vectors: {problem}.",
            where=str(path),
            instead="the analysis file of the same model, module and samples (docs/formats.md)",
        )
    return METHODS[held[METHOD]], concepts


def exported(one: Stored, side: Side) -> dict[str, Any]:
    """What the released code writes of a dictionary, without the pickled estimator.

    side   samples that it was made from
    """
    return {
        CONCEPTS: one.dictionary.concepts,
        ACTIVATIONS: one.dictionary.activations,
        METHOD: one.key.method,
        WORDS: one.words,
        IMAGES: [[side.images[place] for place in row] for row in one.images],
    }


def write(source: str | Path, target: str | Path, *, method: str) -> None:
    """Write the main dictionary of a method as the released code does.

    source   file of dictionaries
    """
    main = dictionary_files.main_module(str(source))
    keys = [one for one in dictionary_files.keys(source) if (one.module, one.method) == (main, method)]
    if not keys:
        raise VlmscopeError(
            f"There is no dictionary made by {method}.", where=str(source), instead="xl_vlms.dictionaries.methods"
        )
    one, side = dictionary_files.read(source, keys[0]), dictionary_files.sides(source)["train"]
    torch_files.write(exported(one, side), target)


def read(path: str, target: str, *, train: str, test: str, about: dict[str, Any], module: str, pictures: int) -> None:
    """Write a released dictionary as a file of dictionaries.

    train, test   vectors that it was made from, and held-out ones
    about         model and set
    """
    with vectors.opened(train) as file:
        main = modules.numbered(module, int(file.attrs["layers"]))
    sides = [vectors.read(one, main) for one in (train, test)]
    stored = imported(path, *sides, module=main, pictures=pictures)
    told = [Side(one.samples, one.images, one.texts) for one in sides]
    dictionary_files.write(target, [stored], told, {**about, "main": main, "imported": path})
