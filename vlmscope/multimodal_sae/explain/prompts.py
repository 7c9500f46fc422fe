"""What explainers, refiners, labellers and judges are asked, and how answers are read (multimodal_sae.md 2.6, 2.7).

Tags, the refusal and the text of a failed parse are the released ones; the other words are ours.
"""

import re

TAG, REFINED = "[EXPLANATION]:", "[ANSWER]"
REFUSAL = "Unable to produce descriptions"
FAILED = "Response {text}. Explanation could not be parsed."
CONCEPTS = {
    "scene": "a place or a situation as a whole",
    "object": "a thing, an animal or a person",
    "part": "a piece of a thing, an animal or a person",
    "material": "what something is made of",
    "texture": "a pattern of a surface",
    "color": "a color",
}
OTHER = "other"
# Words of a description that name nothing.
SMALL = frozenset(("a", "an", "and", "at", "in", "of", "on", "or", "the", "to", "with"))

SYSTEM = (
    "You are a careful researcher who studies one neuron of a vision-language model by the pictures that excite it."
)
EXPLAIN = f"""These pictures excite the neuron most. Where it is silent they are dark; where it fires, bright.

Requirements:
1. Look only at the bright region. Pass over pictures with no bright region, or with nothing but a few bright spots.
2. Look for what the bright regions share: a pattern, an object or a concept.

Guidelines:
1. Describe the bright regions alone. Where they share nothing, answer "{REFUSAL}".
2. Be short and direct; do not interpret.
3. Begin the answer with "{TAG}".
"""
REFINE = f"""An explanation of what a neuron responds to follows. Name the thing itself in a short noun phrase.

A good one is kept. Explanation: railway tracks. {REFINED} railway tracks
A wordy one gives the thing. Explanation: The bright regions mostly show cell phones in a hand. {REFINED} cell phones
A refusal or a useless one: Explanation: {REFUSAL}, they have nothing in common. {REFINED} {REFUSAL}

Begin your answer with "{REFINED}".

Explanation: """
JUDGE = (
    "The pictures excite one neuron; only the regions in which it fires are bright. Does the description fit what the "
    "bright regions have in common? Answer 1 if it does and 0 if it does not, and nothing else.\n\nDescription: "
)
RELEVANCE = (
    "How far is the text about what the description names? Answer with a number from 1, not at all, to 10, entirely, "
    "and nothing else."
)
DETECT = "Does the picture show this? Answer 1 if it does and 0 if it does not, and nothing else.\n\nThis: "


SIMULATE = (
    "How much of the picture shows this? Answer with a whole number from 0 (none of it) to 10 (all of it), and nothing "
    "else.\n\nThis: "
)


def label_prompt() -> str:
    """The question after the class of a description."""
    lines = "\n".join(f"{name}: {meaning}" for name, meaning in CONCEPTS.items())
    return f"What does the description name? Answer with one of these words alone.\n\n{lines}\n\nDescription: "


def parsed(text: str, tag: str = TAG) -> str:
    """What stands behind the first tag, stripped; the released text of a failed parse where there is none."""
    found = re.search(re.escape(tag) + r"\s*(.*)", text, flags=re.DOTALL)
    return found[1].strip() if found else FAILED.format(text=text)


def refused(text: str) -> bool:
    """Nothing is described, as the released code tells it; neither is there where nothing could be parsed."""
    return REFUSAL in text or text.endswith(FAILED.partition("{text}")[2])


def concept(text: str) -> str:
    """A class of `CONCEPTS` from an answer; `other` for anything else."""
    word = re.sub(r"[^a-z]", "", text.strip().lower()).replace("colour", "color")
    return word if word in CONCEPTS else OTHER


def grade(text: str) -> int:
    """A whole number from 0 to 10 of a judge's answer, -1 for anything else."""
    found = re.fullmatch(r"\D*(\d+)(?:\s*(?:/|of|out of)\s*10)?\D*", text.strip())
    return int(found[1]) if found and int(found[1]) <= 10 else -1


def relevance_prompt(name: str, text: str) -> str:
    """The question how far a text is about a description, 1 to 10; the published words are not known."""
    return f"{RELEVANCE}\n\nDescription: {name}\n\nText: {text}"


def verdict(text: str) -> int:
    """0 or 1 of a judge's answer, -1 for anything else."""
    found = re.fullmatch(r"\D*([01])\D*", text.strip())
    return int(found[1]) if found else -1
