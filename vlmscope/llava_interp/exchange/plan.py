"""Which result files of the released code are read: input functions of the rules."""

from typing import Any

# The engine's wildcards; only attribute access is used.
Wildcards = Any


class Released:
    """Files of the released code as the configuration names them.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.imported = config.llava_interp.exchange.imported

    def models(self, kind: str) -> list[str]:
        """Models whose results of a kind (ablation, vqa, knockout) are read."""
        return [name for name, told in self.imported.items() if getattr(told, kind)]

    def ablation(self, wildcards: Wildcards) -> str:
        """Descriptions and polls."""
        return self.imported[wildcards.model].ablation

    def vqa(self, wildcards: Wildcards) -> str:
        """Answers to the pictures' questions."""
        return self.imported[wildcards.model].vqa

    def knockout(self, wildcards: Wildcards) -> str:
        """Answers under blocked attention."""
        return self.imported[wildcards.model].knockout
