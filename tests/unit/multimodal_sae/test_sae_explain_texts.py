"""Latents in texts: what is shown of them, what is asked, how names are rated."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.explain import prompts as explain_prompts
from vlmscope.multimodal_sae.text import features as text_features
from vlmscope.multimodal_sae.text import naming as text_naming
from vlmscope.multimodal_sae.text import prompts as text_prompts
from vlmscope.multimodal_sae.text import scores as text_scores
from vlmscope.multimodal_sae.text.pieces import HELD_OUT, REFERENCE, Piece, Read
from vlmscope.stats import Draws
from vlmscope.store import tables

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "multimodal_sae" / "text_utils.json").read_text(encoding="utf-8")
)
TOKENS = ("", " t4", " t5", " t6", " t7", " t8", " t9")
SETTINGS = {
    **{"by": ["oracle"], "latents": 0, "window": 4, "examples": 3, "highlight": 0.6, "cot": False, "logits": False},
    **{"max_new_tokens": 50, "resamples": 50, "seed": 0, "judge": {"by": "none", "model": ""}},
}
WORDS = ("cat", "dog", "the", "on")


class Echo:
    """Answers in turn, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def say(self, system, parts, most=0):
        self.asked.append((system, list(parts), most))
        return self.answers.pop(0)


def read(*values, tokens=TOKENS, share=0.6, promoted=("paw",)):
    pieces = tuple(Piece(tokens, np.array(one, np.float32)) for one in values)
    return Read(3, pieces, max(max(one) for one in values), share, promoted)


# As many values as the golden file has tokens: the middle ones fire.
FIRES = (0.0, 0.0, 1.3, 2.0, 0.6, 0.0, 1.8)


def test_marks_and_lists_are_the_released_ones():
    own = read(FIRES)
    assert (
        own.text(own.pieces[0])
        == " t4<< t5 t6>> t7 t8<< t9>>"
        == GOLDEN["highlight"].removeprefix("Example 1: ").strip("\n")
    )
    assert f"Activations: {own.listed(own.pieces[0])}" == GOLDEN["join"]


def test_what_is_told_beside_the_texts_is_chosen():
    own = read(FIRES)
    plain, steps, writes = (
        text_prompts.question(own, *told) for told in ((False, False), (True, False), (False, True))
    )
    assert explain_prompts.TAG in plain and "Activations:" in plain and "Tokens made likelier" not in plain
    assert (
        plain.endswith(text_prompts.own(own, False)) and "names of animals" in steps and "names of animals" not in plain
    )
    assert writes.endswith("Tokens made likelier: paw")
    assert "first write down" not in text_prompts.system(False, False) and "First write" in text_prompts.system(
        True, False
    )


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("[3, 0, 1]", [3, 0, 1]),
        ("ok: [1,2,2] and [3]", [1, 2, 2]),
        ("none", []),
        ("[1, 2]", []),
        ("[4, 0, 0]", []),
        ("[,]", []),
    ],
)
def test_the_first_list_with_a_rating_for_every_text_counts(said, wanted):
    assert text_prompts.ratings(said, 3) == wanted


def test_a_model_is_asked_once_and_told_to_think_where_that_is_wanted():
    echo = Echo("[EXPLANATION]: animals", "cats [EXPLANATION]: no\nso [EXPLANATION]: animals")
    assert text_naming.Told(echo, 7, steps=False, writes=False).explain(read(FIRES)) == "animals"
    assert text_naming.Told(echo, 7, steps=True, writes=True).explain(read(FIRES)) == "animals"
    [(system, parts, most), (longer, _, _)] = echo.asked
    assert most == 7 and len(parts) == 1 and len(longer) > len(system)
    failed = text_naming.Told(Echo("what?"), 7, steps=True, writes=False).explain(read(FIRES))
    assert explain_prompts.refused(failed)


def test_tokens_that_most_pieces_mark_are_named():
    two = read((0, 2, 0), (0, 2, 2), tokens=(" a", " Cat", " dog"))
    assert text_naming.Tokens().explain(two) == "cat"
    apart = replace(two, pieces=(two.pieces[0], Piece((" a", " b", " c"), np.array([0, 0, 2], np.float32))))
    assert text_naming.Tokens().explain(apart) == explain_prompts.REFUSAL


def test_ratings_of_the_stand_in_are_thirds_of_the_marked_tokens():
    own = read((0, 2, 2), (0, 2, 0), (2, 0, 0), tokens=(" a", " cat", " dog"))
    assert text_scores.Match().rate(own, "Cat") == [2, 3, 0]
    assert text_scores.Match().rate(own, "cat dog") == [3, 3, 0]


def test_a_few_texts_are_rated_at_a_time_and_unclear_answers_are_missing():
    own = read(*[FIRES] * 7)
    echo = Echo("[1, 2, 3, 0, 1]", "hm")
    assert text_scores.rates(text_scores.Asked(echo), own, "animals") == [1, 2, 3, 0, 1]
    assert [parts[0].count("Example") for _, parts, _ in echo.asked] == [5, 2]


# ---- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path):
    """Latent 0 fires at `cat`, latent 1 at `dog`, latent 2 nowhere."""
    shape = {"latents": 3, "k": 1, "base": 8, "dtype": "float32"}
    drawn = np.random.default_rng(0)
    with cache_files.published(tmp_path / "c.h5", "h", [f"text-{n}" for n in range(12)], {}, **shape) as writer:
        rows = [[WORDS[one] for one in drawn.integers(0, 4, 8)] for _ in range(12)]
        for row in rows:
            latent = np.array([["cat", "dog"].index(word) if word in ("cat", "dog") else 2 for word in row])
            writer.add(latent[:, None], np.where(latent < 2, 1.0, 0.0)[:, None])
        strings = text_features.STRINGS
        writer.group["tokens"] = np.array([[f" {word}" for word in row] for row in rows], dtype=strings)
        writer.group["promoted"] = np.array([["paw", "tail"]] * 3, dtype=strings)
    return tmp_path


def test_pieces_come_from_their_half_and_hold_the_latent(made):
    with cache_files.opened(made / "c.h5") as cache:
        own = text_naming.chooser(cache, SETTINGS)
        assert own.latents(0) == [0, 1] and own.latents(1) == [0]
        both = [own.read(0, side) for side in (REFERENCE, HELD_OUT)]
        assert all(len(one.pieces) == 3 and one.promoted == ("paw", "tail") for one in both)
        assert all("cat" in one.words(piece) for one in both for piece in one.pieces)
        whole = [["".join(row) for row in own.tokens[side::2]] for side in (0, 1)]
        for side, one in enumerate(both):
            assert all(any("".join(piece.tokens) in text for text in whole[side]) for piece in one.pieces)
        assert own.density(2) == 0


def test_names_and_ratings_go_from_files_to_tables(made):
    caches = {"trained": str(made / "c.h5")}
    labels, kept = text_naming.from_files(caches, SETTINGS, lambda role: None, str(made / "s.jsonl"), "code")
    assert labels.select("latent", "explanation").rows() == [(0, "cat"), (1, "dog")]
    tables.write(labels, made / "labels.parquet", text_naming.LABELS)
    scored, rubric = text_scores.from_files(caches, str(made / "labels.parquet"), SETTINGS, lambda role: None)
    assert scored["rubric"].to_list() == [3.0, 3.0] and scored["rubric_shuffled"].to_list() == [0.0, 0.0]
    rows = {row["what"]: row for row in rubric.to_dicts()}
    assert (rows["more"]["value"], rows["more"]["n_features"], rows["more"]["n_refused"]) == (3.0, 2, 0)
    assert rows["rubric"]["judge"] == "match"
    # A second run asks nothing again.
    again, _ = text_naming.from_files(caches, SETTINGS, lambda role: None, str(made / "s.jsonl"), "code")
    assert again.equals(labels) and len(kept.known) == 2


def test_refusals_are_counted_and_not_rated(made):
    caches = {"trained": str(made / "c.h5")}
    settings = SETTINGS | {"by": ["local"]}
    talkers = {
        "local": Echo("[EXPLANATION]: cats", explain_prompts.REFUSAL),
        "refiner": None,
        "judge": Echo("hm", "[3, 3, 0]"),
    }
    labels, _ = text_naming.from_files(caches, settings, talkers.get, str(made / "s.jsonl"), "code")
    tables.write(labels, made / "labels.parquet", text_naming.LABELS)
    scored, rubric = text_scores.from_files(
        caches, str(made / "labels.parquet"), settings | {"judge": {"model": "m"}}, talkers.get
    )
    assert scored["rubric"].to_list() == [None, None] and scored["unclear"].to_list() == [3, None]
    assert {row["n_refused"] for row in rubric.to_dicts()} == {1}
    assert text_scores.summary(scored, "m", Draws(20, 0))["value"].to_list() == [None, None, None]


def test_datasets_without_texts_are_refused(tmp_path):
    with pytest.raises(VlmscopeError, match="has no conversations"):
        list(text_features.words(["sbu"], [tmp_path / "x.parquet"], 1))
