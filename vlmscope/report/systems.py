"""The five systems, in the order of the page, and what holds them against each other."""

from vlmscope.report import atlas, llava_interp, mm_neurons, mmneuron, multimodal_sae, xl_vlms
from vlmscope.report.result import System

SYSTEMS: tuple[System, ...] = (
    mmneuron.SYSTEM,
    mm_neurons.SYSTEM,
    xl_vlms.SYSTEM,
    multimodal_sae.SYSTEM,
    llava_interp.SYSTEM,
    atlas.SYSTEM,
)
