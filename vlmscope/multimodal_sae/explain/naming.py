"""Names for latents: an explainer looks at pictures, a refiner shortens its answer, a labeller says of what kind it is.

Whoever talks (`Talker`) is a model of the catalogue or a server; the explainer that knows the masks (oracle.py) needs
neither. Every answer is kept as it comes, so a run that broke off goes on.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from PIL import Image

from vlmscope import samples
from vlmscope.capture import batches
from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import oracle, prompts
from vlmscope.multimodal_sae.explain.shown import REFERENCE, Chooser, Shown
from vlmscope.multimodal_sae.schemas import LABELS
from vlmscope.raw import read_manifest
from vlmscope.samples import Sample
from vlmscope.session import progress
from vlmscope.store import files

# Words that say nothing about a picture.
FILLERS = frozenset(
    ["a", "an", "and", "at", "in", "is", "it", "no", "of", "on", "picture", "the", "this", "to", "with", "yes"]
)


class Talker(Protocol):
    """Something that answers."""

    def say(self, system: str, parts: Sequence[str | Image.Image], most: int = 0) -> str:
        """The answer to one turn of words and pictures, without chance; `most` new tokens, 0 for no limit."""
        ...


class Explainer(Protocol):
    """Something that names what a latent stands for."""

    def explain(self, shown: Shown) -> str:
        """A description, or the released refusal."""
        ...


class Together:
    """All pictures in one turn with the instructions, the answer behind a tag, as released."""

    def __init__(self, talker: Talker, most: int) -> None:
        self.talker, self.most = talker, most

    def explain(self, shown: Shown) -> str:
        """What stands behind the tag."""
        said = self.talker.say(prompts.SYSTEM, [prompts.EXPLAIN, *shown.masked], self.most)
        return prompts.parsed(said)


class OneByOne:
    """One plain question about every picture, for models that follow no instructions: words most answers share.

    question   about a picture
    """

    def __init__(self, talker: Talker, question: str, most: int) -> None:
        self.talker, self.question, self.most = talker, question, most

    def explain(self, shown: Shown) -> str:
        """The shared words, most frequent first, or the released refusal."""
        return shared([self.talker.say("", [one, self.question], self.most) for one in shown.masked])


def shared(answers: Sequence[str]) -> str:
    """Words in more than half of the answers, most frequent first; the refusal where there is none."""
    said = [dict.fromkeys(re.findall(r"[a-z]+", answer.lower())) for answer in answers]
    counts = Counter(word for words in said for word in words if word not in FILLERS)
    common = [word for word, count in counts.most_common() if count > len(answers) / 2]
    return " ".join(common) or prompts.REFUSAL


# ---- behind an explanation ---------------------------------------------------------------------------------------


def refined(talker: Talker | None, text: str) -> str:
    """A short noun phrase; refusals stay what they are, and without a talker so does everything."""
    if talker is None or prompts.refused(text):
        return text
    return prompts.parsed(talker.say("", [prompts.REFINE + text]), prompts.REFINED)


def labelled(talker: Talker | None, text: str, words: Callable[[], dict[str, str]]) -> str:
    """The class of a description, empty for a refusal; without a talker that of the words it names."""
    if prompts.refused(text):
        return ""
    if talker is None:
        return oracle.concept(text, words())
    return prompts.concept(talker.say("", [prompts.label_prompt() + text], 16))


class Kept:
    """Answers of a run, a line each, for a later run to go on from.

    digest   of what decides them; answers of another one are thrown away
    """

    def __init__(self, path: str | Path, digest: str) -> None:
        self.path, self.known = Path(path), {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        if lines[:1] == [digest]:
            self.known = dict(filter(None, map(_line, lines[1:])))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = [digest, *(json.dumps([key, value]) for key, value in self.known.items())]
        files.write_text("".join(f"{line}\n" for line in whole), self.path)

    def get(self, key: str, make: Callable[[], list[str]]) -> list[str]:
        """What is known under a key, made now where it is not."""
        if key not in self.known:
            self.known[key] = make()
            with open(self.path, "a", encoding="utf-8") as handle:
                handle.write(json.dumps([key, self.known[key]]) + "\n")
        return self.known[key]

    def clear(self) -> None:
        """Forget everything, once it stands elsewhere."""
        self.path.unlink(missing_ok=True)


def _line(text: str) -> tuple[str, list[str]] | None:
    """An answer that was kept; None for a line that a kill cut short."""
    try:
        key, value = json.loads(text)
    except ValueError:
        return None
    return key, value


# ---- files -------------------------------------------------------------------------------------------------------


def pictures(raws: Sequence[str], tables: Sequence[str], names: Sequence[str]) -> tuple[list[Sample], Any]:
    """Samples of a cache in its order, and the reader of their pictures by number."""
    sets = [(read_manifest(raw), samples.read(table)) for raw, table in zip(raws, tables, strict=True)]
    found = {one.sample: (one, batches.picture_of(manifest["root"])) for manifest, some in sets for one in some}
    if missing := [name for name in names if name not in found]:
        raise VlmscopeError(f"The cache knows {missing[0]}, the sample tables do not.", where=str(tables))
    return [found[name][0] for name in names], lambda number: found[names[number]][1](found[names[number]][0])


def rows(
    chooser: Chooser, chosen: Sequence[int], explain: Callable[[Shown], list[str]], about: Mapping[str, str], kept: Kept
) -> Iterator[dict[str, Any]]:
    """Rows of `LABELS` of some latents; what `explain` gives is description, refined one and class."""
    for latent in progress(chosen, len(chosen), f"latents, {about['explainer']}, {about['coder']}"):
        shown = chooser.shown(latent, REFERENCE)
        key = f"{about['coder']} {about['explainer']} {latent}"
        said = kept.get(key, lambda shown=shown: explain(shown))
        names = [chooser.cache.samples[image] for image in shown.images]
        told = dict(zip(("explanation", "refined", "concept"), said, strict=True))
        yield {**about, "latent": latent, "pictures": names, **told}


def from_files(
    caches: Mapping[str, str],
    *,
    raws: Sequence[str],
    tables: Sequence[str],
    settings: Mapping[str, Any],
    talkers: Callable[[str], Talker | None],
    state: str,
    code: str,
) -> tuple[pl.DataFrame, Kept]:
    """Table `LABELS` of every autoencoder's first latents with enough pictures; what to clear once it stands.

    caches     name of the autoencoder -> cache
    settings   multimodal_sae.explain
    talkers    role (explainer, refiner, labeller) -> who talks; None where nobody does
    state      file of the answers so far
    """
    read = [files.digest(path) for path in (*caches.values(), *raws, *tables)]
    kept = Kept(state, files.digest_text(json.dumps([_deciding(settings), read, code], sort_keys=True)))
    found: list[dict[str, Any]] = []
    for coder, path in caches.items():
        with cache_files.opened(path) as cache:
            own, picture = pictures(raws, tables, cache.samples)
            truth = oracle.Truth(own, picture)
            chooser = Chooser(cache, picture, most=settings["examples"], size=settings["size"])
            chosen = chooser.latents(settings["latents"])
            for name in settings["by"]:
                explainer = _explainer(name, truth, settings, talkers)
                about = {"coder": coder, "explainer": name}
                steps = _steps(explainer, name, truth, talkers)
                found += rows(chooser, chosen, steps, about, kept)
    return pl.DataFrame(found, schema=LABELS), kept


def _deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that decide only where a server is and how far a run goes."""
    kept = {name: value for name, value in settings.items() if name != "latents"}
    for role, talk in kept.items():
        if isinstance(talk, dict):
            kept[role] = {name: talk[name] for name in ("by", "model")}
    return kept


def _explainer(
    name: str, truth: oracle.Truth, settings: Mapping[str, Any], talkers: Callable[[str], Talker | None]
) -> Explainer:
    if name == "oracle":
        return oracle.Oracle(truth, settings["least"])
    talker = talkers(name)
    assert talker is not None
    if settings["style"] == "together":
        return Together(talker, settings["max_new_tokens"])
    return OneByOne(talker, settings["question"], settings["max_new_tokens"])


def _steps(
    explainer: Explainer, name: str, truth: oracle.Truth, talkers: Callable[[str], Talker | None]
) -> Callable[[Shown], list[str]]:
    """Description, refined one and class of a latent; what knows the masks already names the thing itself."""
    refiner = talkers("refiner") if name != "oracle" else None
    labeller = talkers("labeller")

    def explain(shown: Shown) -> list[str]:
        said = explainer.explain(shown)
        short = refined(refiner, said)
        return [said, short, labelled(labeller, short, lambda: truth.words)]

    return explain
