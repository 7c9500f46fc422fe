"""Learned steering of the embedded LLaVA: states under forced answers, and answers under vectors of their own."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vlmscope import replay
from vlmscope.capture.batches import picture_of
from vlmscope.datasets import pope as benchmark
from vlmscope.errors import VlmscopeError
from vlmscope.models import answer, inputs
from vlmscope.models.load import describe, load
from vlmscope.settings.xl_vlms.learned import DEFAULT, Task
from vlmscope.store import files
from vlmscope.world import draw
from vlmscope.xl_vlms.learned import answers as learned_answers
from vlmscope.xl_vlms.learned import fit as learned_fit
from vlmscope.xl_vlms.learned import pope
from vlmscope.xl_vlms.learned import states as learned_states
from vlmscope.xl_vlms.learned import train as learned_train
from vlmscope.xl_vlms.learned.net import Net
from vlmscope.xl_vlms.learned.train import Pairs

pytestmark = pytest.mark.slow
WEIGHTS = Path(__file__).resolve().parents[3] / "weights" / "llava15"
TASK = Task(**DEFAULT["tasks"]["pope"]).model_dump(mode="json") | {"epochs": 30}
MOST = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pope")
    for split, first, scenes in (("train", 72_000, 40), ("test", 82_000, 25)):
        benchmark.write([draw.draw("com", first + one) for one in range(scenes)], path, split)
    about = {"family": "llava", "checkpoint": str(WEIGHTS), "revision": "", "dtype": "float32"}
    files.write_json(describe(WEIGHTS, about), path / "model.json")
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    return load(folder / "model.json")


def asked(loaded, folder, split, most=None, **changes):
    samples = list(benchmark.read(folder, split, name="pope"))[:most]
    return learned_states.asked(loaded, benchmark, samples, TASK | changes)


def plan(**changes):
    return learned_states.plan(TASK | changes, 3)


def forced(loaded, folder, every, where, batch=64):
    found = dict(learned_states.states(loaded, every, picture_of(folder), where, batch))
    return learned_states._gathered(every, found)


@pytest.mark.parametrize("shift", ["average", "last_input"])
def test_states_of_a_batch_are_those_of_single_samples(loaded, folder, shift):
    every, where = asked(loaded, folder, "test", 6), plan(shift=shift)
    together, alone = (forced(loaded, folder, every, where, batch) for batch in (6, 1))
    for name in ("context", "wanted", "opposite"):
        np.testing.assert_allclose(getattr(together, name), getattr(alone, name), atol=2e-4)
    assert np.abs(together.shifts).max() > 0.1


def test_the_net_reads_the_state_that_writes_the_first_token(loaded, folder):
    every, where = asked(loaded, folder, "test", 5), plan()
    found = forced(loaded, folder, every, where)
    tensors = inputs.encode(
        loaded, [one.prompt for one in every], [picture_of(folder)(one.sample) for one in every], "left"
    )
    ends = replay.prefix(loaded, tensors, [where.context]).ends(where.context).numpy()
    np.testing.assert_allclose(found.context, ends, atol=2e-4)
    released = forced(loaded, folder, every, plan(context_at="first_answer"))
    assert np.abs(released.context - found.context).max() > 0.1


def test_right_and_wrong_answers_change_places(loaded, folder):
    every = asked(loaded, folder, "test", 8)
    swapped = asked(loaded, folder, "test", 8, completions=TASK["completions"][::-1])
    one, other = (forced(loaded, folder, some, plan()) for some in (every, swapped))
    np.testing.assert_allclose(one.shifts, -other.shifts, atol=2e-4)
    np.testing.assert_allclose(one.context, other.context, atol=2e-4)


def test_a_forced_answer_is_spelled_behind_the_prompt(loaded):
    tokens = learned_states.completion(loaded, loaded.family.chat("is there a dog?"), "yes, the image")
    assert answer.text_of(loaded, tokens) == "yes, the image"
    with pytest.raises(VlmscopeError, match="does not stand behind"):
        learned_states.completion(loaded, "USER: ", "")


@pytest.fixture(scope="module")
def run(loaded, folder):
    """Forced answers of both splits, the net, and answers under every way to steer."""
    where = plan()
    trained = forced(loaded, folder, asked(loaded, folder, "train"), where)
    every = asked(loaded, folder, "test")
    tested = forced(loaded, folder, every, where)
    cut = len(trained.shifts) - 40
    pairs = [Pairs(trained.context[part], trained.shifts[part]) for part in (slice(cut), slice(cut, None))]
    net = learned_train.train(*pairs, TASK).net
    given = learned_answers.steers(trained, tested, net, TASK | {"alphas": [1.0]})
    texts, samples = {"none": [one.prompt for one in every]}, [one.sample for one in every]
    parts = learned_answers.answers(loaded, samples, texts, picture_of(folder), given, where, MOST, 64)
    return trained, tested, net, pl.concat(list(parts)), every


def test_the_net_is_nearer_to_each_samples_own_vector_than_the_mean(run):
    trained, tested, net, _, _ = run
    fit = learned_fit.table(learned_fit.vectors(trained, tested, net, TASK), 0)
    by = {row["method"]: row for row in fit.iter_rows(named=True)}
    assert by["learned"]["cosine_low"] > by["mean"]["cosine_high"]
    assert abs(by["random"]["cosine"]) < 0.3
    assert (by["p2s"]["cosine"], by["p2s"]["length"]) == pytest.approx((1, 1), abs=1e-6)


def test_a_samples_own_vector_helps_and_a_random_one_does_not(run):
    *_, answers, every = run
    told = {one.sample.sample: json.loads(one.sample.answer)["answer"] for one in every}
    right = {
        method: np.mean(
            [pope.right(said, told[name]) for name, said in zip(part["sample"], part["prediction"], strict=True)]
        )
        for (method, _), part in answers.partition_by("method", "alpha", as_dict=True).items()
    }
    assert set(right) == {"none", "random", "mean", "mean_ba", "learned", "p2s"}
    assert right["p2s"] > max(right["none"], right["random"])


def test_answers_without_steering_are_the_models_own(loaded, folder, run):
    *_, answers, every = run
    some = every[:6]
    tensors = inputs.encode(
        loaded, [one.prompt for one in some], [picture_of(folder)(one.sample) for one in some], "left"
    )
    plain = [answer.text_of(loaded, tokens) for tokens in answer.new_tokens(loaded, tensors, MOST)]
    found = dict(answers.filter(method="none").select("sample", "prediction").iter_rows())
    assert [found[one.sample.sample] for one in some] == plain


def test_a_net_that_writes_nothing_steers_nothing(loaded, folder, run):
    trained, tested, net, answers, every = run
    silent = Net(net.encoder_weight, net.encoder_bias, np.zeros_like(net.decoder_weight))
    given = learned_answers.steers(trained, tested, silent, TASK | {"alphas": [1.0]})
    samples = [one.sample for one in every]
    texts = {"none": [one.prompt for one in every]}
    parts = learned_answers.answers(loaded, samples, texts, picture_of(folder), given, plan(), MOST, 64)
    found = pl.concat(list(parts)).filter(method="learned").sort("sample")["prediction"].to_list()
    assert found == answers.filter(method="none").sort("sample")["prediction"].to_list()
