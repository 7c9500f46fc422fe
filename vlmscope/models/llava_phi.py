"""LLaVA with a Phi-3 decoder, whose gate and up projections are one matrix (llava_interp.md 4).

Phi-3 splits the product of `gate_up_proj` before the activation: the output of `activation_fn` is the gate alone.
The template is that of the checkpoint's model card; it publishes no chat template.
"""

from dataclasses import replace

from vlmscope.models import llava, parts

FAMILY = replace(
    llava.FAMILY,
    name="llava_phi",
    sites={**llava.FAMILY.sites, **parts.decoder("model.language_model", gate="mlp.activation_fn")},
    template="<|user|>\n{prompt}<|end|>\n<|assistant|>\n",
    close="<|end|>\n",
)
