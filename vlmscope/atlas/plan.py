"""Of which models there is an atlas, and where the five systems keep what it reads: input functions of the rules."""

import json
from typing import Any

from vlmscope.errors import VlmscopeError

# The engine's wildcards; only attribute access is used.
Wildcards = Any
# Families that see a picture as one square of patches (llava_interp) and whose neurons mmneuron defines.
FAMILIES = ("llava", "llava_phi")


def check(config: Any, model: str, where: str) -> None:
    """Stop where one of the five systems cannot look at a model, before the others have run.

    where   what names the model
    """
    family = config.models[model].family
    if family not in FAMILIES:
        raise VlmscopeError(
            f"There is no atlas of '{model}': its family {family} does not show a picture to the decoder as one square "
            "of patches, in which objects can be followed, or mmneuron does not define its neurons.",
            where=f"{where}; models.{model}.family: {family}",
            instead="one of: " + ", ".join(key for key, one in config.models.items() if one.family in FAMILIES),
        )


class Plan:
    """Files and words as the configuration names them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.own, self.sets = config.atlas, config.xl_vlms.sets
        self.dictionaries = [name for name in self.own.sets if name in config.xl_vlms.dictionaries.sets]

    def words(self, wildcards: Wildcards) -> str:
        """Vector set -> the word that its states wrote, as canonical JSON in the order of the sets."""
        told = {name: (self.sets[name].words or [""])[0] for name in self.own.sets}
        # Asked only where the atlas is made: the sets are those of another system, which may well share words.
        if len(set(told.values()) - {""}) < len(self.own.sets):
            raise VlmscopeError(
                f"Sets of the atlas must be different ones, of different words (rule: word), and are of {told}.",
                where="atlas.sets",
                instead="sets of xl_vlms.sets with one object word each",
            )
        return json.dumps(told, separators=(",", ":"))

    def train(self, wildcards: Wildcards) -> list[str]:
        """States that wrote the words."""
        return [f"results/xl_vlms/{wildcards.model}/vectors/{name}.h5" for name in self.own.sets]

    def test(self, wildcards: Wildcards) -> list[str]:
        """The same, held out."""
        return [f"results/xl_vlms/{wildcards.model}/vectors/{name}-test.h5" for name in self.own.sets]

    def concepts(self, wildcards: Wildcards) -> list[str]:
        """Dictionaries of those words that have one."""
        return [f"results/xl_vlms/{wildcards.model}/dictionaries/{name}.h5" for name in self.dictionaries]
