"""What the workflow needs to know of a model family: named sites, image tokens, prompts, geometry.

A family is one file in this folder with a constant `FAMILY`; the contract tests find it by itself.
"""

import functools
import importlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vlmscope.errors import VlmscopeError

# A transformers configuration object; kept loose so that this module imports neither torch nor transformers.
ModelConfig = Any
Stream = Literal["text", "vision", "projector", "attention"]

# Sites that every family has, or says why it has not (`Family.without`); others are a family's own.
SITES = {
    "embeds": "merged text and image embeddings that enter block 0",
    "resid_pre": "residual stream before a decoder block",
    "resid_post": "residual stream behind a decoder block",
    "attn_out": "what attention adds to the stream",
    "attn_prob": "attention probabilities, [sample, head, query, key]; read-only, eager attention",
    "mlp_gate": "output of the activation function of the gate branch",
    "mlp_hidden": "input of the down projection (gate times up)",
    "mlp_out": "what the MLP adds to the stream",
    "final_norm": "output of the norm before the unembedding",
    "logits": "output of the unembedding",
    "vision_gate": "output of the activation function in the vision tower",
    "vision_resid": "residual stream behind a block of the vision tower",
    "projector_gate": "output of the activation function in the projector",
    "image_embeds": "picture features behind the projector, on their way to the decoder",
}


@dataclass(frozen=True)
class Site:
    """A named place in the forward pass.

    path      dotted module path, `{l}` for the layer number
    side      the module's output (the first, where it gives several), or the first argument that enters it;
              for attention the second output
    layers    number of layers, from the model's configuration
    width     number of units, from the model's configuration: the size of the last axis, for attention the heads
    stream    which positions the tensor has: text [sample, token, unit], vision and projector [tile, patch, unit],
              attention [sample, head, query, key]
    columns   linear module whose input columns are this site's units ("" if there is none): zeroing a unit
              equals zeroing its column (mmneuron.md 2.4)
    inert     layers that are computed but whose result is never used
    real      input tensor that is 0 where positions of this site are padding ("" where there is no padding, or where
              the stream is text: attention_mask)
    """

    path: str
    side: Literal["output", "input"]
    layers: Callable[[ModelConfig], int]
    width: Callable[[ModelConfig], int]
    stream: Stream
    columns: str = ""
    inert: Callable[[ModelConfig], frozenset[int]] = field(default=lambda config: frozenset())
    real: str = ""


@dataclass(frozen=True)
class Family:
    """One architecture as the workflow sees it.

    model_class        class name in transformers, or dotted path of a class of this package
    processor          builds the processor of a checkpoint folder
    sites              site name -> place; the only names that rules, configs and methods use
    template           text around a prompt that is to be answered; `{prompt}` contains `<image>`
    wording            pieces of a benchmark's prompt -> what the model is told instead, in this order
    image_token        token id that stands for one image position
    vision_positions   positions of the vision tower for a picture of (width, height), class tokens included; asks the
                       configuration and, where the checkpoint sets how pictures are cut, its processor
    norm, head         module paths of the final norm and the unembedding, for lenses; "" where no text is written
    alike              pictures of (width, height) may share a batch where this is the same, asked as above
    without            site of `SITES` that there is none of -> why
    norm_offset        what the final norm adds to its weight: 1 where the weight is the gain less 1
    gap                what stands between a template and words that the answer is begun with; nothing where the
                       template ends with a space or a line of its own
    close              what ends a turn where conversations go on, of both sides; "" where no conversation is held
    line               what the checkpoint's own chat template puts between a picture and the words behind it
    flags              argument by which the decoder is told which embeddings are a picture's; "" where it does not ask
    """

    name: str
    model_class: str
    processor: Callable[[Path, ModelConfig], Any]
    sites: Mapping[str, Site]
    template: str
    image_token: Callable[[ModelConfig], int]
    vision_positions: Callable[[ModelConfig, Any, int, int], int]
    norm: str
    head: str
    without: Mapping[str, str] = field(default_factory=dict)
    wording: Mapping[str, str] = field(default_factory=dict)
    norm_offset: float = 0.0
    flags: str = ""
    gap: str = " "
    close: str = ""
    line: str = "\n"
    alike: Callable[[ModelConfig, Any, int, int], Hashable] = field(default=lambda config, processor, width, height: 0)

    def chat(self, prompt: str, begin: str = "") -> str:
        """A benchmark's prompt as the model is asked it: in its wording, within its template.

        begin   words that the answer is begun with (`add_prompt`, mm_neurons.md 2.2)
        """
        gap = "" if not begin or self.template[-1].isspace() else self.gap
        return self.template.replace("{prompt}", self.worded(prompt)) + gap + begin

    def turn(self, words: str, begin: str = "") -> str:
        """A picture and words as the checkpoint's own chat template writes them (xl_vlms.md 2.1).

        Benchmarks put a line behind the picture whatever the template does; here only the template does.
        """
        return self.chat(f"<image>{self.line}{words}", begin)

    def talk(self, turns: Iterable[tuple[str, str]]) -> str:
        """A whole conversation as the checkpoint's own chat template writes it, ready for no answer.

        turns   who speaks (user, assistant, system) and what is said; pictures stand as `<image>` in the words
        """
        if not self.close:
            raise VlmscopeError(
                f"The family {self.name} holds no conversations.",
                where="captures.*.prompt: talk",
                instead="prompt: chat, or a model whose template ends every turn",
            )
        user, _, answer = self.template.partition("{prompt}")
        begins = {"user": user, "assistant": answer.removeprefix(self.close), "system": user.replace("user", "system")}
        return "".join(begins[role] + self.worded(words) + self.close for role, words in turns)

    def worded(self, prompt: str) -> str:
        """A prompt, or a piece of one, with this model's wording."""
        for usual, own in self.wording.items():
            prompt = prompt.replace(usual, own)
        return prompt

    def site(self, name: str) -> Site:
        """The site of that name, or an error that lists the names there are."""
        if name not in self.sites:
            reason = f": {self.without[name]}" if name in self.without else ""
            raise VlmscopeError(
                f"The family {self.name} has no site '{name}'{reason}.",
                where="captures.*.take in the configuration",
                instead="one of: " + ", ".join(self.sites),
            )
        return self.sites[name]


def family(name: str) -> Family:
    """The family in `vlmscope/models/<name>.py`."""
    try:
        return importlib.import_module(f"vlmscope.models.{name}").FAMILY
    except (ModuleNotFoundError, AttributeError) as error:
        # A family that fails to import something else is broken, not unknown.
        if isinstance(error, ModuleNotFoundError) and error.name != f"vlmscope.models.{name}":
            raise
        raise VlmscopeError(
            f"There is no model family '{name}'.",
            where="models.*.family in the configuration",
            instead="one of: " + ", ".join(names()),
        ) from None


@functools.cache
def site_names() -> frozenset[str]:
    """Sites of all families together."""
    return frozenset(site for name in names() for site in family(name).sites)


def names() -> list[str]:
    """All families: the modules of this folder that define `FAMILY`."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if "\nFAMILY = " in path.read_text(encoding="utf-8"):
            found.append(path.stem)
    return found
