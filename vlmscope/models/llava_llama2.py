"""LLaVA 1.0 with Llama-2 chat and a single linear projector (mm_neurons.md 4.2).

The projector class has two layers: the official matrix is the first, the second is the identity and the activation
between them is `linear`. Nothing is gated there, so the family has no `projector_gate`.
"""

from dataclasses import replace

from vlmscope.models import llava

SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)

FAMILY = replace(
    llava.FAMILY,
    name="llava_llama2",
    sites={name: site for name, site in llava.FAMILY.sites.items() if name != "projector_gate"},
    template="[INST] <<SYS>>\n" + SYSTEM + "\n<</SYS>>\n\n{prompt} [/INST]",
)
