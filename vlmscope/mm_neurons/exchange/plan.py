"""Which models' results are read from a tree of the released code, and where it lies: input functions of the rules."""

from typing import Any

from vlmscope.mm_neurons.exchange import names

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Trees:
    """Trees of the released code as the configuration names them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.imported = config.mm_neurons.exchange.imported

    def models(self) -> list[str]:
        """Models whose captions, nouns and neurons are imported."""
        return list(self.imported)

    def pictures(self, wildcards: Wildcards) -> str:
        """Folder with a folder per picture."""
        return f"{self.imported[wildcards.model].folder}/{names.HOME}"
