"""Vector sets of XL-VLMs: a small run, what a change makes anew, files of the released code in and out."""

import json

import numpy as np
import pytest
from checkout import Checkout

from vlmscope import samples
from vlmscope.store import rows, shards
from vlmscope.xl_vlms.sets import vectors

HOME = "results/xl_vlms/llava15"
INDEX = "results/captures/llava15/concept_states/coco/index.json"
SETS = ("dog", "captions", "type-all")
TARGETS = (*(f"{HOME}/vectors/{name}.h5" for name in SETS), f"{HOME}/released/features/dog.pth")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which three sets were made."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("vectors") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1")
    return checkout


def test_words_stand_where_they_were_written_and_the_reference_has_them(made):
    found = vectors.read(made.folder / HOME / "vectors" / "dog.h5", "final_norm")
    told = {one.sample: json.loads(one.answer) for one in samples.read(made.folder / "results/data/coco/train.parquet")}
    having = [name for name, answer in told.items() if "dog" in answer["captions"][0].replace(",", "").split()]
    assert set(found.samples) <= set(having) and len(found.samples) >= len(having) / 2 > 0
    assert all("dog" in text.replace(",", "").split() for text in found.texts)
    with rows.opened(made.folder / INDEX, "final_norm.emitting.values") as states:
        for sample, text, value in zip(found.samples, found.texts, found.values, strict=True):
            own = np.flatnonzero(states.sample == states.samples.index(sample))
            # A token per word: the place of the first dog among words and commas.
            place = text.replace(",", " ,").split().index("dog")
            assert np.array_equal(states.values(own[place])[0].astype(np.float32), value)


def test_captions_are_means_over_what_was_written(made):
    found = vectors.read(made.folder / HOME / "vectors" / "captions.h5", "block.-1")
    answers = shards.read_answers(made.folder / INDEX)
    assert found.samples == list(answers) and all(answer.end >= 0 for answer in answers.values())
    with rows.opened(made.folder / INDEX, "resid_post.emitting.values") as states:
        for number, value in enumerate(found.values):
            own = np.flatnonzero(states.sample == number)
            mean = np.mean([states.values(row)[-1].astype(np.float32) for row in own], axis=0)
            np.testing.assert_allclose(value, mean, atol=2e-3 * np.abs(mean).max())


def test_every_question_has_the_state_at_the_end_of_its_prompt(made):
    found = vectors.read(made.folder / HOME / "vectors" / "type-all.h5", "block.0")
    assert len(found.samples) == found.total == 40


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("xl_vlms.sets.cat.cap=3", {}),
        ("xl_vlms.sets.captions.cap=3", {"xl_vlms_vectors": 1}),
        ("xl_vlms.sets.dog.words=[cat]; xl_vlms.sets.dog.has=[cat]", {"xl_vlms_vectors": 1, "xl_vlms_export": 1}),
        (
            "captures.answer_states.max_new_tokens=3",
            {"capture_shard": 1, "capture_index": 1, "xl_vlms_vectors": 1},
        ),
    ],
)
def test_a_change_makes_anew_what_depends_on_it(made, change, again):
    assert {key: count for key, count in made.planned(change, TARGETS).items() if count} == again


def test_a_released_file_takes_the_place_of_a_capture(made):
    (made.folder / HOME / "released/features/dog.pth").rename(made.folder / "theirs.pth")
    change = made.overlays("xl_vlms.exchange.imported.idefics2.dog=theirs.pth")
    made.run("results/xl_vlms/idefics2/released/features/dog.pth", "--cores", "1", overlays=change)
    own, imported = (
        vectors.read(
            made.folder / f"results/xl_vlms/{name}/vectors/dog.h5", "block.-1" if name == "llava15" else "block.2"
        )
        for name in ("llava15", "idefics2")
    )
    assert np.array_equal(own.values, imported.values) and own.texts == imported.texts
    assert not (made.folder / "results/captures/idefics2").exists()
    theirs, again = (
        made.folder / name for name in ("theirs.pth", "results/xl_vlms/idefics2/released/features/dog.pth")
    )
    assert theirs.read_bytes() == again.read_bytes()


def test_a_set_without_its_take_is_told_before_anything_runs(made):
    change = made.overlays("xl_vlms.sets.dog.rule=index; xl_vlms.sets.dog.words=[]; xl_vlms.sets.dog.search=whole")
    told = made.run(*TARGETS, "-n", overlays=change, check=False)
    assert told.returncode and "{site: resid_post, where: all, keep: values}" in told.stderr + told.stdout
