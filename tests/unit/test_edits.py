"""Edits on a hand-made model whose numbers can be followed; families are checked in tests/contract."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vlmscope.edits import silenced, zeroed
from vlmscope.errors import VlmscopeError
from vlmscope.models.base import Family, Site
from vlmscope.models.load import Loaded


class Two(nn.Module):
    """y = down(relu(x)), twice."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.ReLU(), nn.Linear(3, 3, bias=False)) for _ in range(2))
        for number, block in enumerate(self.blocks):
            block[1].weight.data = torch.arange(9.0).reshape(3, 3) + number
        self.requires_grad_(False)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def two():
    sites = {
        "gate": Site("blocks.{l}.0", "output", lambda c: 2, lambda c: 3, "text", "blocks.{l}.1"),
        "entering": Site("blocks.{l}.1", "input", lambda c: 2, lambda c: 3, "text", "blocks.{l}.1"),
    }
    family = Family("two", "", None, sites, "", None, None, "", "")
    return Loaded(Two(), SimpleNamespace(), family, {})


X = torch.tensor([[1.0, 2.0, -1.0]])


def by_hand(cuts):
    """The same in plain matrices; `cuts[layer]` are units set to zero before the second factor."""
    x = X
    for layer in range(2):
        x = x.clamp(min=0).clone()
        x[:, cuts.get(layer, [])] = 0
        x = x @ (torch.arange(9.0).reshape(3, 3) + layer).T
    return x


@pytest.mark.parametrize("edit", [zeroed, silenced])
@pytest.mark.parametrize("site", ["gate", "entering"])
@pytest.mark.parametrize("cuts", [{}, {0: [1]}, {1: [0, 2]}, {0: [0], 1: [1, 2]}, {0: [0, 1, 2]}, {1: []}])
def test_units_are_zero_and_everything_else_is_as_it_was(edit, site, cuts):
    loaded = two()
    with edit(loaded, {site: cuts}):
        assert torch.equal(loaded.model(X), by_hand(cuts))
    assert torch.equal(loaded.model(X), by_hand({}))


@pytest.mark.parametrize("edit", [zeroed, silenced])
def test_nested_edits_add_up_and_are_undone_one_by_one(edit):
    loaded = two()
    with edit(loaded, {"gate": {0: [0]}}):
        with edit(loaded, {"gate": {0: [0, 1]}}):
            assert torch.equal(loaded.model(X), by_hand({0: [0, 1]}))
        assert torch.equal(loaded.model(X), by_hand({0: [0]}))
    assert torch.equal(loaded.model(X), by_hand({}))


def test_a_unit_named_twice_comes_back():
    loaded = two()
    with zeroed(loaded, {"gate": {0: [1, 1]}, "entering": {0: [1]}}):
        assert torch.equal(loaded.model(X), by_hand({0: [1]}))
    assert torch.equal(loaded.model(X), by_hand({}))


@pytest.mark.parametrize("edit", [zeroed, silenced])
@pytest.mark.parametrize(
    "wrong", [{"gate": {0: [1], 1: [7]}}, {"gate": {0: [1], 5: [0]}}, {"gate": {0: [1]}, "no": {}}]
)
def test_an_edit_that_cannot_be_made_leaves_nothing_behind(edit, wrong):
    loaded = two()
    with pytest.raises((IndexError, AttributeError, VlmscopeError)), edit(loaded, wrong):
        loaded.model(X)
    assert torch.equal(loaded.model(X), by_hand({}))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in loaded.model.modules())


def test_the_input_of_an_edited_module_is_not_written_to():
    loaded, given = two(), X.clone()
    with silenced(loaded, {"entering": {0: [0]}}):
        loaded.model(given)
    assert torch.equal(given, X)
