"""Does a description fit what a latent's pictures have in common (2.7), and does a picture show it?

1, 0, or -1 where it could not be told; `grade` gives 0 to 10.
"""

from collections.abc import Sequence

from PIL import Image

from vlmscope.multimodal_sae.explain import oracle
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain.naming import Talker
from vlmscope.multimodal_sae.explain.oracle import Truth
from vlmscope.multimodal_sae.explain.shown import Shown

MATCH = "match"
# Pixels of a side at which objects are looked for.
LOOK = 64


class Match:
    """Compares words with the masks: an offline stand-in for a judge that looks."""

    def __init__(self, truth: Truth) -> None:
        self.truth, self.words = truth, truth.words

    def judge(self, text: str, shown: Shown) -> int:
        """1 where in most pictures all known words are true of the object that the region covers most."""
        said = oracle.known(text, self.words)
        return int(bool(said) and sum(said <= words for words in self.covered(shown)) > len(shown.images) / 2)

    def shows(self, text: str, image: int, picture: Image.Image) -> int:
        """1 where all known words are true of one object of the picture."""
        return int(self.truth.region(image, oracle.known(text, self.words), LOOK) is not None)

    def grade(self, text: str, image: int, picture: Image.Image) -> float:
        """Ten times the share of the picture that shows objects of which all known words are true."""
        found = self.truth.region(image, oracle.known(text, self.words), LOOK)
        return 0.0 if found is None else 10 * float(found.mean())

    def covered(self, shown: Shown) -> Sequence[frozenset[str]]:
        """Words of the object that shares most pixels with each active region; none where no object does."""
        found = []
        for image, region in zip(shown.images, shown.regions(dilated=False), strict=True):
            shares = [((mask & region).sum(), words) for words, mask in self.truth.sized(image, shown.size)]
            most, words = max(shares, key=lambda one: one[0], default=(0, frozenset()))
            found.append(words if most else frozenset())
        return found


class Asked:
    """A model that is shown the darkened pictures and the description."""

    def __init__(self, talker: Talker) -> None:
        self.talker = talker

    def judge(self, text: str, shown: Shown) -> int:
        """What it answers."""
        return explain_prompts.verdict(self.talker.say("", [*shown.masked, explain_prompts.JUDGE + text], 8))

    def shows(self, text: str, image: int, picture: Image.Image) -> int:
        """What it answers about the picture as it is."""
        return explain_prompts.verdict(self.talker.say("", [picture, explain_prompts.DETECT + text], 8))

    def grade(self, text: str, image: int, picture: Image.Image) -> float:
        """What it answers about the picture as it is."""
        return explain_prompts.grade(self.talker.say("", [picture, explain_prompts.SIMULATE + text], 8))
