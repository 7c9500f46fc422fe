"""Files of the released code, in and out."""

from typing import Any, Literal

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section


class Sides(Section):
    """Feature files of the learn-to-steer code, for train and val."""

    wanted: tuple[str, str] = Field(description="files of the wanted answers")
    opposite: tuple[str, str] = Field(description="files of the opposite ones")


class Exchange(Section):
    """Files of the released code (docs/formats.md)."""

    imported: dict[Name, dict[Name, str]] = Field(
        {}, description="per model and vector set, a feature file that is read instead of the capture"
    )
    position: int | None = Field(
        None, description="which position of imported states of several is taken; empty: the mean over them"
    )
    part: Literal["outputs/average", "outputs/last_input", "inputs/last_raw_input"] = Field(
        "outputs/average", description="which state of imported learn-to-steer features makes a vector"
    )
    forced: dict[Name, dict[Name, Sides]] = Field(
        {}, description="per model and task of learned steering, learn-to-steer features that are read instead"
    )


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    found: list[Reference] = []
    for model, files in config.xl_vlms.exchange.imported.items():
        found.append(("xl_vlms.exchange.imported", model, config.models, "models"))
        found += [(f"xl_vlms.exchange.imported.{model}", key, config.xl_vlms.sets, "xl_vlms.sets") for key in files]
    for model, tasks in config.xl_vlms.exchange.forced.items():
        known, where = config.xl_vlms.learned.tasks, "xl_vlms.exchange.forced"
        found.append((where, model, config.models, "models"))
        found += [(f"{where}.{model}", key, known, "xl_vlms.learned.tasks") for key in tasks]
    return found
