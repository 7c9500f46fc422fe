"""LLaVA-NeXT with a Llama-3 decoder: other words around the prompt, all else as in LLaVA-NeXT (multimodal_sae.md 4)."""

from dataclasses import replace

from vlmscope.models import llava_next

LLAMA3 = (
    "<|start_header_id|>user<|end_header_id|>\n\n{prompt}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)

FAMILY = replace(llava_next.FAMILY, name="llava_next_llama3", template=LLAMA3, close="<|eot_id|>")
