"""One finished run for all tests that only look at it."""

import pytest
from checkout import ALL, EVERYTHING, Checkout


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which table 2 and the effects were made locally on two cores."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("finished") / "vlmscope")
    checkout.run(*ALL, "--cores", "2")
    return checkout


@pytest.fixture(scope="session")
def everything(finished: Checkout) -> Checkout:
    """The finished run with figures, pages, scores and released files."""
    finished.run(*EVERYTHING, "--cores", "2")
    return finished
