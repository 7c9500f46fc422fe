"""Which states of which samples make a vector set."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from vlmscope.settings.base import Name, Reference, Section

Rule = Literal["word", "word_official", "before_end", "mean", "index", "range", "prompt_end"]
WORDED = ("word", "word_official")

AnswerType = Literal["yes/no", "number", "other"]
# As sets and vectors name them: a name has no slash.
TYPES: dict[str, AnswerType] = {"yesno": "yes/no", "number": "number", "other": "other"}


class VectorSet(Section):
    """One vector per sample, or none (xl_vlms.md 2.2, 2.3)."""

    capture: Name = Field(description="capture that supplies the states")
    dataset: Name = Field(description="dataset of that capture")
    rule: Rule = Field(
        "word",
        description="word: the state that predicted the beginning of one of `words`, whole, in any case; "
        "word_official: that predicted one of their first pieces, as released; before_end: mean over what was written; "
        "mean, index, range: by number of the position; prompt_end: what predicted the first token",
    )
    words: list[str] = Field([], description="words to look for (rules word, word_official)")
    search: Literal["written", "whole"] = Field(
        "written",
        description="written: the states that predicted what was written; whole: those of the prompt as well, which "
        "needs a take of all positions",
    )
    spellings: Literal["word", "class"] = Field(
        "word", description="word: Word, word and ' word' count too; class: Word and word (rule: word_official)"
    )
    ids: list[int] = Field([], description="ids in place of those of `words` (rule: word_official)")
    index: int = Field(-1, description="number of the position, negative from the end (rule: index)")
    start: int = Field(0, description="first position, negative from the end (rule: range)")
    end: int = Field(0, description="position after the last, negative from the end; 0: the end (rule: range)")
    keep: Literal["mean", "all"] = Field("mean", description="one vector per sample, or one per position (rule: range)")
    has: list[str] = Field([], description="only samples whose reference has one of these words; empty: all")
    of: Literal["first", "any"] = Field("first", description="which references: the first one or usual answer, or any")
    match: Literal["auto", "word", "exact", "substring"] = Field(
        "auto",
        description="how a word is had; auto: an answer exactly, a caption as a whole word; substring: as released",
    )
    answer_type: Literal["", AnswerType] = Field("", description="only questions of that type")
    cap: int = Field(0, ge=0, description="most samples that pass these filters, the first ones; 0: all")

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is as usual is left out: there are many sets, and most say little."""
        usual = {key: one.get_default() for key, one in type(self).model_fields.items()}
        return {key: value for key, value in dump(self).items() if key == "rule" or value != usual[key]}


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    found: list[Reference] = []
    for key, one in config.xl_vlms.sets.items():
        found.append((f"xl_vlms.sets.{key}.capture", one.capture, config.captures, "captures"))
        found.append((f"xl_vlms.sets.{key}.dataset", one.dataset, config.datasets, "datasets"))
    return found


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    found = []
    for key, one in config.xl_vlms.sets.items():
        where = f"xl_vlms.sets.{key}"
        if bool(one.words or one.ids) != (one.rule in WORDED):
            found.append(f"{where}.words must be listed with rule: word or word_official, and only then")
        if one.ids and one.rule != "word_official":
            found.append(f"{where}.ids only count with rule: word_official")
        if one.search == "whole" and one.rule not in ("word_official", "mean", "index", "range"):
            found.append(f"{where}.search must be written: the rule {one.rule} looks at nothing else")
        capture = config.captures.get(one.capture)
        if capture and one.dataset not in capture.data:
            found.append(f"{where}.dataset must be one of captures.{one.capture}.data")
        if capture and capture.run != "generate":
            found.append(f"{where}.capture must be one with run: generate, whose answers the states belong to")
    return found


def _set(capture: str, dataset: str, **more: Any) -> dict[str, Any]:
    return {"capture": capture, "dataset": dataset, **more}


# Objects that captions of the drawn COCO name.
OBJECTS = ("dog", "cat", "bird", "person", "ball", "car", "chair", "cup", "flower", "umbrella")


def _objects() -> dict[str, Any]:
    """Nouns of captions, where the reference has them too; `-test` on the pictures of the other split."""
    found = {}
    for word in OBJECTS:
        for suffix, capture in (("", "concept_states"), ("-test", "concept_states_val")):
            found[word + suffix] = _set(capture, "coco", words=[word], has=[word])
    return found


def _answers() -> dict[str, Any]:
    """Answers that were written and are right."""
    # No bare `yes`: as a key of YAML it is a truth value.
    words = ("yes", "no", "1", "2", "3", "red", "blue", "black", "white", "left", "right")
    return {f"answer-{word}": _set("answer_states", "vqa", words=[word], has=[word]) for word in words}


def _types() -> dict[str, Any]:
    """Questions of a type, before anything of the answer was written."""
    chosen = {f"type-{key}": {"answer_type": value} for key, value in TYPES.items()} | {"type-all": {}}
    return {name: _set("answer_states", "vqa", rule="prompt_end", **more) for name, more in chosen.items()}


def _styles() -> dict[str, Any]:
    """Whole captions, and words of a class in them."""
    classes = {
        "colors": ["red", "blue", "yellow", "white", "black", "purple"],
        "places": ["park", "room", "beach"],
    }
    found = {name: _set("concept_states", "coco", words=words, has=words) for name, words in classes.items()}
    return {"captions": _set("concept_states", "coco", rule="before_end"), **found}


DEFAULT: dict[str, Any] = {**_objects(), **_answers(), **_types(), **_styles()}
