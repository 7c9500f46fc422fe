"""Names of the places whose states are looked at: `block.N`, `final_norm`, `lm_head`.

`block.N` is the stream behind decoder block N; negative numbers count from the last one. Spellings of the released code
and of transformers are accepted and mapped (xl_vlms.md 4.1).
"""

import re
from collections.abc import Iterable

from vlmscope.errors import VlmscopeError

# Where the four families keep their decoder, as the released code (transformers 4.47) and transformers 5 spell it.
DECODERS = (
    "language_model.model",
    "model.language_model",
    "model.text_model",
    "model.language_model.model",
    "model.transformer",
    "model",
)
BLOCKS, NORMS, HEADS = ("layers", "blocks"), ("norm", "ln_f"), ("lm_head", "language_model.lm_head")
HEAD_OF_MOLMO = "model.transformer.ff_out"
# Part of a name -> site of the families.
SITES = {"block": "resid_post", "final_norm": "final_norm", "lm_head": "logits"}


def canonical(name: str) -> str:
    """`language_model.model.layers.31` -> `block.31`; the whole name counts, so that `layers.1` is never `layers.10`.

    The released code takes names as patterns, which hooks other layers too [differs: xl_vlms.md 8 #14].
    """
    decoders = "|".join(re.escape(one) for one in DECODERS)
    if found := re.fullmatch(rf"(?:block|(?:{decoders})\.(?:{'|'.join(BLOCKS)}))\.(-?\d+)", name):
        return f"block.{int(found[1])}"
    if name == "final_norm" or re.fullmatch(rf"(?:{decoders})\.(?:{'|'.join(NORMS)})", name):
        return "final_norm"
    if name in (*HEADS, HEAD_OF_MOLMO):
        return "lm_head"
    raise VlmscopeError(
        f"'{name}' names no place whose states are kept.",
        where="a module of xl_vlms",
        instead="block.N (behind decoder block N, negative from the end), final_norm, lm_head, or the released "
        "spelling of one of them: language_model.model.layers.N, model.text_model.norm",
    )


def numbered(name: str, layers: int) -> str:
    """The canonical name with its block counted from the front.

    layers   decoder blocks of the model
    """
    kind, _, number = canonical(name).partition(".")
    if not number:
        return kind
    place = int(number) if int(number) >= 0 else layers + int(number)
    if not 0 <= place < layers:
        raise VlmscopeError(
            f"There is no block {number}: the model has {layers}.",
            where="a module of xl_vlms",
            instead=f"block.0 to block.{layers - 1}, or block.-1 to block.-{layers} from the end",
        )
    return f"block.{place}"


def site_and_layer(name: str, layers: int) -> tuple[str, int]:
    """Site of the families and number of the layer in it: `block.-1` of 32 -> `resid_post`, 31."""
    kind, _, number = numbered(name, layers).partition(".")
    return SITES[kind], int(number or 0)


def of_site(site: str, layer: int) -> str:
    """The canonical name of one layer of a site: `resid_post`, 31 -> `block.31`."""
    kinds = {known: kind for kind, known in SITES.items()}
    if site not in kinds:
        raise VlmscopeError(
            f"The site '{site}' is none whose states are looked at.",
            where="captures.*.take",
            instead="one of: " + ", ".join(kinds),
        )
    return f"block.{layer}" if kinds[site] == "block" else kinds[site]


def ordered(names: Iterable[str]) -> list[str]:
    """Canonical names as the model computes them: blocks by number, final norm, unembedding."""
    kinds = list(SITES)
    return sorted(names, key=lambda name: (kinds.index(name.split(".")[0]), int(name.partition(".")[2] or 0)))


# How the released code spells the three places, by family: blocks, final norm, unembedding.
RELEASED = {
    "llava": ("language_model.model.layers", "language_model.model.norm", "language_model.lm_head"),
    "qwen2_vl": ("model.layers", "model.norm", "lm_head"),
    "idefics2": ("model.text_model.layers", "model.text_model.norm", "lm_head"),
    "molmo": ("model.transformer.blocks", "model.transformer.ln_f", HEAD_OF_MOLMO),
}


def released(name: str, family: str) -> str:
    """How the released code spells a canonical name: `block.31` of llava -> `language_model.model.layers.31`."""
    if family not in RELEASED:
        raise VlmscopeError(
            f"The released code does not know the family {family}.",
            where="models.*.family",
            instead="one of: " + ", ".join(RELEASED),
        )
    kind, _, number = canonical(name).partition(".")
    spelling = dict(zip(SITES, RELEASED[family], strict=True))[kind]
    return f"{spelling}.{number}" if number else spelling
