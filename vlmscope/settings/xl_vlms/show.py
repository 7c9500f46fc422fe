"""Pages of concepts, of concept shift and of steering."""

from typing import Any

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section
from vlmscope.settings.xl_vlms.dictionaries import Method


class Pages(Section):
    """What stands on pages."""

    concepts: dict[Name, list[Method]] = Field(
        {}, description="set -> methods whose dictionaries have a page of cards; empty: every set by its main method"
    )
    local: list[Name] = Field(
        [], description="sets whose held-out samples have a page; empty: the first one of xl_vlms.dictionaries.sets"
    )
    samples: int = Field(40, ge=1, description="held-out samples on such a page, the first ones")
    strongest: int = Field(3, ge=1, description="most active concepts of each of them")
    images: int = Field(5, ge=1, description="pictures per concept and side on a page of concept shift")
    questions: int = Field(14, ge=1, description="questions of every answer type on a page of steering, the first ones")
    pixels: int = Field(144, ge=16, le=640, description="longest side of small pictures")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own = config.xl_vlms.show
    found = [("xl_vlms.show.concepts", name, config.xl_vlms.sets, "xl_vlms.sets") for name in own.concepts]
    return found + [("xl_vlms.show.local", name, config.xl_vlms.sets, "xl_vlms.sets") for name in own.local]


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    own, made = config.xl_vlms.show, config.xl_vlms.dictionaries
    found = [
        f"xl_vlms.show.{where} names {name}, which is not among xl_vlms.dictionaries.sets"
        for where, names in (("concepts", own.concepts), ("local", own.local))
        for name in names
        if name not in made.sets
    ]
    for name, methods in own.concepts.items():
        if others := [one for one in methods if one not in made.methods]:
            found.append(f"xl_vlms.show.concepts.{name} names {', '.join(others)}: not in xl_vlms.dictionaries.methods")
    return found
