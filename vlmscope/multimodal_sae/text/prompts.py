"""What is asked about latents that texts excite, and how ratings are read (multimodal_sae.md 2.6, 2.10).

Marks, tags and the layout of lists are the released ones; the other words and the worked examples are ours.
"""

import json
import re

from vlmscope.multimodal_sae.explain.prompts import TAG
from vlmscope.multimodal_sae.text.pieces import Read

HIGHEST = 3
SYSTEM = f"""You are a careful researcher who studies one neuron of a language model by the texts that excite it.
In every text the tokens at which it fires are marked with << and >>. Say in few words what they share, or what stands
around them in all texts. Do not list the examples and do not mention the marks. End with "{TAG} " and the description.
"""
LISTED = "\nBehind each text stand the marked tokens with how strongly the neuron fires, from 0 to 10."
STEPS = "\nFirst write down the marked tokens, then what stands around them, then what they share."
WRITES = "\nLast come tokens that the neuron makes likelier."
# Marked texts, what is thought on the way, tokens made likelier, description.
WORKED = (
    (("the <<cat>> sleeps", "two <<dogs>> run", "a <<horse>>"), "cat, dogs, horse: names of animals", "paw", "animals"),
    (("he sat<< on>> it", "put it<< in>> there"), "on, in: words before places", "top", "prepositions of place"),
    (("<<What>> is it?", "<<Where>> are they?"), "What, Where: beginnings of questions", "?", "question words"),
)
RATE = f"""A description of a neuron of a language model follows, then texts. Tokens at which it fires stand between <<
and >>. Rate for each text how well the description explains these tokens: 0 not at all, {HIGHEST} completely.
Answer with the list of ratings alone, such as [3, 0, 2].

Description: """


def system(steps: bool, writes: bool, listed: bool = True) -> str:
    """The instructions.

    steps    ask for a chain of thought
    writes   tell what the latent makes likelier
    listed   list activations
    """
    return SYSTEM + LISTED * listed + STEPS * steps + WRITES * writes


def question(read: Read, steps: bool, writes: bool, listed: bool = True) -> str:
    """Worked examples, then the latent's own texts."""
    parts = []
    for texts, thought, token, name in WORKED:
        lines = [f"Example {number}: {text}" for number, text in enumerate(texts, 1)]
        lines += [f"Tokens made likelier: {token}"] * writes + [thought] * steps
        parts.append("\n".join([*lines, f"{TAG} {name}"]))
    return "\n\n".join([*parts, own(read, writes, listed)])


def own(read: Read, writes: bool, listed: bool = True) -> str:
    """A latent's texts, numbered, with what else is told of them."""
    lines = []
    for number, piece in enumerate(read.pieces, 1):
        lines.append(f"Example {number}: {read.text(piece)}")
        lines += [f"Activations: {read.listed(piece)}"] * listed
    return "\n".join(lines + [f"Tokens made likelier: {', '.join(read.promoted)}"] * writes)


def rating(read: Read, text: str) -> str:
    """The request for ratings of all texts of a latent."""
    return f"{RATE}{text}\n\n{own(read, writes=False, listed=False)}"


def ratings(said: str, count: int) -> list[int]:
    """The first list in brackets, if it has a rating of 0 to 3 for every text; none otherwise."""
    found = re.search(r"\[[\d,\s]*\]", said)
    try:
        given = json.loads(found[0]) if found else []
    except ValueError:
        return []
    return given if len(given) == count and all(0 <= one <= HIGHEST for one in given) else []
