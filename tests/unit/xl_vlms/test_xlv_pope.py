"""POPE and MM-SafetyBench under learned steering: what tables make of answers."""

import json

import polars as pl
import pytest

from vlmscope.datasets import pope as benchmark
from vlmscope.errors import VlmscopeError
from vlmscope.samples import Sample
from vlmscope.world.draw import draw
from vlmscope.xl_vlms.learned import pope, safety_table
from vlmscope.xl_vlms.learned.vectors import ANSWERS

ABOUT = {"model": "llava15", "family": "llava", "seed": 0}


def sample(number, answer):
    name = f"pope-test-{number}"
    return Sample(name, "pope", "test", number, name, ("a.jpg",), 8, 8, "is there?", (), json.dumps(answer))


SAMPLES = [
    sample(0, {"answer": "yes", "subset": "random"}),
    sample(1, {"answer": "yes", "subset": "popular"}),
    sample(2, {"answer": "no", "subset": "random"}),
    sample(3, {"answer": "no", "subset": "popular"}),
    sample(4, {"answer": "no", "subset": "adversarial"}),
]


def answers(**said):
    """Method -> answers to all samples."""
    rows = [
        {"method": method, "alpha": float(method != "none"), "sample": one.sample, "prediction": text}
        for method, texts in said.items()
        for one, text in zip(SAMPLES, texts, strict=True)
    ]
    return pl.DataFrame(rows, schema=ANSWERS)


@pytest.mark.parametrize(
    ("said", "answer", "correct"),
    [
        ("Yes, the image", "yes", True),
        ("I see a dog; yes", "yes", False),
        ("no", "yes", False),
        ("Nothing", "no", True),
    ],
)
def test_the_answer_stands_in_the_first_fifteen_characters(said, answer, correct):
    assert pope.right(said, answer) == correct


@pytest.mark.parametrize(("accuracy", "f1"), [(82.73, 90.55), (84.91, 91.84), (84.29, 91.47), (86.46, 92.74)])
def test_the_published_f1_follows_from_the_accuracy(accuracy, f1):
    assert 100 * pope.f1_as_official(accuracy / 100) == pytest.approx(f1, abs=0.015)


def test_f1_counts_yes():
    assert pope.f1(["yes", "yes", "no"], ["yes", "no", "yes"]) == pytest.approx(0.5)
    assert pope.f1(["no"], ["no"]) == 0


def test_a_subset_has_every_yes_and_its_own_no():
    assert pope.members(SAMPLES, "popular") == [0, 1, 3]


def test_the_table_has_a_row_per_subset_and_way_to_steer():
    rows = answers(none=["yes", "no", "no", "yes", "no"], learned=["yes", "yes", "no", "yes", "no"])
    found = pope.table(rows, SAMPLES, ABOUT)
    assert found.shape[0] == 8
    assert found.filter(subset="all")["n"].to_list() == [5, 5]
    assert found.filter(subset="all")["published_accuracy_pct"].null_count() == 2
    first = found.row(by_predicate=(pl.col("subset") == "random") & (pl.col("method") == "none"), named=True)
    assert first["accuracy_pct"] == pytest.approx(200 / 3)
    assert (first["n"], first["published_accuracy_pct"], first["published_f1_pct"]) == (3, 82.73, 90.55)
    better = found.row(by_predicate=(pl.col("subset") == "random") & (pl.col("method") == "learned"), named=True)
    assert (better["accuracy_pct"], better["published_accuracy_pct"]) == (100, 86.46)
    assert better["p"] == 1.0  # a single answer changed
    other = pope.table(rows, SAMPLES, ABOUT | {"family": "idefics2"})
    assert other["published_accuracy_pct"].null_count() == other["source"].null_count() == 8


def test_all_questions_of_the_test_are_read_once(tmp_path):
    scenes = [draw("com", number) for number in range(4)]
    benchmark.write(scenes, tmp_path, "test")
    found = {split: list(benchmark.read(tmp_path, split, name="pope")) for split in ("test", *benchmark.SUBSETS)}
    by_subset = {name: {one.sample for one in rows} for name, rows in found.items()}
    questions = [(one.images, one.question) for one in found["test"]]
    assert len(questions) == len(benchmark.questions(scenes))
    known = [json.loads(one.answer) for one in found["test"]]
    for subset in benchmark.SUBSETS:
        wanted = [one for one in known if one["answer"] == "yes" or one["subset"] == subset]
        assert len(found[subset]) == len(wanted) == len(by_subset[subset])


def test_published_files_are_joined_without_their_common_questions(tmp_path):
    (tmp_path / "val2014").mkdir()
    (tmp_path / "images").mkdir()
    scenes = [draw("com", 0)]
    benchmark.write(scenes, tmp_path, "test")
    name = benchmark.questions(scenes)[0]["filename"]
    (tmp_path / "val2014" / name).write_bytes((tmp_path / "test" / "images" / name).read_bytes())
    for subset in benchmark.SUBSETS:
        rows = [{"image": name, "text": "Is there a dog?", "label": "yes"}]
        rows += [{"image": name, "text": "Is there a cat?", "label": "no"}]
        (tmp_path / f"coco_pope_{subset}.json").write_text("\n".join(map(json.dumps, rows)))
    found = [json.loads(one.answer) for one in benchmark.read(tmp_path, "test", name="pope")]
    assert [one["answer"] for one in found].count("yes") == 1
    assert [one["subset"] for one in found if one["answer"] == "no"] == list(benchmark.SUBSETS)


# ---- MM-SafetyBench ----------------------------------------------------------------------------------------------


def requests():
    scenarios = ["01-Illegal_Activitiy", "10-Legal_Opinion", "12-Health_Consultation"]
    return [sample(number, {"scenario": name}) for number, name in enumerate(scenarios)]


def responses(**said):
    rows = [
        {"method": method, "alpha": 2.2, "sample": one.sample, "prediction": text}
        for method, texts in said.items()
        for one, text in zip(requests(), texts, strict=True)
    ]
    return pl.DataFrame(rows, schema=ANSWERS)


def test_what_nothing_judges_stays_empty():
    found = safety_table.table(responses(learned=["a", "b", "c"]), requests(), ABOUT, (), {})
    assert found["deferring"].null_count() == found["unsafe_50"].null_count() == 1
    assert found["published_unsafe_50"].to_list() == [0.082]


def test_phrases_and_a_guard_judge_responses():
    guard = {("learned", one.sample): value for one, value in zip(requests(), (0.99, 0.1, 0.6), strict=True)}
    rows = responses(learned=["ask a lawyer", "ask a lawyer", "do it"])
    found = safety_table.table(rows, requests(), ABOUT, ("lawyer",), guard)
    row = found.row(0, named=True)
    assert (row["n"], row["n_experts"], row["deferring"]) == (3, 2, 0.5)
    assert row["unsafe_50"] == pytest.approx((25 + 6) / 75)
    assert row["deferring_as_official"] is None  # fewer responses than the released rows
    with pytest.raises(VlmscopeError, match="guard's table lacks 3 responses of 'mean'"):
        safety_table.table(responses(mean=["a", "b", "c"]), requests(), ABOUT, (), guard)
