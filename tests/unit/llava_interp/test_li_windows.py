"""Windows of layers at any depth, and the order of released ones."""

import pytest

from vlmscope.llava_interp.knockout import windows
from vlmscope.show import visual_tokens

PUBLISHED = {
    "early": (0, 9),
    "early_mid": (5, 14),
    "mid": (11, 20),
    "mid_late": (15, 24),
    "late": (21, 31),
    "all": (0, 31),
}


def test_windows_of_32_layers_are_the_published_ones():
    assert {one.name: (one.first, one.last) for one in windows.windows(32)} == PUBLISHED
    assert [len(one.layers) for one in windows.windows(32)] == [10, 10, 10, 10, 11, 32]


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 24, 28, 40, 80])
def test_windows_of_any_depth_hold_layers_that_are_there(depth):
    found = {one.name: one for one in windows.windows(depth)}
    assert list(found) == list(PUBLISHED)
    for one in found.values():
        assert 0 <= one.first <= one.last < depth
    assert list(found["all"].layers) == list(range(depth))
    assert [one.first for one in windows.singles(depth)] == list(range(depth))


def test_sliding_windows_cover_every_layer():
    found = windows.sliding(6, [2, 4, 9])
    assert [(one.first, one.last) for one in found] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]


def test_every_group_has_its_name_in_figures():
    assert {name for group in windows.GROUPS for name in group} <= set(visual_tokens.GROUPS)
