"""Everything that the released code would have written, and the layout of SAELens, in one folder."""

import shutil
from pathlib import Path

from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.store import files

FORMAT = "vlmscope.released/1"


def from_files(weights: str, cache: str, target: str, *, splits: int, model: str) -> None:
    """Write `sae/HOOKPOINT/`, `cache/HOOKPOINT/` and `saelens/HOOKPOINT/` beside the list of files.

    weights   sae.safetensors in the autoencoder's folder
    splits    files of the cache
    model     checkpoint, for the metadata of SAELens
    """
    home, source = Path(target).parent, Path(weights).parent
    hookpoint = source.name
    for part in ("sae", "cache", "saelens"):
        # Files of another number of splits would be read as well.
        shutil.rmtree(home / part, ignore_errors=True)
    coder = checkpoint.read(source)
    checkpoint.write(coder, home / "sae" / hookpoint)
    lens = coder.config.variant != "groupmax" and not coder.config.skip
    if lens:
        about = {"model_name": model, "hook_name": hookpoint}
        checkpoint.write_lens(coder, home / "saelens" / hookpoint, about)
    with cache_files.opened(cache) as found:
        cache_files.write_released(found.entries(), home / "cache" / hookpoint, found.latents, splits)
    written = sorted(path for path in home.rglob("*") if path.is_file() and path != Path(target))
    digests = {str(path.relative_to(home)): files.digest(path) for path in written}
    files.write_json({"format": FORMAT, "files": digests}, target)
