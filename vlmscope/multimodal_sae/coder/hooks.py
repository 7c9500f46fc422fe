"""Names of places: folders of the released code and its ancestors <-> our sites (multimodal_sae.md 2.3)."""

import re

from vlmscope.errors import VlmscopeError

# Ends of hook names -> our sites; nothing is the output of the whole block.
PARTS = {"": "resid_post", "mlp": "mlp_out", "self_attn": "attn_out", "attn": "attn_out"}
LAYER = re.compile(r"(?:model\.)?(?:language_model\.)?(?:model\.)?layers?[._](\d+)(?:\.(\w+))?")
SITE = re.compile(rf"({'|'.join(dict.fromkeys(PARTS.values()))})\[(\d+)\]")


def site_of(hookpoint: str) -> str:
    """Our site of a folder's name: `resid_post[24]` of `model.layers.24`, `layers.24` and `layer_24`."""
    found = LAYER.fullmatch(hookpoint)
    if found is None or (found[2] or "") not in PARTS:
        raise VlmscopeError(
            f"'{hookpoint}' names no place that an autoencoder is trained at.",
            where="the folder of an autoencoder",
            instead="model.layers.24, layers.24, layers.24.mlp or layer_24",
        )
    return f"{PARTS[found[2] or '']}[{int(found[1])}]"


def hookpoint(site: str) -> str:
    """Folder name of the released code for our site with its layer."""
    found = SITE.fullmatch(site)
    if found is None:
        raise VlmscopeError(
            f"'{site}' is no site that an autoencoder is trained at.",
            where="multimodal_sae.site",
            instead="resid_post[24], mlp_out[24] or attn_out[24]",
        )
    ends = {own: end for end, own in reversed(PARTS.items())}
    return f"model.layers.{found[2]}" + (f".{ends[found[1]]}" if ends[found[1]] else "")
