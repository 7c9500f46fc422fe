"""The paper's module names and the sites they stand for (mmneuron.md 2.1)."""

from vlmscope.errors import VlmscopeError

_LLAVA = {"lang": "mlp_gate", "vision": "vision_gate", "mmproj": "projector_gate"}
MODULES: dict[str, dict[str, str]] = {
    "llava": _LLAVA,
    "llava_next": _LLAVA,
    "llava_next_llama3": _LLAVA,
    "llava_phi": _LLAVA,
    "instructblip": {
        "lang": "mlp_gate",
        "encoder": "vision_gate",
        "qformer": "qformer_gate",
        "query": "query_gate",
    },
}


def sites(family: str) -> dict[str, str]:
    """Module name -> site, for one family."""
    if family not in MODULES:
        raise VlmscopeError(
            f"Domain neurons are not defined for the family '{family}'.",
            where="run.mmneuron in the configuration",
            instead="a model of one of: " + ", ".join(MODULES),
        )
    return MODULES[family]


# The module whose positions are of two kinds, and those kinds.
DECODER = "lang"
POSITIONS = ("image", "text")


def needs(family: str) -> list[dict[str, str]]:
    """Takes that a capture must have: counts of every module, and of the decoder by kind of position."""
    every = [(site, "all") for site in sites(family).values()]
    every += [(sites(family)[DECODER], where) for where in POSITIONS]
    return [{"site": site, "where": where, "keep": "counts"} for site, where in every]


def take_name(family: str, module: str, where: str = "all") -> str:
    """Group of a module's counts in a shard."""
    return f"{sites(family)[module]}.{where}.counts"
