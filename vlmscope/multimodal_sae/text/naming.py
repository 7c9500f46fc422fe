"""Names for latents by the texts that excite them (multimodal_sae.md 2.6).

They come from a model, from a server, or from the tokens themselves.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import polars as pl

from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.explain.naming import Kept, Talker, refined
from vlmscope.multimodal_sae.text import prompts
from vlmscope.multimodal_sae.text.pieces import REFERENCE, Pieces, Read
from vlmscope.session import progress
from vlmscope.store import files

LABELS = {
    "coder": pl.String,
    "explainer": pl.String,
    "latent": pl.Int64,
    "pieces": pl.List(pl.String),
    "promoted": pl.List(pl.String),
    "explanation": pl.String,
    "refined": pl.String,
}


class Explainer(Protocol):
    """Something that names what a latent stands for."""

    def explain(self, read: Read) -> str:
        """A description, or the released refusal."""
        ...


class Told:
    """A model that is told what to look for, and shown all pieces in one turn, as released.

    steps    asked for a chain of thought
    writes   told which tokens the latent makes likelier
    """

    def __init__(self, talker: Talker, most: int, *, steps: bool, writes: bool) -> None:
        self.talker, self.most, self.steps, self.writes = talker, most, steps, writes

    def explain(self, read: Read) -> str:
        """What stands behind the tag."""
        system = prompts.system(self.steps, self.writes)
        said = self.talker.say(system, [prompts.question(read, self.steps, self.writes)], self.most)
        if self.steps and explain_prompts.TAG in said:
            # A chain of thought may write the tag before it is done.
            said = explain_prompts.TAG + said.rpartition(explain_prompts.TAG)[2]
        return explain_prompts.parsed(said)


class Tokens:
    """Names the tokens that are marked in most pieces: what a name of tokens alone can reach, no model asked."""

    def explain(self, read: Read) -> str:
        """These tokens, most frequent first; the refusal where there are none."""
        counts = Counter(word for piece in read.pieces for word in dict.fromkeys(read.words(piece)))
        common = [word for word, count in counts.most_common() if count > len(read.pieces) / 2]
        return " ".join(common) or explain_prompts.REFUSAL


def chooser(cache: cache_files.Cache, settings: Mapping[str, Any]) -> Pieces:
    """Pieces of a cache as the settings have them."""
    return Pieces(cache, window=settings["window"], most=settings["examples"], share=settings["highlight"])


def from_files(
    caches: Mapping[str, str],
    settings: Mapping[str, Any],
    talkers: Callable[[str], Talker | None],
    state: str,
    code: str,
) -> tuple[pl.DataFrame, Kept]:
    """Table `LABELS` of every autoencoder's first latents with enough pieces; what to clear once it stands.

    caches     name of the autoencoder -> cache of texts
    settings   multimodal_sae.explain_texts, and who talks
    talkers    role (local, server, refiner) -> who talks; None where nobody does
    state      file of the answers so far
    """
    own = {name: value for name, value in settings.items() if name != "latents"}
    kept = Kept(state, files.digest_text(json.dumps([own, *map(files.digest, caches.values()), code], sort_keys=True)))
    found: list[dict[str, Any]] = []
    for coder, path in caches.items():
        with cache_files.opened(path) as cache:
            pieces = chooser(cache, settings)
            chosen = pieces.latents(settings["latents"])
            for name in settings["by"]:
                explainer = _explainer(name, settings, talkers)
                refiner = talkers("refiner") if name != "oracle" else None
                for latent in progress(chosen, len(chosen), f"latents, {name}, {coder}"):
                    row = _row(pieces.read(latent, REFERENCE), explainer, refiner, kept, f"{coder} {name} {latent}")
                    found.append({"coder": coder, "explainer": name, **row})
    return pl.DataFrame(found, schema=LABELS), kept


def _row(read: Read, explainer: Explainer, refiner: Talker | None, kept: Kept, key: str) -> dict[str, Any]:
    def explain() -> list[str]:
        said = explainer.explain(read)
        return [said, refined(refiner, said)]

    said, short = kept.get(key, explain)
    shown = {"pieces": [read.text(piece) for piece in read.pieces], "promoted": list(read.promoted)}
    return {"latent": read.latent, **shown, "explanation": said, "refined": short}


def _explainer(name: str, settings: Mapping[str, Any], talkers: Callable[[str], Talker | None]) -> Explainer:
    if name == "oracle":
        return Tokens()
    talker = talkers(name)
    assert talker is not None
    return Told(talker, settings["max_new_tokens"], steps=settings["cot"], writes=settings["logits"])
