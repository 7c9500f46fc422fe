import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import masks, modules, schemas

DOMAINS = ("ad", "med")
WIDTHS = {"mlp_gate": 40, "vision_gate": 30, "projector_gate": 24}
ROWS = [
    ("lang", 2, 7, "ad"),
    ("lang", 0, 9, "ad"),
    ("lang", 0, 3, "ad"),
    ("lang", 0, 3, "med"),
    ("vision", 1, 5, "ad"),
    ("mmproj", 0, 1, "med"),
]


@pytest.fixture
def neurons():
    rows = [(*row, 0.5, 0.1, 0.4) for row in ROWS]
    return pl.DataFrame(rows, schema=schemas.neurons(DOMAINS), orient="row")


def test_a_condition_masks_the_domain_s_own_neurons_of_its_modules(neurons):
    conditions = [("lang", ["lang"]), ("vision", ["vision", "mmproj"]), ("none", [])]
    assert masks.of_conditions(neurons, "llava_next", "ad", conditions) == {
        "lang": {"mlp_gate": {0: [3, 9], 2: [7]}},
        "vision": {"vision_gate": {1: [5]}, "projector_gate": {}},
        "none": {},
    }
    assert masks.of_domain(neurons, "llava_next", "med", ["lang", "mmproj"]) == {
        "mlp_gate": {0: [3]},
        "projector_gate": {0: [1]},
    }


def test_size_counts_units(neurons):
    assert masks.size(masks.of_domain(neurons, "llava_next", "ad", ["lang", "vision", "mmproj"])) == 4
    assert masks.size({}) == masks.size({"mlp_gate": {}}) == 0


OWN = {"vision_gate": {0: list(range(0, 30, 3))}, "mlp_gate": {0: [3, 9], 2: list(range(20))}}


@pytest.mark.parametrize("seed", range(5))
def test_random_masks_have_the_same_sizes_and_nothing_of_the_real_one(seed):
    drawn = masks.random_like(OWN, WIDTHS, seed)
    assert set(drawn) == set(OWN)
    for site, layers in OWN.items():
        assert set(drawn[site]) == set(layers)
        for layer, members in layers.items():
            picked = drawn[site][layer]
            assert len(set(picked)) == len(picked) == len(members)
            assert not set(picked) & set(members)
            assert min(picked) >= 0 and max(picked) < WIDTHS[site]
            assert picked == sorted(picked)


def test_random_masks_depend_on_the_seed_alone():
    backwards = {site: dict(reversed(layers.items())) for site, layers in reversed(OWN.items())}
    assert masks.random_like(OWN, WIDTHS, 3) == masks.random_like(backwards, WIDTHS, 3)
    assert masks.random_like(OWN, WIDTHS, 3) != masks.random_like(OWN, WIDTHS, 4)


def test_layers_are_drawn_independently():
    same = {"mlp_gate": {0: list(range(10)), 1: list(range(10))}, "vision_gate": {0: list(range(10))}}
    drawn = masks.random_like(same, {"mlp_gate": 30, "vision_gate": 30}, 0)
    assert len({tuple(drawn["mlp_gate"][0]), tuple(drawn["mlp_gate"][1]), tuple(drawn["vision_gate"][0])}) == 3


def test_random_units_are_uniform_over_the_others():
    picked = [
        masks.random_like({"mlp_gate": {0: [0, 1]}}, {"mlp_gate": 10}, seed)["mlp_gate"][0] for seed in range(400)
    ]
    counts = [sum(unit in one for one in picked) for unit in range(10)]
    assert counts[:2] == [0, 0]
    # 100 of 400 draws expected each; four standard deviations are 35.
    assert min(counts[2:]) > 65 and max(counts[2:]) < 135


def test_where_too_few_others_are_left_all_of_them_are_taken():
    drawn = masks.random_like({"mlp_gate": {0: list(range(7))}}, {"mlp_gate": 10}, 0)
    assert drawn == {"mlp_gate": {0: [7, 8, 9]}}


def test_an_unknown_family_or_an_old_table_is_refused(tmp_path, neurons):
    with pytest.raises(VlmscopeError, match="not defined for the family 'x'"):
        modules.sites("x")
    neurons.write_parquet(tmp_path / "n.parquet")
    assert masks.read(tmp_path / "n.parquet", DOMAINS).equals(neurons)
    with pytest.raises(VlmscopeError, match="does not match its schema"):
        masks.read(tmp_path / "n.parquet", ("med", "ad"))
