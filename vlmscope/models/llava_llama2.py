"""LLaVA 1.0 with Llama-2 chat and a single linear projector (mm_neurons.md 4.2).

The projector class has two layers: the official matrix is the first, the second is the identity and the activation
between them is `linear`. Nothing is gated there, so the family has no `projector_gate`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vlmscope.models import llava, parts
from vlmscope.models.base import ModelConfig

SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)


def processor(folder: Path, config: ModelConfig) -> Any:
    """That of LLaVA; the converted release has no token `<image>`, another of its tokens stands for the picture."""
    inner = llava.processor(folder, config)
    mark = inner.tokenizer.convert_ids_to_tokens(config.image_token_id)
    if mark == inner.image_token:
        return inner
    inner.image_token, inner.image_token_id = mark, config.image_token_id
    return parts.Marked(inner, mark)


FAMILY = replace(
    llava.FAMILY,
    name="llava_llama2",
    processor=processor,
    sites={name: site for name, site in llava.FAMILY.sites.items() if name != "projector_gate"},
    without={"projector_gate": "its projector is linear"},
    template="[INST] <<SYS>>\n" + SYSTEM + "\n<</SYS>>\n\n{prompt} [/INST]",
    gap="",
)
