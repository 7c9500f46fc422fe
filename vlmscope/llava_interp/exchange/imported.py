"""Records from result files of the released code.

What the files do not hold is null, or stands for itself: how a poll was answered is known as yes or no alone, the
probability of a class as that of its first piece, and a token by its text (-1 where the vocabulary has no such token).
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.asking import prompts, selection
from vlmscope.llava_interp.asking.answers import MARKS
from vlmscope.llava_interp.asking.selection import Filter
from vlmscope.llava_interp.exchange import names
from vlmscope.llava_interp.schemas import KNOCKOUTS, RECORDS
from vlmscope.models import written
from vlmscope.models.load import Loaded
from vlmscope.samples import read
from vlmscope.session import settings
from vlmscope.store import files, tables

Row = dict[str, Any]
# What the engine hands a script; only attribute access is used.
Job = Any


@dataclass(frozen=True)
class Speech:
    """What a model is asked with; its weights are not read.

    depth   decoder blocks
    first   position of the first visual token
    """

    tokenizer: Any
    depth: int
    first: int


# One of `knockout`, `vqa`, `ablation`.
Kind = Callable[[str, Mapping[str, Row], Speech], pl.DataFrame]


def speech(manifest: str, asking: Mapping[str, Any]) -> Speech:
    """Tokenizer, depth and prompt of a model."""
    about = files.read_json(manifest)
    shape = written.shaped(about)
    loaded = Loaded(SimpleNamespace(config=shape.config), shape.processor, shape.kind, about)
    tokenizer = loaded.processor.tokenizer
    ids = tokenizer(prompts.text(loaded, asking, asking["describe"]))["input_ids"]
    return Speech(tokenizer, shape.layers("resid_post"), ids.index(shape.kind.image_token(shape.config)))


def objects(samples: str, told: Mapping[str, Any]) -> dict[str, Row]:
    """Image number -> the object that the released filter chooses, as columns of records."""
    limits, found = Filter.of(told), {}
    for one in read(samples):
        answer = json.loads(one.answer)
        chosen = selection.choose(answer["objects"], limits, (one.width, one.height))
        if chosen is not None:
            named = {"sample": one.sample, "image_id": answer["image_id"], "ann_id": chosen["id"]}
            found[str(answer["image_id"])] = named | {"class": chosen["class"]}
    return found


def write(records: Kind, columns: Mapping[str, Any], job: Job) -> None:
    """Read a file of a rule and write its records, and how many pictures they are of.

    columns   of the records
    job       input: file, samples, model; output: records, funnel; params.settings: objects, asking
    """
    told = settings(job.params.settings)
    known = objects(job.input.samples, told["objects"])
    found = records(job.input.file, known, speech(job.input.model, told["asking"]))
    tables.write(found, job.output.records, columns)
    files.write_json({"imported": found["sample"].n_unique()}, job.output.funnel)


def knockout(path: str, known: Mapping[str, Row], model: Speech) -> pl.DataFrame:
    """Blocked attention, `KNOCKOUTS`."""
    groups, rows, empty = names.groups(model.depth), [], dict.fromkeys(KNOCKOUTS)
    for own, told in _pictures(path, known):
        rows.append(empty | own | {"source": "", "target": ""} | _answer(told["baseline"], own, model, path))
        for name, each in told.get("attn_block_results", {}).items():
            if name not in groups:
                raise _unfit(path, f"it blocks '{name}'")
            source, target, window = groups[name]
            place = {"source": source, "target": target, "sort": "window", "window": window.name}
            place |= {"layer_first": window.first, "layer_last": window.last}
            rows.append(empty | own | place | _answer(each, own, model, path))
    return pl.DataFrame(rows, schema=KNOCKOUTS)


def vqa(path: str, known: Mapping[str, Row], model: Speech) -> pl.DataFrame:
    """The pictures' questions without some tokens, `RECORDS`."""
    rows = []
    for own, told in _pictures(path, known):
        rows.append(_record(own, "vqa", ("none", None), []) | _answer(told["baseline"], own, model, path))
        for name, each in told.get("experiments", {}).items():
            one = _condition(name, names.QUESTIONS, path)
            rows.append(_record(own, "vqa", one, None) | _answer(each, own, model, path))
    return pl.DataFrame(rows, schema=RECORDS)


def ablation(path: str, known: Mapping[str, Row], model: Speech) -> pl.DataFrame:
    """Descriptions and polls, `RECORDS`."""
    rows = []
    for own, told in _pictures(path, known):
        for name, each in told.items():
            if name == "indices":
                continue
            one = _condition(name, names.DESCRIPTIONS, path)
            places = [place - model.first for place in told["indices"].get(name, [])]
            said = {"generative": each["description"], "polling": "yes" if each["polling"] else "no"}
            rows += [_record(own, setting, one, places) | {"text": text} for setting, text in said.items()]
    return pl.DataFrame(rows, schema=RECORDS)


def _pictures(path: str, known: Mapping[str, Row]) -> Iterator[tuple[Row, Row]]:
    """Columns of the object of every picture of a file, and what the file tells of it."""
    tree = files.read_json(path)
    if not isinstance(tree, dict):
        raise _unfit(path, "it is no object of pictures")
    for image, told in tree.items():
        if image == "cfg":
            continue
        if image not in known:
            raise _unfit(path, f"picture {image} is not in the data, or none of its objects counts")
        yield known[image], told


def _record(own: Row, setting: str, one: names.Condition, places: list[int] | None) -> Row:
    tokens = None if places is None else len(places)
    told = {"setting": setting, "condition": one[0], "size": one[1], "tokens": tokens, "indices": places}
    return dict.fromkeys(RECORDS) | own | told


def _answer(told: Row, own: Row, model: Speech, path: str) -> Row:
    """One token as an answer; see `schemas.ANSWER`."""
    wanted = prompts.word(model.tokenizer, own["class"].lower())
    if told["correct_token"] != wanted.piece:
        raise _unfit(path, f"the class of picture {own['image_id']} begins with '{told['correct_token']}' there")
    text, prob = told["generated_token"], told["correct_token_prob"]
    return {
        "text": text,
        "token": _token(text, wanted, model.tokenizer),
        "prob": told["generated_token_prob"],
        "first": wanted.piece,
        "first_prob": prob,
        "right": list(wanted.right),
        "right_prob": prob,
        "right_log_prob": math.log(prob) if prob > 0 else None,
    }


def _token(text: str, wanted: prompts.Word, tokenizer: Any) -> int:
    if text.strip() == wanted.piece.lstrip(MARKS):
        return wanted.token
    known = tokenizer.get_vocab()
    return next((known[one] for one in (*(mark + text for mark in MARKS), text) if one in known and text), -1)


def _condition(name: str, known: Mapping[names.Condition, str], path: str) -> names.Condition:
    found = names.parsed(name, dict(known))
    if found is None:
        raise _unfit(path, f"it has a condition '{name}'")
    return found


def _unfit(path: str, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"The results do not fit: {why}.",
        where=path,
        instead="results of the released code for this model and these pictures (llava_interp.objects)",
    )
