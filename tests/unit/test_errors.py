import copy
import pickle

import pytest

from vlmscope.errors import VlmscopeError


def test_an_error_says_what_where_and_what_instead():
    error = VlmscopeError("No such site.", where="captures.x.take", instead="mlp_gate")
    assert str(error) == "No such site.\n  where: captures.x.take\n  instead: mlp_gate"


@pytest.mark.parametrize(
    ("parts", "text"), [({}, "W"), ({"where": "a"}, "W\n  where: a"), ({"instead": "b"}, "W\n  instead: b")]
)
def test_what_is_not_known_is_left_out(parts, text):
    assert str(VlmscopeError("W", **parts)) == text


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_an_error_survives_the_way_between_processes(copied):
    error = copied(VlmscopeError("what", where="where", instead="instead"))
    assert type(error) is VlmscopeError
    assert (error.what, error.where, error.instead) == ("what", "where", "instead")
    assert str(error) == "what\n  where: where\n  instead: instead"
