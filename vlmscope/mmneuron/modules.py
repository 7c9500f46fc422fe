"""The paper's module names and the sites they stand for (mmneuron.md 2.1)."""

from vlmscope.errors import VlmscopeError

MODULES: dict[str, dict[str, str]] = {
    "llava_next": {"lang": "mlp_gate", "vision": "vision_gate", "mmproj": "projector_gate"},
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


def needs(family: str) -> list[dict[str, str]]:
    """Takes that a capture must have before neurons of this family can be identified."""
    return [{"site": site, "where": "all", "keep": "counts"} for site in sites(family).values()]


def take_name(family: str, module: str) -> str:
    """Group of a module's counts in a shard."""
    return f"{sites(family)[module]}.all.counts"
