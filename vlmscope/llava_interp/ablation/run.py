"""Answers of a model whose visual tokens are partly taken away (llava_interp.md 2.4 - 2.6).

Replacement happens once, where embeddings enter the decoder. A picture is looked at once for all conditions of a
prompt; rows of a batch differ in picture and condition.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from vlmscope.llava_interp.ablation import gradient
from vlmscope.llava_interp.asking import answers, experiments, geometry, prompts, tokens
from vlmscope.llava_interp.asking.experiments import MODES, Bench, Found, Record, chosen, named, question, right
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.asking.tokens import Condition
from vlmscope.llava_interp.schemas import RECORDS

log = logging.getLogger(__name__)

NONE = Condition("none", None, ())


# ---- descriptions and polls ---------------------------------------------------------------------------------------


def described(own: Bench, samples: str) -> Found:
    """Records of descriptions and polls, and the funnel of pictures.

    Every candidate is described as it is and with noise on its object; the conditions follow where the object was named
    before and not behind the noise, by at least one way to judge: which of them counts is left to the tables.
    """
    targets, funnel = chosen(own.loaded, samples, own.told)
    records = [pl.DataFrame(schema=RECORDS)]
    kept, most = 0, own.told["ablation"]["images"]
    for start in range(0, len(targets), own.batch):
        if kept >= most:
            break
        part = targets[start : start + own.batch]
        first = own.pieces.kept(f"described-{start:06d}", partial(_candidates, own, part), RECORDS)
        left = _passing(own, part, first["text"].to_list())
        records.append(first)
        kept += len(left)
        log.info("%d candidates, %d kept.", start + len(part), kept)
        for one in left[: len(left) - max(0, kept - most)]:
            name = f"{one.image_id}-{one.ann_id}"
            records.append(own.pieces.kept(name, partial(_conditions, own, one), RECORDS))
    return pl.concat(records), funnel | {"described": start + len(part) if targets else 0}


def _candidates(own: Bench, targets: Sequence[Target]) -> list[Record]:
    """Records of the untouched picture and of that with noise on the object, one behind the other."""
    ask, grid = own.ask(own.told["asking"]["describe"]), prompts.view(own.loaded).grid
    pictures = [own.picture(one.sample) for one in targets]
    covered = [_covered(own, one, each, grid, "noise") for one, each in zip(targets, pictures, strict=True)]
    asked = prompts.prepare(own.loaded, [ask] * 2 * len(targets), [*pictures, *covered], own.batch)
    said = _written(own, [(one, ()) for one in asked], "generative")
    pairs = list(zip(targets, said[: len(targets)], said[len(targets) :], strict=True))
    noise = Condition("noise", None, ())
    return [
        _record(one, "generative", condition, {"text": text})
        for one, plain, hidden in pairs
        for condition, text in ((NONE, plain), (noise, hidden))
    ]


def _passing(own: Bench, targets: Sequence[Target], texts: Sequence[str]) -> list[Target]:
    """The objects that pass, by the texts of `_candidates`."""
    pairs = zip(targets, texts[::2], texts[1::2], strict=True)
    return [one for one, plain, hidden in pairs if passes(plain, hidden, one.name, own.told["synonyms"])]


def passes(plain: str, hidden: str, name: str, synonyms: Mapping[str, Sequence[str]]) -> bool:
    """Whether a picture counts by at least one way to judge: named as it is, not named behind noise."""
    return any(
        answers.mentions(plain, name, mode, synonyms) and not answers.mentions(hidden, name, mode, synonyms)
        for mode in MODES
    )


def _covered(own: Bench, target: Target, picture: Image.Image, grid: int, how: str) -> Image.Image:
    """The picture with noise or grey on the object's patches."""
    mode = own.told["objects"]["geometry"]
    pixels = np.asarray(geometry.viewed(picture, prompts.view(own.loaded), mode))
    seed = tokens.seeded(own.told["ablation"]["seed"], target.image_id, how).getrandbits(32)
    tile = geometry.noise(pixels, grid, np.random.RandomState(seed)) if how == "noise" else geometry.GREY
    return Image.fromarray(geometry.overwritten(pixels, target.patches, grid, tile))


def _conditions(own: Bench, target: Target) -> list[Record]:
    """Descriptions and polls of one picture under every condition."""
    asking, grid = own.told["asking"], prompts.view(own.loaded).grid
    picture = own.picture(target.sample)
    grey, noise = (_covered(own, target, picture, grid, how) for how in ("grey", "noise"))
    poll = own.ask(asking["poll"].replace("{class}", target.name))
    texts = [own.ask(asking["describe"])] * 2 + [poll] * 3
    views = [picture, grey, picture, grey, noise]
    told, told_grey, asked, asked_grey, asked_noise = prompts.prepare(own.loaded, texts, views, own.batch)
    word = prompts.word(own.loaded.processor.tokenizer, asking["affirmed"])
    sets = _sets(own, target, asked, word)
    greyed, noised = Condition("grey", None, ()), Condition("noise", None, ())
    of_text = [(one, told) for one in sets] + [(greyed, told_grey)]
    of_poll = [(one, asked) for one in (NONE, *sets)] + [(greyed, asked_grey), (noised, asked_noise)]
    found = []
    for setting, rows in (("generative", of_text), ("polling", of_poll)):
        said = _written(own, [(prompt, one.tokens) for one, prompt in rows], setting)
        found += [_record(target, setting, one, {"text": text}) for (one, _), text in zip(rows, said, strict=True)]
    return found


def _written(own: Bench, rows: Sequence[prompts.Row], setting: str) -> list[str]:
    return prompts.write(own.loaded, rows, own.value, own.told["asking"][f"{setting}_tokens"], own.batch)


def _sets(own: Bench, target: Target, asked: Asked, wanted: prompts.Word) -> list[Condition]:
    """The sets of one picture; `wanted` is the answer whose gradient ranks tokens, `asked` its prompt."""
    told = own.told["ablation"]
    ranks = _importance(own, asked, wanted) if told["gradient"]["sizes"] else None
    return tokens.conditions(
        target.patches,
        prompts.view(own.loaded).grid,
        image=target.image_id,
        seed=told["seed"],
        random=told["sizes"],
        norms=asked.norms,
        importance=ranks,
        gradient=told["gradient"]["sizes"],
    )


def _importance(own: Bench, asked: Asked, wanted: prompts.Word) -> np.ndarray:
    """How much each visual token matters for an answer, float32 [token]; as released, one token behind them too."""
    told = own.told["ablation"]["gradient"]
    plain = prompts.next_logits(own.loaded, [(asked, ())], None, 1)[0]
    token = gradient.target(own.loaded, wanted, own.told["asking"]["affirmed"], plain, told["mode"])
    # A pass that is followed back keeps what every layer made of it: fewer rows than of a plain pass fit.
    chunk = max(1, own.batch // 4)
    found = gradient.attributions(
        own.loaded, asked, own.average, token, steps=told["steps"], mode=told["mode"], chunk=chunk
    )
    return gradient.importance(found)[asked.first : asked.end + (told["mode"] == "official")]


def _record(target: Target, setting: str, one: Condition, told: Mapping[str, Any]) -> Record:
    empty = dict.fromkeys(RECORDS)
    places = {"setting": setting, "condition": one.family, "size": one.size}
    return empty | named(target) | places | {"tokens": len(one.tokens), "indices": list(one.tokens)} | dict(told)


# ---- questions of the pictures ------------------------------------------------------------------------------------


def answered(own: Bench, samples: str) -> Found:
    """Records of the pictures' own questions, each answered with one token, and the funnel of pictures.

    Conditions follow where the untouched answer is right by at least one way to judge.
    """
    asked, funnel = experiments.questioned(own, samples, own.told["ablation"]["images"])
    return experiments.gathered(own, asked, lambda one: _questioned(own, one), RECORDS), funnel


def _questioned(own: Bench, target: Target) -> Iterator[Record]:
    asked, wanted, plain = question(own, target)
    yield _record(target, "vqa", NONE, plain)
    if not right(plain):
        return
    sets = _sets(own, target, *_explained(own, target, asked, wanted))
    found = prompts.next_logits(own.loaded, [(asked, one.tokens) for one in sets], own.value, own.batch)
    for one, logits in zip(sets, found, strict=True):
        yield _record(target, "vqa", one, prompts.told(own.loaded, logits, wanted))


def _explained(own: Bench, target: Target, asked: Asked, wanted: prompts.Word) -> tuple[Asked, prompts.Word]:
    """The prompt whose gradients rank tokens: the question; as released the poll, but for LLaVA-Phi.

    [differs: llava_interp.md 8 #3]
    """
    asking, loaded = own.told["asking"], own.loaded
    if own.told["ablation"]["gradient"]["mode"] == "fixed" or loaded.family.name == "llava_phi":
        return asked, wanted
    text = own.ask(asking["poll"].replace("{class}", target.name))
    poll = prompts.prepare(loaded, [text], [own.picture(target.sample)], 1)[0]
    return poll, prompts.word(loaded.processor.tokenizer, asking["affirmed"])
