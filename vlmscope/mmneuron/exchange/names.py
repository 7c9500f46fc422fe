"""Where the released code keeps its files, below one folder (mmneuron.md 2.2 to 2.5).

data/{flag}_activation/{domain}/{domain}_{snapshot}.log
data/{flag}_mask/{flag}-{module}
results/{flag}/{domain}/{flag}_{condition}_ans.pt
"""

from collections.abc import Sequence

from vlmscope.errors import VlmscopeError

# The released code's word for a model, `-m`.
FLAGS = {"llava_next": "llava", "instructblip": "blip"}
# Modules that the released code masks along with the one that it names.
TOGETHER = (("vision", "mmproj"), ("qformer", "query"))


def flag(family: str) -> str:
    """What the released code calls a model of this family."""
    if family not in FLAGS:
        raise VlmscopeError(
            f"The released code has no model of the family '{family}'.",
            where="mmneuron.exchange",
            instead="a model of one of: " + ", ".join(FLAGS),
        )
    return FLAGS[family]


def log_file(family: str, domain: str, snapshot: int) -> str:
    """Counts of one domain, all modules."""
    return f"data/{flag(family)}_activation/{domain}/{domain}_{snapshot}.log"


def mask_file(family: str, module: str) -> str:
    """Neurons of all domains in one module."""
    return f"data/{flag(family)}_mask/{flag(family)}-{module}"


def answer_file(family: str, domain: str, modules: Sequence[str]) -> str:
    """Answers of one domain with these modules masked."""
    return f"results/{flag(family)}/{domain}/{flag(family)}_{condition(modules)}_ans.pt"


def condition(modules: Sequence[str]) -> str:
    """The released name of a condition: its modules, without those that only go along with another one.

    `lang-vision-mmproj` names all three; `vision` alone and `qformer` alone mean two modules each.
    """
    named = [one for one in modules if one != "query" or "qformer" not in modules]
    return "vision" if set(named) == set(TOGETHER[0]) else "-".join(named)
