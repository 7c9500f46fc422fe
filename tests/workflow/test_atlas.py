"""The atlas as the engine plans it: what a change makes anew, and models that it cannot be made of. Nothing is run."""

import pytest
from checkout import Checkout

PAGE = ("results/atlas/llava15/index.html",)
STEERING = {"atlas_runs", "atlas_destroyed", "atlas_steering", "atlas_page"}
WORDS = {"atlas_neurons", "atlas_directions", "atlas_depth", *STEERING}


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which empty files stand for all results behind the page, marked as made by the rules of now."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("placed") / "vlmscope")
    listed = checkout.run(*PAGE, "--summary").stdout.splitlines()
    for line in listed[listed.index(next(one for one in listed if one.startswith("output_file"))) + 1 :]:
        file = checkout.folder / line.split("\t")[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    checkout.run(*PAGE, "--touch", "--cores", "1")
    return checkout


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("", set()),
        ("atlas.steer.kl=0.2", STEERING),
        ("atlas.sets=[dog, cat, chair]", WORDS),
    ],
)
def test_a_change_of_the_atlas_makes_anew_what_follows_from_it_alone(placed, change, jobs):
    assert set(placed.planned(change, PAGE)) == jobs


def test_a_model_that_one_system_cannot_look_at_is_refused_before_anything_is_planned(placed):
    done = placed.run("results/atlas/blip/index.html", "-n", check=False)
    said = done.stdout + done.stderr
    assert done.returncode and "There is no atlas of 'blip'" in said and "Traceback" not in said
    assert "models.blip.family: instructblip" in said and "instead: one of: llava15, llava-phi" in said
