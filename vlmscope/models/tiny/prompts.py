"""The prompts that the embedded model is trained on: those of the workflow, cut where packing needs it.

A prompt is head + stem + question + tail; the answer follows. The head ends after the picture, the stem before the
question, so one picture's questions share both. Strings after mmneuron.md 5.7.
"""

from typing import NamedTuple

from vlmscope.world.scene import Question

IMAGE = "<image>"
END = "</s>"
DESCRIBE = "describe the image."
LETTERS = "ABCD"

_CHAT = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: "
)
_REPLY = " ASSISTANT:"
_ROLE = (
    "Role: You are an advanced AI assistant installed on the Ego vehicle, equipped with conversational analysis "
    "capabilities for discussing autonomous driving scenarios. The perspective presented is from the point-of-view of "
    "the Ego vehicle, where the camera is mounted. It's important to note that the Ego vehicle itself is not visible "
    "in the images provided. "
)
_SHORT = "\nAnswer the question using a single word or phrase."
_LETTER = "\n\nAnswer with the option's letter from the given choices directly."


class Prompt(NamedTuple):
    """The four pieces of a prompt."""

    head: str
    stem: str
    question: str
    tail: str

    def text(self) -> str:
        """The prompt in one piece, one `<image>` where the picture goes."""
        return "".join(self)


def official(domain: str, question: Question) -> Prompt:
    """The full prompt of a benchmark question."""
    return Prompt(
        head=f"{_CHAT}{IMAGE}\n",
        stem=f"{_ROLE if domain == 'ad' else ''}Question:",
        question=f" {question.text}",
        tail=_tail(domain, question) + _REPLY,
    )


def bare(question: Question) -> Prompt:
    """The short prompt of recording runs: picture and question, nothing else."""
    return Prompt(head=f"{IMAGE}\n", stem="", question=question.text, tail="")


def caption(is_bare: bool) -> Prompt:
    """The prompt that asks for a caption."""
    if is_bare:
        return Prompt(f"{IMAGE}\n", "", DESCRIBE, "")
    return Prompt(f"{_CHAT}{IMAGE}\n", "", DESCRIBE, _REPLY)


def options(question: Question) -> list[str]:
    """The choices as PMC-VQA writes them, ` A:lung `."""
    return [f" {letter}:{choice} " for letter, choice in zip(LETTERS, question.choices, strict=True)]


def letter(question: Question) -> str:
    """The letter of the true choice."""
    return LETTERS[question.choices.index(question.answer)]


def _tail(domain: str, question: Question) -> str:
    if domain == "ad":
        return ""
    return f"\nContext: N/A\nOptions: {options(question)}{_LETTER}" if domain == "med" else _SHORT
