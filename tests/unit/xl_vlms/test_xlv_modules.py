"""Names of places: the released spellings, those of the library, numbers from the end."""

import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.models import base
from vlmscope.xl_vlms.sets import modules


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("language_model.model.layers.31", "block.31"),
        ("model.language_model.layers.31", "block.31"),
        ("model.layers.10", "block.10"),
        ("model.text_model.layers.0", "block.0"),
        ("model.transformer.blocks.27", "block.27"),
        ("block.-1", "block.-1"),
        ("language_model.model.norm", "final_norm"),
        ("model.language_model.norm", "final_norm"),
        ("model.norm", "final_norm"),
        ("model.text_model.norm", "final_norm"),
        ("model.transformer.ln_f", "final_norm"),
        ("final_norm", "final_norm"),
        ("language_model.lm_head", "lm_head"),
        ("lm_head", "lm_head"),
        ("model.transformer.ff_out", "lm_head"),
    ],
)
def test_every_spelling_has_one_name(name, expected):
    assert modules.canonical(name) == expected


@pytest.mark.parametrize(
    "name", ["layers.1", "language_model.model.layers.1.mlp", "model.layers.*", "vision_tower", "block.x", "norm", ""]
)
def test_a_name_of_nothing_is_refused(name):
    with pytest.raises(VlmscopeError, match="names no place"):
        modules.canonical(name)


@pytest.mark.parametrize("family", modules.RELEASED)
def test_released_names_and_those_of_the_library_mean_the_same(family):
    known = base.family(family)
    for name in ("block.3", "final_norm", "lm_head"):
        assert modules.canonical(modules.released(name, family)) == name
    for site, layer in (("resid_post", 3), ("final_norm", 0), ("logits", 0)):
        assert modules.canonical(known.site(site).path.replace("{l}", "3")) == modules.of_site(site, layer)


def test_blocks_count_from_either_end():
    assert modules.site_and_layer("language_model.model.layers.-1", 32) == ("resid_post", 31)
    assert modules.site_and_layer("block.0", 32) == ("resid_post", 0)
    assert modules.site_and_layer("model.norm", 32) == ("final_norm", 0)
    for name in ("block.32", "block.-33"):
        with pytest.raises(VlmscopeError, match="There is no block"):
            modules.site_and_layer(name, 32)


def test_places_stand_in_the_order_of_the_model():
    assert modules.ordered(["final_norm", "block.10", "lm_head", "block.2"]) == [
        *("block.2", "block.10", "final_norm", "lm_head")
    ]


def test_an_unknown_family_or_site_is_named():
    with pytest.raises(VlmscopeError, match="blip"):
        modules.released("block.1", "blip")
    with pytest.raises(VlmscopeError, match="mlp_gate"):
        modules.of_site("mlp_gate", 0)
