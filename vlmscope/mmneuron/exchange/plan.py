"""Which results are read from files of the released code, and where those lie: input functions of the rules."""

from typing import Any

from vlmscope.mmneuron import modules
from vlmscope.mmneuron.exchange import names

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Released:
    """Files of the released code as the configuration names them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.config, self.settings = config, config.mmneuron.exchange

    def models(self, what: str) -> list[str]:
        """Models whose counts, masks or answers are imported."""
        return [name for name, chosen in self.settings.imported.items() if what in chosen]

    def log(self, wildcards: Wildcards) -> str:
        """Activation file of one domain."""
        return self._below(names.log_file(self._family(wildcards), wildcards.dataset, self.settings.snapshot))

    def masks(self, wildcards: Wildcards) -> list[str]:
        """Mask files, in the order of the family's modules."""
        family = self._family(wildcards)
        return [self._below(names.mask_file(family, module)) for module in modules.sites(family)]

    def answers(self, wildcards: Wildcards) -> list[str]:
        """Answer files of one domain: the untouched model's, or those of all masked conditions in their order."""
        family = self._family(wildcards)
        return [self._below(names.answer_file(family, wildcards.domain, row.modules)) for row in self._rows(wildcards)]

    def conditions(self, wildcards: Wildcards) -> list[str]:
        """Names of the conditions behind `answers`, in the same order."""
        return [row.name for row in self._rows(wildcards)]

    def _rows(self, wildcards: Wildcards) -> list[Any]:
        rows = self.config.mmneuron.conditions[self._family(wildcards)]
        return [row for row in rows if bool(row.modules) == (wildcards.part != "none")]

    def _family(self, wildcards: Wildcards) -> str:
        return self.config.models[wildcards.model].family

    def _below(self, name: str) -> str:
        return f"{self.settings.folder}/{name}"
