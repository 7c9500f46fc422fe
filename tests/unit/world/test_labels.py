"""Patch labels agree with the mask they are read from."""

import numpy as np
import pytest

from vlmscope.world.document import TITLES
from vlmscope.world.draw import draw
from vlmscope.world.labels import COLOR_NAMES, NONE, OBJECTS, POSITIONS, coverage, letters, patches
from vlmscope.world.scene import DOMAINS


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("patch", [8, 16])
def test_coverage_adds_up_to_the_mask(domain: str, patch: int) -> None:
    scene = draw(domain, 5)
    for number, shares in enumerate(coverage(scene, patch), 1):
        assert shares.sum() * patch * patch == (scene.mask == number).sum()


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_labeled_patch_is_covered_by_its_thing(domain: str) -> None:
    for seed in range(20):
        scene = draw(domain, seed)
        shares, found = coverage(scene), patches(scene, share=0.35)
        for patch, number in enumerate(found.things):
            if number == NONE:
                assert not len(shares) or shares[:, patch].max() < 0.35
                assert found.objects[patch] == found.colors[patch] == NONE
            else:
                thing = scene.things[number]
                assert shares[number, patch] >= 0.35
                assert OBJECTS[found.objects[patch]] == thing.name
                color = found.colors[patch]
                assert (COLOR_NAMES[color] if color != NONE else None) == thing.color
                position = found.positions[patch]
                assert (POSITIONS[position] if position != NONE else None) == thing.position


def test_a_higher_share_labels_fewer_patches() -> None:
    scene = draw("com", 2)
    counts = [(patches(scene, share=share).objects != NONE).sum() for share in (0.1, 0.25, 0.5, 0.9)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_letters_stand_where_the_words_are_written() -> None:
    scene = draw("doc", 1)
    told = {question.text: question.answer for question in scene.questions}
    found = letters(scene)
    assert {TITLES[word] for word in found.titles if word != NONE} == {told["what is the title?"]}
    digits = {(tens, ones) for tens, ones in zip(found.tens, found.ones, strict=True) if tens != NONE}
    assert digits == {tuple(int(digit) for digit in told["what is the total?"])}
    assert all(np.all(blank == NONE) for blank in letters(draw("rs", 1)))
