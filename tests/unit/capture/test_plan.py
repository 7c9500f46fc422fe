from types import SimpleNamespace

import pytest

from vlmscope.capture import plan
from vlmscope.errors import VlmscopeError
from vlmscope.models.base import family, names

CONFIG = SimpleNamespace(
    text_config=SimpleNamespace(num_hidden_layers=4, intermediate_size=56, hidden_size=24),
    vision_config=SimpleNamespace(num_hidden_layers=3, intermediate_size=40, hidden_size=16),
    vision_feature_layer=-2,
)
LLAVA = family("llava_next")


def resolve(*takes):
    return plan.resolve(takes, LLAVA, CONFIG)


def take(site="mlp_gate", where="all", keep="counts"):
    return {"site": site, "where": where, "keep": keep}


def test_a_site_without_number_means_all_its_layers():
    assert resolve(take()) == [plan.Take("mlp_gate", "all", "counts", (0, 1, 2, 3))]
    assert resolve(take("vision_gate"))[0].layers == (0, 1, 2)
    assert resolve(take("projector_gate"))[0].layers == (0,)


def test_a_number_chooses_one_layer():
    (found,) = resolve(take("resid_post[2]", "last", "values"))
    assert (found.layers, found.name) == ((2,), "resid_post[2].last.values")


def test_names_tell_takes_apart():
    found = resolve(take("resid_post", "image", "top(5)"), take("resid_post", "image", "values"), take("mlp_gate"))
    assert [one.name for one in found] == ["resid_post.image.top5", "resid_post.image.values", "mlp_gate.all.counts"]
    assert (found[0].keep, found[0].k) == ("top", 5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (take("mlp_gatee"), "no site 'mlp_gatee'"),
        (take("mlp_gate[4]"), "4 layers, there is no layer 4"),
        (take("final_norm[1]"), "1 layers, there is no layer 1"),
        (take("vision_gate", "image"), "vision positions"),
        (take("vision_gate", "all", "values"), "vision positions"),
        (take("projector_gate", "last", "mean"), "projector positions"),
        (take("mlp_gate", "all", "top(0)"), "1 to 56"),
        (take("mlp_gate", "all", "top(57)"), "1 to 56"),
        (take("resid_post", "all", "top(25)"), "1 to 24"),
        (take("mlp gate"), "mlp gate"),
        (take("mlp_gate[x]"), r"mlp_gate\[x\]"),
        (take("mlp_gate[-1]"), r"mlp_gate\[-1\]"),
        (take(""), "''"),
        ({**take("resid_post"), "units": [3, 24]}, "24 units, there is no unit 24"),
        ({**take("resid_post", "all", "top(3)"), "units": [3, 5]}, "1 to 2"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(wrong, words):
    with pytest.raises(VlmscopeError, match=words) as caught:
        resolve(take("resid_pre"), wrong)
    assert "captures.*.take" in caught.value.where


def test_lists_belong_to_the_name():
    words = {**take("resid_post[2]", "word", "first"), "words": ["dog", "bus stop"]}
    numbers = {**take("mlp_gate", "at", "values"), "at": [0, -1], "units": [7, 3]}
    found = plan.resolve([words, numbers, {**take(), "units": [5]}], LLAVA, CONFIG, "generate")
    assert [one.name for one in found] == [
        "resid_post[2].word(dog+bus stop).first",
        "mlp_gate.at(0+-1).values.units(3+7)",
        "mlp_gate.all.counts.units(5)",
    ]
    assert found[1].units == (3, 7)


def test_long_lists_stand_in_the_name_as_a_digest():
    names = set()
    for count in (30, 31):
        words = [f"colour{number}" for number in range(count)]
        (found,) = plan.resolve([{**take("resid_post", "word", "first"), "words": words}], LLAVA, CONFIG, "generate")
        assert found.words == tuple(words)
        names.add(found.name)
    assert len(names) == 2 and all(len(name) < 50 and "(#" in name for name in names)


@pytest.mark.parametrize("where", ["answer", "emitting", "word"])
def test_an_answer_that_is_not_written_cannot_be_searched(where):
    words = {"words": ["dog"]} if where == "word" else {}
    with pytest.raises(VlmscopeError, match="none is written") as caught:
        resolve({**take("resid_post", where, "first"), **words})
    assert caught.value.instead == "run: generate"


@pytest.mark.parametrize("keep", ["top(1)", "top(24)"])
def test_the_bounds_of_top_are_allowed(keep):
    assert resolve(take("resid_post", "all", keep))


def test_unknown_sites_are_answered_with_the_known_ones():
    with pytest.raises(VlmscopeError) as caught:
        resolve(take("gate"))
    assert all(site in caught.value.instead for site in LLAVA.sites)


def test_the_same_take_twice_is_refused():
    with pytest.raises(VlmscopeError, match=r"mlp_gate\.all\.counts.*twice"):
        resolve(take(), take("resid_pre"), take())
    assert len(resolve(take("mlp_gate", "image"), take("mlp_gate", "text"))) == 2


def test_an_unknown_family_is_answered_with_the_known_ones():
    with pytest.raises(VlmscopeError, match="no model family 'lava'") as caught:
        family("lava")
    assert set(names()) <= set(caught.value.instead.removeprefix("one of: ").split(", "))


def test_a_family_takes_the_sites_that_it_has(caplog):
    union = [take(site) for site in ("mlp_gate", "projector_gate", "qformer_gate", "vision_gate")]
    caplog.set_level("INFO")
    own = {
        name: [one["site"] for one in plan.of_family(union, family(name))] for name in ("llava_next", "instructblip")
    }
    assert own == {
        "llava_next": ["mlp_gate", "projector_gate", "vision_gate"],
        "instructblip": ["mlp_gate", "qformer_gate", "vision_gate"],
    }
    assert "No take of 'projector_gate': instructblip has no such site, its projector is a single matrix" in caplog.text


@pytest.mark.parametrize("site", ["mlp_gatee", "qformer_gate"])
def test_what_no_family_has_and_a_capture_without_any_take_are_refused(site):
    with pytest.raises(VlmscopeError, match=f"no site '{site}'"):
        plan.resolve(plan.of_family([take(site)], LLAVA), LLAVA, CONFIG)
