"""The prompts that the embedded models are trained on: those of the workflow, cut where packing needs it.

A prompt is head + stem + question + tail; the answer follows. The head ends after the picture, the stem before the
question, so one picture's questions share both. Strings after mmneuron.md 5.7; what stands around them is the chat
template of the model family.
"""

from typing import NamedTuple

from vlmscope.models.base import Family
from vlmscope.world.scene import Question

IMAGE = "<image>"
DESCRIBE = "describe the image."
LETTERS = "ABCD"

_ROLE = (
    "Role: You are an advanced AI assistant installed on the Ego vehicle, equipped with conversational analysis "
    "capabilities for discussing autonomous driving scenarios. The perspective presented is from the point-of-view of "
    "the Ego vehicle, where the camera is mounted. It's important to note that the Ego vehicle itself is not visible "
    "in the images provided. "
)
_SHORT = "\nAnswer the question using a single word or phrase."
_LETTER = "\n\nAnswer with the option's letter from the given choices directly."
BARE = "{prompt}"


class Prompt(NamedTuple):
    """The four pieces of a prompt."""

    head: str
    stem: str
    question: str
    tail: str

    def text(self) -> str:
        """The prompt in one piece, one `<image>` where the picture goes."""
        return "".join(self)

    def reply(self, answer: str) -> str:
        """The answer as it continues the prompt: after a space, unless the prompt ends with a line of its own."""
        return answer if self.tail.endswith("\n") else f" {answer}"


def official(own: Family, domain: str, question: Question) -> Prompt:
    """The full prompt of a benchmark question in a model's wording and template."""
    stem = f"{_ROLE if domain == 'ad' else ''}Question:"
    pieces = (f"{IMAGE}\n", stem, f" {question.text}", _tail(domain, question))
    return _around(own.template, *(own.worded(piece) for piece in pieces))


def plain(template: str, question: Question) -> Prompt:
    """The question alone inside a chat template; with the template `BARE` the prompt of recording runs."""
    return _around(template, f"{IMAGE}\n", "", question.text, "")


def caption(template: str) -> Prompt:
    """The prompt that asks for a caption."""
    return _around(template, f"{IMAGE}\n", "", DESCRIBE, "")


def options(question: Question) -> list[str]:
    """The choices as PMC-VQA writes them, ` A:lung `."""
    return [f" {letter}:{choice} " for letter, choice in zip(LETTERS, question.choices, strict=True)]


def _around(template: str, head: str, stem: str, question: str, tail: str) -> Prompt:
    before, after = template.split("{prompt}")
    return Prompt(before + head, stem, question, tail + after)


def _tail(domain: str, question: Question) -> str:
    if domain == "ad":
        return ""
    return f"\nContext: N/A\nOptions: {options(question)}{_LETTER}" if domain == "med" else _SHORT
