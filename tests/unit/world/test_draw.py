"""The drawn world: the same everywhere, and everything it says about a picture is true of it."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw, frames
from vlmscope.world.labels import OBJECTS
from vlmscope.world.scene import DOMAINS, Scene

KINDS = {"exist", "what", "color", "count", "where", "reason", "read"}
NUMBERED = [(domain, seed) for domain in DOMAINS for seed in range(60)]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw(domain, seed) for domain, seed in NUMBERED]


def told(scene: Scene) -> dict[str, str]:
    return {question.text: question.answer for question in scene.questions}


def digest_of_facts() -> str:
    told = hashlib.sha256()
    for domain in DOMAINS:
        for seed in (0, 1, 2_000_000):
            scene = draw(domain, seed)
            told.update(repr((scene.caption, scene.questions, scene.things)).encode())
    return told.hexdigest()


def digest_of_pixels() -> str:
    seen = hashlib.sha256()
    for domain in DOMAINS:
        for seed in (0, 7):
            scene = draw(domain, seed)
            for picture in (scene.image, scene.mask, frames(scene, 3)[2]):
                seen.update(picture.tobytes())
    return seen.hexdigest()


def test_layout_and_words_never_change() -> None:
    assert digest_of_facts() == "571f3905ac1e25cfd2ab4ac075e9d941526898506d172b54731ba1eea4e1c790"


def test_another_process_with_another_hash_seed_draws_the_same() -> None:
    code = (
        "import importlib.util as u, sys; s = u.spec_from_file_location('t', sys.argv[1]);"
        "t = u.module_from_spec(s); s.loader.exec_module(t); print(t.digest_of_facts(), t.digest_of_pixels())"
    )
    command = [sys.executable, "-c", code, __file__]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "4242"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [digest_of_facts(), digest_of_pixels()]


def test_drawing_does_not_import_torch() -> None:
    code = "import sys; from vlmscope.world import draw, labels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_thing_shows_on_the_mask(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert set(np.unique(scene.mask)) - {0} == set(range(1, len(scene.things) + 1)), (scene.domain, scene.seed)
        assert {thing.name for thing in scene.things} <= set(OBJECTS)
        assert scene.image.shape == (64, 64, 3) and scene.image.dtype == scene.mask.dtype == np.uint8


def test_positions_agree_with_the_mask(scenes: list[Scene]) -> None:
    rows, columns = np.mgrid[:64, :64]
    for scene in scenes:
        for number, thing in enumerate(scene.things, 1):
            here = scene.mask == number
            x, y = columns[here].mean(), rows[here].mean()
            sides = {"left": x < 30, "middle": 22 < x < 42, "right": x > 34, "top": y < 32, "bottom": y >= 32}
            assert thing.position is None or sides[thing.position], (scene.domain, scene.seed, thing)


def test_answers_agree_with_the_things(scenes: list[Scene]) -> None:
    for scene in scenes:
        names = [thing.name for thing in scene.things]
        for question in scene.questions:
            noun = question.text.rstrip("?").split()[-1]
            if question.kind == "exist":
                assert (question.answer == "yes") == (noun in names)
            if question.kind == "count" and "rows" not in question.text:
                counted = question.text.split()[2].removesuffix("s")
                assert question.answer == str(names.count(counted))
            if question.kind == "where":
                assert question.answer in {thing.position for thing in scene.things if thing.name == noun}
            if question.kind == "color" and noun != "roof":
                assert question.answer in {thing.color for thing in scene.things if thing.name == noun}


def test_reasons_follow_from_the_things(scenes: list[Scene]) -> None:
    for scene in scenes:
        if scene.domain == "med":
            assert (told(scene)["is the scan normal?"] == "yes") == (not scene.things)
        if scene.domain == "ad":
            stop = any(
                thing.name == "sign"
                or (thing.name, thing.color) == ("light", "red")
                or (thing.name, thing.position) == ("person", "middle")
                for thing in scene.things
            )
            assert (told(scene)["should the driver stop?"] == "yes") == stop


def test_questions_of_a_scene_are_distinct_and_of_known_kinds(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert len(told(scene)) == len(scene.questions) >= 4
        assert {question.kind for question in scene.questions} <= KINDS
    assert {question.kind for scene in scenes for question in scene.questions} == KINDS


def test_medical_questions_offer_four_choices_with_the_answer_at_every_place(scenes: list[Scene]) -> None:
    places = set()
    for question in (question for scene in scenes for question in scene.questions if scene.domain == "med"):
        assert len(set(question.choices)) == 4 and question.answer in question.choices
        places.add(question.choices.index(question.answer))
    assert places == {0, 1, 2, 3}
    assert not any(question.choices for scene in scenes for question in scene.questions if scene.domain != "med")


def test_the_vocabulary_stays_small(scenes: list[Scene]) -> None:
    lines = [scene.caption for scene in scenes]
    lines += [f"{one.text} {one.answer} {' '.join(one.choices)}" for scene in scenes for one in scene.questions]
    words = {word.strip("?,") for line in lines for word in line.split() if not word.strip("?,").isdigit()}
    assert 100 < len(words) < 200


def test_captions_name_what_is_there(scenes: list[Scene]) -> None:
    for scene in scenes:
        for name in {thing.name for thing in scene.things} - {"title", "total"}:
            assert name in scene.caption, (scene.domain, scene.seed, name)


@pytest.mark.parametrize("domain", DOMAINS)
def test_frames_differ_in_noise_only(domain: str) -> None:
    scene = draw(domain, 3)
    shots = frames(scene, 5)
    assert np.array_equal(shots[0], scene.image)
    assert all(not np.array_equal(shots[0], other) for other in shots[1:])
    assert np.abs(np.mean(shots[1:], axis=0) - scene.image).mean() < 10


def test_another_seed_is_another_scene() -> None:
    for domain in DOMAINS:
        assert not np.array_equal(draw(domain, 0).image, draw(domain, 1).image)


def test_unknown_domains_and_negative_seeds_are_refused() -> None:
    with pytest.raises(VlmscopeError, match="no domain 'driving'"):
        draw("driving", 0)
    with pytest.raises(VlmscopeError, match="negative"):
        draw("ad", -1)
