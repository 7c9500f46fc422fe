"""Files that the steps of this system leave of a model, as those that show or export them read them."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Results:
    """Paths; what each file holds: docs/formats.md."""

    captions: str
    nouns: str
    tokens: str
    neurons: str
    maps: str
    effects: str

    @classmethod
    def of(cls, paths: Any) -> "Results":
        """From the attributes of the same names; others are left alone."""
        return cls(**{field.name: str(getattr(paths, field.name)) for field in fields(cls)})
