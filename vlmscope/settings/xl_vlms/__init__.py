"""Settings of system 3, concept dictionaries, concept shift and steering."""

from typing import Any

from pydantic import Field

from vlmscope.settings.base import Name, Reference, Section
from vlmscope.settings.xl_vlms import captions, dictionaries, exchange, learned, shift, show, steer, vectors
from vlmscope.settings.xl_vlms.captions import Captions
from vlmscope.settings.xl_vlms.data import CAPTURES, DATASETS
from vlmscope.settings.xl_vlms.dictionaries import Dictionaries
from vlmscope.settings.xl_vlms.exchange import Exchange
from vlmscope.settings.xl_vlms.learned import Learned
from vlmscope.settings.xl_vlms.shift import Shift
from vlmscope.settings.xl_vlms.show import Pages
from vlmscope.settings.xl_vlms.steer import Steer, Vector
from vlmscope.settings.xl_vlms.vectors import VectorSet

__all__ = ["CAPTURES", "DATASETS", "DEFAULT", "XLVLMs", "names", "problems"]


class XLVLMs(Section):
    """System 3."""

    sets: dict[Name, VectorSet] = Field({}, description="catalogue of vector sets: which states are looked at")
    vectors: dict[Name, Vector] = Field({}, description="catalogue of steering vectors")
    steer: Steer = Field(Steer(), description="how steering vectors are tried out")
    captions: Captions = Field(Captions(), description="captions under steering")
    learned: Learned = Field(Learned(), description="steering with a vector for every prompt, made by a network")
    exchange: Exchange = Field(Exchange(), description="files of the released code")
    dictionaries: Dictionaries = Field(Dictionaries(), description="how the states of a word become concepts")
    shift: Shift = Field(Shift(), description="how concepts move when a model is fine-tuned")
    show: Pages = Field(Pages(), description="pages of concepts, of concept shift and of steering")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    wanted: list[Reference] = [("run.xl_vlms", name, config.models, "models") for name in config.run.xl_vlms]
    return (
        wanted
        + vectors.names(config)
        + exchange.names(config)
        + dictionaries.names(config)
        + shift.names(config)
        + steer.names(config)
        + captions.names(config)
        + learned.names(config)
        + show.names(config)
    )


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    return (
        vectors.problems(config)
        + dictionaries.problems(config)
        + shift.problems(config)
        + steer.problems(config)
        + captions.problems(config)
        + learned.problems(config)
        + show.problems(config)
    )


DEFAULT: dict[str, Any] = {
    "sets": vectors.DEFAULT | captions.SETS,
    **steer.DEFAULT,
    "vectors": steer.VECTORS | captions.VECTORS,
    "captions": captions.DEFAULT,
    "learned": learned.DEFAULT,
    "shift": shift.DEFAULT,
}
