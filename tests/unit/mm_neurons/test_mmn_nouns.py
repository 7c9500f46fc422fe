import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from vlmscope import samples
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUN_COUNTS, NOUNS
from vlmscope.mm_neurons.text import captions, nouns, taggers
from vlmscope.store import files, tables
from vlmscope.store.shards import Answer
from vlmscope.store.spelling import Spelling, spelling

SETTINGS = {"backend": "lexicon", "lexicon": "", "model": "", "server": "", "sentences": "all"}
END = 0
WEIGHTS = Path(__file__).parents[3] / "weights"


def spelled(mark, words, own_space):
    """A tokenizer whose pieces are these words, with the mark of a space in front where they begin with one."""
    vocabulary = {"</s>": END} | {piece: number for number, piece in enumerate(words, 1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    tokenizer.add_special_tokens(["</s>"])
    kind = pre_tokenizers.Metaspace(mark, prepend_scheme="always" if own_space else "never")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([kind, pre_tokenizers.Punctuation("isolated")])
    tokenizer.decoder = decoders.Metaspace(mark, prepend_scheme="always" if own_space else "never")
    return Spelling(tokenizer)


WORDS = [
    "\u2581a",
    "\u2581dog",
    "\u2581cat",
    "-",
    "dog",
    "\u2581dogs",
    ",",
    "\u2581Dog",
    "hot",
    "\u2581hot",
    "\u2581in",
    "\u2581park",
]
LLAMA = spelled("\u2581", WORDS, own_space=True)
PLAIN = spelled("\u2581", [*WORDS, "Dog"], own_space=False)
TAG = taggers.lexicon(taggers.WORLD)


def tokens(text, spelled=LLAMA):
    return spelled.tokenizer.encode(text, add_special_tokens=False).ids


def caption(text, spelled=LLAMA):
    return {"sample": "x", "caption": text, "tokens": [*tokens(text, spelled), END]}


def rows(text, truth=None, spelled=LLAMA):
    found = nouns.rows(caption(text, spelled), truth, spelled, TAG, "all")
    return pl.DataFrame(list(found), schema=NOUNS)


# ---- spelling --------------------------------------------------------------------------------------------------------


def test_a_word_is_spelled_as_it_begins_within_a_text():
    assert LLAMA.spellings("dog") == [tokens("a dog")[1:]]
    assert PLAIN.spellings("dog") == [tokens("a dog")[1:], tokens("dog", PLAIN)]
    assert LLAMA.text([1, 2, END]) == "a dog"


@pytest.mark.parametrize("name", ["llava-llama2", "blip", "mplug-owl2", "qwen2-vl", "molmo", "llava-next-llama3"])
def test_the_file_spells_as_the_loaded_tokenizer(tmp_path, name):
    from transformers import AutoTokenizer

    files.write_json({"folder": str(WEIGHTS / name)}, tmp_path / "model.json")
    ours, theirs = spelling(tmp_path / "model.json"), AutoTokenizer.from_pretrained(WEIGHTS / name)
    for word in sorted(taggers.WORLD):
        assert ours.spellings(word)[0] == theirs(f" {word}", add_special_tokens=False)["input_ids"]
    ids = theirs(" a red dog, a person and a cup in the park")["input_ids"]
    assert ours.text([*ids, theirs.eos_token_id]) == theirs.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("content", [None, b"{}", b"no json"])
def test_a_checkpoint_without_a_tokenizer_file_is_named(tmp_path, content):
    files.write_json({"folder": str(tmp_path)}, tmp_path / "model.json")
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(VlmscopeError, match="tokenizer") as caught:
        spelling(tmp_path / "model.json")
    assert caught.value.where == str(tmp_path / "tokenizer.json")


# ---- nouns -----------------------------------------------------------------------------------------------------------


def test_nouns_are_sorted_with_capitals_first_and_come_once():
    assert nouns.nouns_of("a dog, a cat and a Dog. a park", TAG, "all") == ["Dog", "cat", "dog", "park"]


@pytest.mark.parametrize(
    ("text", "first"),
    [("a dog. a cat", ["cat", "dog"]), ("a dog? a cat", ["dog"]), ("a dog! a cat", ["dog"]), ("", [])],
)
def test_the_released_code_reads_over_points_and_stops_at_other_ends(text, first):
    assert nouns.nouns_of(text, TAG, "first") == first
    assert nouns.nouns_of(text, TAG, "all") == (["cat", "dog"] if text else [])


def test_a_noun_is_found_where_its_first_token_stands_first():
    found = rows("a dog, a cat in a park, a dog")
    assert found["noun"].to_list() == ["cat", "dog", "park"]
    assert found["position"].to_list() == [4, 1, 7]
    assert found["token"].to_list() == [tokens(noun)[0] for noun in ("cat", "dog", "park")]
    assert set(found["status"]) == {"kept"} and found["starts_word"].all()
    assert found["official_token"].to_list() == found["token"].to_list()


def test_a_noun_that_is_spelled_otherwise_is_dropped_and_shifts_the_released_tokens():
    found = rows("a cat, a hot-dog in a park")
    assert found["status"].to_list() == ["kept", nouns.SPELLED, "kept"]
    assert found["position"].to_list() == [1, None, 9]
    assert found["official_token"].to_list() == [tokens("cat")[0], None, tokens("dog")[0]]
    assert found["token"].to_list() == [tokens(noun)[0] for noun in ("cat", "dog", "park")]
    summed = nouns.counts(found).row(0, named=True)
    assert (summed["kept"], summed["spelled_otherwise"], summed["official_wrong_token"]) == (2, 1, 1)
    assert summed["official_wrong_captions"] == 1


def test_a_noun_that_begins_the_text_may_have_another_spelling():
    found = rows("Dog in a park", spelled=PLAIN)
    assert found["position"].to_list() == [0, 3] and found["starts_word"].all()
    assert found["tokens"].to_list()[0] == PLAIN.spellings("Dog")[1]


def test_a_caption_without_nouns_has_a_row_that_says_so():
    found = rows("a in a")
    assert found.rows() == [("x", *[None] * 6, nouns.NONE, None, None)]
    assert nouns.counts(found).row(0, named=True) | {"captions": 0} == dict.fromkeys(NOUN_COUNTS, 0) | {
        "without_noun": 1
    }


@pytest.mark.parametrize(
    ("noun", "text", "position", "starts"),
    [
        ("dog", "a dog, a", 1, True),
        ("dogs", "a dog in", 1, False),
        ("dog", "a hot-dog", 3, True),
        ("dog", "a dogs", 1, False),
    ],
)
def test_a_token_starts_a_word_where_the_text_goes_on_with_the_whole_of_it(noun, text, position, starts):
    assert nouns.starts_word(noun, position, tokens(text), LLAMA) == starts


def test_a_token_within_a_word_starts_none():
    glued = spelled("\u2581", ["\u2581hot", "dog"], own_space=True)
    assert not nouns.starts_word("dog", 1, [1, 2], glued)


def test_what_a_picture_shows_is_told_of_the_drawn_world_alone():
    assert nouns.in_picture("Dogs", ["dog", "park"]) is True
    assert nouns.in_picture("cat", ["dog", "park"]) is False
    assert nouns.in_picture("sofa", ["dog", "park"]) is None
    assert nouns.in_picture("dog", None) is None
    assert rows("a dog, a cat", ["dog"])["in_picture"].to_list() == [False, True]


# ---- captions and files ----------------------------------------------------------------------------------------------


def answered(scenes):
    """Answers of made-up tokens to the drawn pictures, and their samples."""
    told, _ = scenes
    texts = ["a dog, a cat", "", "a park", "a", "a hot-dog in a park", "a cat"]
    return {
        one.sample: Answer(tokens(text), END if number % 2 else -1)
        for number, (one, text) in enumerate(zip(told, texts, strict=True))
    }, told


def test_captions_count_their_rows_in_the_capture(scenes):
    answers, told = answered(scenes)
    table = captions.captions(answers, told, LLAMA)
    assert table["caption"].to_list() == ["a dog, a cat", "", "a park", "a", "a hot-dog in a park", "a cat"]
    lengths = [len(answer.tokens) for answer in answers.values()]
    assert table["row"].to_list() == [sum(lengths[:place]) for place in range(6)]
    assert [one[-1:] == [END] for one in table["tokens"].to_list()] == [False, True] * 3
    assert table["reference"].to_list() == [json.loads(one.answer)["caption"] for one in told]


def test_answers_of_other_kinds_have_no_reference(scenes):
    told = scenes[0][0]
    assert captions.reference(replace(told, answer='[{"answer": "yes"}]')) is None
    assert captions.reference(replace(told, answer='{"answer": "yes"}')) is None
    assert nouns.truth_of(replace(told, answer='["yes"]')) is None


def test_samples_that_the_table_does_not_have_are_refused(scenes):
    answers, told = answered(scenes)
    with pytest.raises(VlmscopeError, match="5 samples that the sample table does not have"):
        captions.captions(answers, told[:1], LLAMA)


def test_both_tables_go_through_files(scenes, tmp_path):
    answers, told = answered(scenes)
    LLAMA.tokenizer.save(str(tmp_path / "tokenizer.json"))
    files.write_json({"folder": str(tmp_path)}, tmp_path / "model.json")
    tables.write(samples.table(told), tmp_path / "samples.parquet", samples.SCHEMA)
    tables.write(captions.captions(answers, told, LLAMA), tmp_path / "captions.parquet", CAPTIONS)
    inputs = {key: str(tmp_path / name) for key, name in (("model", "model.json"), ("captions", "captions.parquet"))}
    found, counts = nouns.from_files(
        **inputs, samples=str(tmp_path / "samples.parquet"), settings=SETTINGS, remote=lambda server, text: []
    )
    tables.write(found, tmp_path / "nouns.parquet", NOUNS)
    assert tables.read(tmp_path / "nouns.parquet", NOUNS).equals(found)
    row = counts.row(0, named=True)
    assert (row["captions"], row["without_noun"], row["kept"], row["spelled_otherwise"]) == (6, 2, 5, 1)
    truth = {one.sample: json.loads(one.answer)["in_picture"] for one in told}
    for one in found.filter(status="kept").iter_rows(named=True):
        assert one["in_picture"] == (one["noun"] in truth[one["sample"]])
