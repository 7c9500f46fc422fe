"""Pages and released files of MM_Neurons: a small run, what a change makes anew, and there and back."""

import json

import numpy as np
import pytest
import yaml
from checkout import Checkout

from vlmscope.mm_neurons.look import catalogue, examples
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUNS
from vlmscope.store import tables

HOME = "results/mm_neurons/llava-llama2"
PAGES = tuple(f"{HOME}/{name}.html" for name in ("gallery", "catalogue", "table_examples"))
RELEASED = tuple(f"{HOME}/released/{kind}/files.json" for kind in ("act_fn", "down_proj_input", "preparation"))
TARGETS = (*PAGES, *RELEASED)
SMALL = "tests/workflow/small.yaml"
PICTURES = 12
# Far above what the small pages have.
LARGEST_PAGE = 2_000_000
GALLERY, CATALOGUE, EXAMPLES = ({f"mm_neurons_{name}": 1} for name in ("gallery", "catalogue", "examples"))
EXPORT = {"mm_neurons_export": 2}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with pages and released files of one model."""
    checkout = Checkout.copy(tmp_path_factory.mktemp("shown") / "vlmscope")
    checkout.run(*TARGETS, "--cores", "1", overlays=checkout.overlays(LESS))
    return checkout


LESS = "mm_neurons.perturb.images=2; mm_neurons.perturb.draws=2; mm_neurons.exchange.images=5"


def data_of(checkout, name):
    page = checkout.read(f"{HOME}/{name}.html")
    assert len(page) < LARGEST_PAGE
    return json.loads(page.decode().split('id="data">')[1].split("</script>")[0])


def test_the_gallery_has_every_picture_with_its_nouns_in_their_places(shown):
    images = data_of(shown, "gallery")["images"]
    assert len(images) == PICTURES
    for image in images:
        assert "".join(text for text, _ in image["pieces"]) == image["caption"]
        # Every noun can be clicked somewhere in the caption.
        assert {noun for _, noun in image["pieces"]} >= set(range(len(image["nouns"])))
        for noun in image["nouns"]:
            assert all(len(own["neurons"]) == 10 and own["grid"] == [8, 8] for own in noun["by"].values())
    assert sum(bool(noun["changed"]) for image in images[:2] for noun in image["nouns"]) >= 2
    assert not any(noun["changed"] for image in images[2:] for noun in image["nouns"])


def test_the_catalogue_counts_every_noun_of_every_picture(shown):
    rows = tables.read(shown.folder / HOME / "catalogue.csv", catalogue.CATALOGUE)
    kept = tables.read(shown.folder / HOME / "nouns.parquet", NOUNS).filter(status="kept")
    for activation in ("act_fn", "down_proj_input"):
        own = rows.filter(activation=activation)
        assert own["images"].sum() == len(kept) and set(own["noun"]) == set(kept["noun"])
        assert (own["shown"] + own["absent"] == own["images"]).all()
    neurons = tables.read(shown.folder / HOME / "catalogue_neurons.csv", catalogue.NEURONS)
    # The trained model's neurons say what they write.
    assert neurons.filter(place=1)["writes"].any()
    assert [one["noun"] for one in data_of(shown, "catalogue")["nouns"]] == (
        rows.filter(activation="act_fn").sort("images", "noun", descending=[True, False])["noun"].to_list()
    )


def test_examples_have_every_method(shown):
    found = tables.read(shown.folder / HOME / "table_examples.csv", examples.EXAMPLES)
    methods = {"contribution", "activation", "random", "contribution_negative"}
    assert methods | {"gradient"} <= set(found.filter(activation="down_proj_input")["method"])
    assert methods <= set(found.filter(activation="act_fn")["method"])
    assert found.group_by("image_id", "noun", "activation", "method").len()["len"].unique().to_list() == [10]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("mm_neurons.show.images=3", GALLERY),
        ("mm_neurons.show.examples=3", EXAMPLES),
        ("mm_neurons.show.k=5", CATALOGUE),
        ("mm_neurons.rank.listed=5", GALLERY | CATALOGUE | EXAMPLES | EXPORT),
        ("mm_neurons.maps.percentile=90", GALLERY | EXPORT),
        ("mm_neurons.maps.interpolation=centre", GALLERY | EXPORT),
        ("mm_neurons.maps.sizes=[1, 20]", GALLERY | EXPORT),
        ("mm_neurons.maps.singles=2", GALLERY | EXPORT),
        ("mm_neurons.exchange.images=4", EXPORT),
        ("mm_neurons.measures.k=[2]; mm_neurons.maps.images=2", {}),
        ("models.llava-llama2.label=LLaVA", GALLERY | CATALOGUE | EXAMPLES),
    ],
)
def test_a_change_makes_anew_what_depends_on_it(shown, change, again):
    assert {key: count for key, count in shown.planned(f"{LESS}; {change}", TARGETS).items() if count} == again


def test_every_released_file_is_named_and_there(shown):
    for target in RELEASED:
        folder, names = (shown.folder / target).parent, json.loads(shown.read(target))["files"]
        assert all((folder / name).is_file() for name in names)
    names = json.loads(shown.read(RELEASED[0]))["files"]
    assert len([name for name in names if name.endswith("original_image.png")]) == 5
    assert len([name for name in names if name.endswith("perturb.json")]) >= 2


def test_imported_results_are_those_that_were_exported_and_need_no_model(shown, tmp_path):
    other = Checkout.copy(tmp_path / "vlmscope")
    tree = {"folder": str((shown.folder / RELEASED[1]).parent), "activation": "down_proj_input"}
    own = {"rank": {"activations": ["down_proj_input"]}, "exchange": {"imported": {"llava-llama2": tree}}}
    (other.folder / "changed.yaml").write_text(yaml.safe_dump({"mm_neurons": own}))
    done = other.run(f"{HOME}/catalogue.html", "--cores", "1", overlays=(SMALL, "changed.yaml"))
    ran = done.stdout + done.stderr
    assert "mm_neurons_import" in ran
    assert not [rule for rule in ("capture_shard", "mm_neurons_captions", "mm_neurons_rank") if f"rule {rule}:" in ran]
    captions, nouns = (
        [tables.read(one.folder / HOME / f"{name}.parquet", schema) for one in (shown, other)]
        for name, schema in (("captions", CAPTIONS), ("nouns", NOUNS))
    )
    assert captions[1].select("sample", "caption").rows() == captions[0].select("sample", "caption").head(5).rows()
    five = nouns[0].filter(nouns[0]["sample"].is_in(captions[1]["sample"].to_list()))
    assert nouns[1].equals(five)
    before, after = (
        lists.read(one.folder / HOME / "neurons.h5", "down_proj_input", "contribution") for one in (shown, other)
    )
    assert set(after) == set(five.filter(status="kept").select("sample", "noun").iter_rows())
    for key, one in after.items():
        for column in ("layer", "unit", "score"):
            np.testing.assert_array_equal(getattr(one, column), getattr(before[key], column))


def test_an_import_without_its_activation_alone_is_told(shown):
    tree = "{llava-llama2: {folder: elsewhere, activation: act_fn}}"
    done = shown.run(*PAGES, "-n", overlays=shown.overlays(f"mm_neurons.exchange.imported={tree}"), check=False)
    assert done.returncode
    assert "mm_neurons.rank.activations must be [act_fn]" in done.stdout + done.stderr
