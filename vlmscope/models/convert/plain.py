"""Releases of transformers' own layout whose weights are pickled: other files stay as they are."""

import shutil
from pathlib import Path

from vlmscope.models.convert.recipe import ModelConfig, Recipe, Source


def config(folder: Path) -> ModelConfig:
    """The configuration as released."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)


def texts(folder: Path, target: Path) -> None:
    """Copy tokenizer and processor files."""
    for path in sorted(folder.glob("*")):
        if path.suffix in (".json", ".txt", ".model") and path.name != "config.json" and ".index." not in path.name:
            shutil.copyfile(path, target / path.name)


RECIPE = Recipe(
    # Positions were written to files once; they are computed now.
    sources=(Source("pytorch_model*.bin", dropped=(r"position_ids$",)),),
    config=config,
    texts=texts,
)
