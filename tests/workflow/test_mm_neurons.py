"""Captions and nouns of MM_Neurons: a small run, and what a change makes anew."""

import json

import pytest
from checkout import Checkout

from vlmscope import samples
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUN_COUNTS, NOUNS
from vlmscope.store import rows, shards, tables

HOME = "results/mm_neurons/llava-llama2"
INDEX = "results/captures/llava-llama2/captions/sbu/index.json"
TARGETS = (f"{HOME}/nouns.parquet",)
PICTURES = 12


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the nouns of a few captions were found."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("worded") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1")
    return checkout


def test_captions_are_those_that_the_capture_wrote(worded):
    captions = tables.read(worded.folder / HOME / "captions.parquet", CAPTIONS)
    answers = shards.read_answers(worded.folder / INDEX)
    assert captions["sample"].to_list() == list(answers) and len(captions) == PICTURES
    for one in captions.iter_rows(named=True):
        tokens, end = answers[one["sample"]]
        assert one["tokens"] == tokens + [end] * (end >= 0)


def test_a_caption_s_row_is_where_its_first_token_was_written(worded):
    captions = tables.read(worded.folder / HOME / "captions.parquet", CAPTIONS)
    with rows.opened(worded.folder / INDEX, "mlp_hidden.emitting.values") as found:
        for number, one in enumerate(captions.iter_rows(named=True)):
            own = (found.sample == number).nonzero()[0]
            written = one["tokens"][: len(own)]
            assert own.tolist() == list(range(one["row"], one["row"] + len(written)))
            # A row stands one position before the token that it wrote.
            assert found.token[own[1:]].tolist() == written[:-1]
        assert len(found) == sum(len(answer.tokens) for answer in shards.read_answers(worded.folder / INDEX).values())


def test_nouns_stand_where_their_tokens_were_written(worded):
    captions = tables.read(worded.folder / HOME / "captions.parquet", CAPTIONS)
    tokens = dict(captions.select("sample", "tokens").iter_rows())
    nouns = tables.read(worded.folder / HOME / "nouns.parquet", NOUNS)
    told = samples.read(worded.folder / "results/data/sbu/train.parquet")
    truth = {one.sample: json.loads(one.answer)["in_picture"] for one in told}
    kept = nouns.filter(status="kept")
    assert nouns["sample"].n_unique() == PICTURES and len(kept) >= PICTURES
    for one in kept.iter_rows(named=True):
        assert tokens[one["sample"]][one["position"]] == one["token"] == one["tokens"][0]
        assert one["in_picture"] == (one["noun"] in truth[one["sample"]])
    # The trained model says what it sees, most of the time.
    assert kept["in_picture"].mean() > 0.8
    counts = tables.read(worded.folder / HOME / "noun_counts.csv", NOUN_COUNTS).row(0, named=True)
    assert (counts["captions"], counts["kept"]) == (PICTURES, len(kept))


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("mm_neurons.rank.keep=5; mm_neurons.maps.percentile=90; mm_neurons.measures.k=[2]", {}),
        ("mm_neurons.nouns.sentences=first", {"mm_neurons_nouns": 1}),
        (
            "captures.captions.begin=a picture of",
            {"capture_shard": 2, "capture_index": 1, "mm_neurons_captions": 1, "mm_neurons_nouns": 1},
        ),
    ],
)
def test_a_change_makes_anew_what_depends_on_it(worded, change, again):
    assert {key: count for key, count in worded.planned(change, TARGETS).items() if count} == again


def first_positions(checkout):
    """Position of the first written row of every sample."""
    with rows.opened(checkout.folder / INDEX, "mlp_gate.emitting.values") as found:
        return {number: int(found.position[found.sample == number][0]) for number in set(found.sample.tolist())}


def test_begun_answers_go_on_behind_the_words(worded):
    before = first_positions(worded)
    worded.run(*TARGETS, "--cores", "1", overlays=worded.overlays("captures.captions.begin=a picture of"))
    captions = tables.read(worded.folder / HOME / "captions.parquet", CAPTIONS)
    assert not any(caption.startswith("a picture of") for caption in captions["caption"])
    after = first_positions(worded)
    assert all(after[number] >= before[number] + 3 for number in after) and after
