"""The five systems, in the order of the page."""

from vlmscope.report import llava_interp, mm_neurons, mmneuron, multimodal_sae, xl_vlms
from vlmscope.report.result import System

SYSTEMS: tuple[System, ...] = (
    mmneuron.SYSTEM,
    mm_neurons.SYSTEM,
    xl_vlms.SYSTEM,
    multimodal_sae.SYSTEM,
    llava_interp.SYSTEM,
)
