"""The tiny LLaVA-NeXT and its autoencoder behind the golden files of the fourth system."""

import json
from pathlib import Path

from vlmscope.models import load
from vlmscope.multimodal_sae.coder import checkpoint

HERE = Path(__file__).parents[1] / "golden" / "multimodal_sae"
HOOK = "model.layers.2"


def model(folder):
    """The model as the library hands models around; its manifest goes into the folder."""
    told = {"family": "llava_next", "checkpoint": "tiny", "revision": "", "dtype": "float32", "quantize": "none"}
    manifest = folder / "model.json"
    manifest.write_text(json.dumps(load.describe(HERE / "tiny_llava", told | {"attention": "auto"})))
    return load.load(manifest)


def coder():
    """The autoencoder of its third block."""
    return checkpoint.read(HERE / "tiny_sae" / HOOK)
