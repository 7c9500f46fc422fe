"""Ways to choose visual tokens whose loss may cost the answer, from files to records (llava_interp.md 9c).

Rules that know nothing of the object rank tokens by what the last position pays to them or by their lengths; the lens
rules know the class's name. Every rule takes the same numbers of tokens as a random one does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vlmscope.llava_interp.ablation.choices_tables import CHOICES
from vlmscope.llava_interp.asking import experiments, prompts, tokens
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.prompts import Asked, Word
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.asking.tokens import Condition
from vlmscope.llava_interp.attention import rollout
from vlmscope.llava_interp.lens import reading
from vlmscope.llava_interp.lens.reading import Reading
from vlmscope.models.load import Loaded


def from_files(own: Bench, samples: str) -> Found:
    """Records `CHOICES` of the pictures' own questions, the untouched one first, and the funnel of pictures.

    settings   objects, asking, choices; value: mean, zero
    """
    told = own.told["choices"]
    asked, funnel = experiments.questioned(own, samples, told["images"])
    return experiments.gathered(own, asked, lambda one: _of_picture(own, one), CHOICES), funnel


def _of_picture(own: Bench, target: Target) -> Iterator[Record]:
    asked, word, plain = experiments.question(own, target)
    yield _record(target, Condition("none", None, ()), plain)
    if not experiments.right(plain):
        return
    sets = list(conditions(own, target, asked, word))
    found = prompts.next_logits(own.loaded, [(asked, one.tokens) for one in sets], own.value, own.batch)
    for one, logits in zip(sets, found, strict=True):
        yield _record(target, one, prompts.told(own.loaded, logits, word))


def _record(target: Target, one: Condition, told: Mapping[str, Any]) -> Record:
    places = {"condition": one.family, "size": one.size, "tokens": len(one.tokens), "indices": list(one.tokens)}
    inside = {"on_object": len(set(one.tokens) & set(target.patches)) / len(one.tokens) if one.tokens else None}
    return dict.fromkeys(CHOICES) | experiments.named(target) | places | inside | dict(told)


def conditions(own: Bench, target: Target, asked: Asked, word: Word) -> Iterator[Condition]:
    """Every set of one picture."""
    told = own.told["choices"]
    read = reading.read(own.loaded, asked, word.right, k=1)
    for rule, values in scores(own.loaded, asked, read).items():
        for k, found in tokens.ranked(values, told["sizes"]).items():
            yield Condition(rule, k, tuple(found))
    for k in told["sizes"]:
        draws = tokens.seeded(told["seed"], target.image_id, "choices", k)
        yield Condition("object", k, tuple(draws.sample(target.patches, min(k, len(target.patches)))))
        yield Condition("random", k, tuple(tokens.drawn(draws, asked.visual, k)))
    yield from said(target, asked, word, read, told["seed"])


def scores(loaded: Loaded, asked: Asked, read: Reading) -> dict[str, np.ndarray]:
    """Rule -> how early a visual token is taken, float [V].

    attention   of the last position, averaged over heads and layers; rollout: the product of all layers
    norm        length behind the projector; norm_tower: in front of it
    lens        the class's largest probability of all layers
    """
    every, last, seen = rollout.heads(loaded, asked), len(asked.ids) - 1, slice(asked.first, asked.end)
    found = {
        "attention" if name == "direct" else name: method(every, last)[seen].numpy()
        for name, method in rollout.METHODS.items()
    }
    found |= {"norm": asked.norms["register"], "norm_tower": asked.norms["register_tower"]}
    return found | {"lens": read.share[:, seen].max(0)}


def said(target: Target, asked: Asked, word: Word, read: Reading, seed: int) -> Iterator[Condition]:
    """The causal lens: tokens that it reads as the class, and as many others.

    named      the class is the likeliest token in a layer of the upper half
    unnamed    as many of the tokens that are not; spared: those of the object that are not
    A lens that reads the class in more than half of the picture says nothing of where it is: no set is made then.
    """
    upper = read.tokens[len(read.tokens) // 2 :, asked.first : asked.end, 0]
    named = np.flatnonzero(np.isin(upper, list(word.right)).any(0)).tolist()
    if not 0 < 2 * len(named) <= asked.visual:
        return
    draws = tokens.seeded(seed, target.image_id, "unnamed")
    yield Condition("named", None, tuple(named))
    yield Condition("unnamed", None, tuple(sorted(tokens.drawn(draws, asked.visual, len(named), set(named)))))
    if spared := sorted(set(target.patches) - set(named)):
        yield Condition("spared", None, tuple(spared))
