"""Settings of the atlas that do not hold together, and where its files are."""

import json
from types import SimpleNamespace

import pytest
from configured import changed

from vlmscope.atlas.plan import Plan
from vlmscope.errors import VlmscopeError


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run__atlas": ["blob"]}, "run.atlas names 'blob'"),
        ({"atlas__sets": ["dog", "no"]}, "atlas.sets names 'no'"),
        ({"atlas__sets": ["dog", "colors"]}, "'colors-test', which xl_vlms.sets does not have"),
        ({"atlas__sets": ["dog"]}, "atlas.sets"),
        ({"multimodal_sae__site": "mlp_out[1]"}, "must be resid_post"),
        ({"atlas__steer__strengths": [1.0, 0.1, 3.0]}, "must rise"),
        ({"atlas__steer__strengths": [0.0, 0.1, 3.0]}, "must rise"),
        ({"atlas__steer__kl": 0}, "atlas.steer.kl"),
    ],
)
def test_what_does_not_hold_together_is_named(change, words):
    with pytest.raises(VlmscopeError, match=words):
        changed(**change)


def test_files_of_words_stand_in_the_order_of_the_sets():
    plan, own = Plan(changed(atlas__sets=["person", "bird", "cat"])), SimpleNamespace(model="m")
    assert json.loads(plan.words(own)) == {"person": "person", "bird": "bird", "cat": "cat"}
    assert plan.train(own)[1] == "results/xl_vlms/m/vectors/bird.h5"
    assert plan.test(own)[0] == "results/xl_vlms/m/vectors/person-test.h5"
    # Birds are in no dictionary.
    assert plan.concepts(own) == [f"results/xl_vlms/m/dictionaries/{name}.h5" for name in ("person", "cat")]


def test_sets_of_one_word_are_refused_where_the_atlas_is_made_and_not_before():
    plan = Plan(changed(atlas__sets=["dog", "dog"]))
    with pytest.raises(VlmscopeError, match="different words"):
        plan.words(SimpleNamespace(model="m"))
