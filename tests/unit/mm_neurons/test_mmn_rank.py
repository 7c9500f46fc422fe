import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.capture import plan, run
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons import needs
from vlmscope.mm_neurons.rank import lists, ranking
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUNS
from vlmscope.models import written
from vlmscope.models.base import family
from vlmscope.store import files, shards, tables
from vlmscope.store.weights import Weights

MODELS = ("llava-llama2", "blip", "mplug-owl2")
SETTINGS = {"activations": ["act_fn", "down_proj_input"], "precision": "float32", "fold_norm": False}
SETTINGS |= {"keep": 40, "keep_others": 25, "seed": 42}
# Captions of two samples: tokens, and nouns with token, position, pieces, status.
TEXTS = {"a": [7, 20, 21, 8, 2], "b": [9, 20, 30, 2]}
GIVEN = [
    ("a", "snowman", [20, 21], 1, "kept"),
    ("a", "dog", [8], 3, "kept"),
    ("a", "cat", [5], None, "its token is not there"),
    ("b", "snowflake", [20, 40], 1, "kept"),
    ("b", "and/or", [9], 0, "kept"),
]


def table_of(given=GIVEN):
    rows = [
        {
            "sample": sample,
            "noun": noun,
            "tokens": tokens,
            "token": tokens[0],
            "position": position,
            "n_subtokens": len(tokens),
            "starts_word": True,
            "status": status,
            "official_token": tokens[0],
            "in_picture": None,
        }
        for sample, noun, tokens, position, status in given
    ]
    return pl.DataFrame(rows, NOUNS)


def captions_of(starts=(0, 4)):
    columns = {"sample": list(TEXTS), "caption": ["", ""], "tokens": list(TEXTS.values()), "reference": ["", ""]}
    return pl.DataFrame(columns | {"row": list(starts)}, CAPTIONS)


@pytest.fixture
def work(tmp_path, manifest):
    """Files of a made-up capture over llava-llama2: one row per token but the last, activations drawn at random."""
    tables.write(captions_of(), tmp_path / "captions.parquet", CAPTIONS)
    tables.write(table_of(), tmp_path / "nouns.parquet", NOUNS)
    drawn = np.random.default_rng(0)
    # At an emitting position stands the token before the one that is written there.
    before = {"sample": [0] * 4 + [1] * 3, "position": [9, 10, 11, 12, 9, 10, 11], "token": [1, 7, 20, 21, 1, 9, 20]}
    arrays = {key: np.array(values, np.int32) for key, values in before.items()}
    kept = {take: arrays | {"values": drawn.standard_normal((7, 3, 256))} for take in needs.TAKES.values()}
    shards.write(tmp_path / "00000.h5", list(TEXTS), kept, {})
    shards.close_index(tmp_path / "index.json", [str(tmp_path / "00000.h5")], {})
    return tmp_path


def made(work, manifest, **changed):
    target = str(work / "neurons.h5")
    names = {name: str(work / f"{name}.parquet") for name in ("captions", "nouns")}
    told = {"model": str(manifest("llava-llama2")), "index": str(work / "index.json"), "settings": SETTINGS | changed}
    ranking.from_files(target, **told, **names)
    return target


def values(work, activation):
    with shards.open_shard(work / "00000.h5") as file:
        return torch.from_numpy(file[needs.TAKES[activation]]["values"][()]).float()


def projected(manifest, tokens):
    weights = Weights(files.read_json(manifest("llava-llama2"))["folder"], "float32")
    kind = family("llava_llama2")
    return ranking.projections(weights, kind, 3, tokens, precision="float32", fold_norm=False)


def places(one):
    return one.layer.astype(int) * 256 + one.unit


# ---- lists -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", SETTINGS["activations"])
def test_nouns_are_scored_at_their_own_position_with_their_own_token(work, manifest, activation):
    path = made(work, manifest)
    own, weight = values(work, activation), projected(manifest, [8, 9, 20])
    found = lists.read(path, activation, "contribution")
    assert sorted(found) == [("a", "dog"), ("a", "snowman"), ("b", "and/or"), ("b", "snowflake")]
    for key, row, token in ((("a", "dog"), 3, 8), (("a", "snowman"), 1, 20), (("b", "and/or"), 4, 9)):
        wanted = (own[row] * weight[token]).flatten()
        np.testing.assert_allclose(found[key].score, wanted.sort(descending=True).values[:40], rtol=1e-6)
        np.testing.assert_allclose(wanted[places(found[key])], found[key].score, rtol=1e-6)
        below = own[row].flatten()[places(found[key])] < 0
        np.testing.assert_array_equal(found[key].negative, below)
        assert below.any() and not below.all()


def test_other_methods_rank_by_their_own_rule(work, manifest):
    path = made(work, manifest)
    own, weight = values(work, "act_fn"), projected(manifest, [8])
    score = (own[3] * weight[8]).flatten()
    lowest, strongest, drawn = (
        lists.read(path, "act_fn", method)["a", "dog"] for method in ("contribution_negative", "activation", "random")
    )
    np.testing.assert_allclose(lowest.score, score.sort().values[:25], rtol=1e-6)
    np.testing.assert_array_equal(places(lowest), score.argsort()[:25])
    np.testing.assert_array_equal(strongest.score, own[3].flatten().sort(descending=True).values[:25])
    np.testing.assert_allclose(score[places(drawn)], drawn.score, rtol=1e-6)
    assert len(set(places(drawn).tolist())) == 25


def test_random_neurons_depend_on_seed_and_noun_but_not_on_the_activation(work, manifest):
    first = {one: lists.read(made(work, manifest), one, "random") for one in SETTINGS["activations"]}
    again = lists.read(made(work, manifest, seed=7), "act_fn", "random")
    for key, one in first["act_fn"].items():
        np.testing.assert_array_equal(places(one), places(first["down_proj_input"][key]))
        assert set(places(one).tolist()) != set(places(again[key]).tolist())
    sets = {tuple(places(one)) for one in first["act_fn"].values()}
    assert len(sets) == len(first["act_fn"])


def test_words_of_several_tokens_add_up_over_all_of_them_where_the_caption_spells_them(work, manifest):
    found = lists.read(made(work, manifest), "down_proj_input", "multi_token")
    # The caption of b goes on otherwise behind the first piece.
    assert list(found) == [("a", "snowman")]
    own, weight = values(work, "down_proj_input"), projected(manifest, [20, 21])
    wanted = (own[1] * weight[20] + own[2] * weight[21]).flatten()
    one = found["a", "snowman"]
    np.testing.assert_allclose(one.score, wanted.sort(descending=True).values[:40], rtol=1e-5)


def test_small_portions_give_the_same_lists(work, manifest, monkeypatch):
    whole = {method: lists.read(made(work, manifest), "act_fn", method) for method in lists.METHODS}
    monkeypatch.setattr(ranking, "MOST_VALUES", 2 * 3 * 256)
    path = made(work, manifest)
    for method, wanted in whole.items():
        found = lists.read(path, "act_fn", method)
        assert set(found) == set(wanted)
        for key, one in wanted.items():
            np.testing.assert_array_equal(places(found[key]), places(one))
            np.testing.assert_allclose(found[key].score, one.score, rtol=1e-5)


def test_parts_hold_few_tokens_and_every_noun_once():
    wanted = ranking.targets(captions_of(), table_of())
    parts = list(ranking.portions(wanted, 2))
    assert all(len({token for one in part for token in one.tokens}) <= 2 or len(part) == 1 for part in parts)
    assert sorted(one.noun for part in parts for one in part) == sorted(one.noun for one in wanted)


def test_fewer_neurons_than_asked_are_all_listed(work, manifest):
    found = lists.read(made(work, manifest, keep=10_000), "act_fn", "contribution")
    assert {len(set(places(one).tolist())) for one in found.values()} == {768}


def test_a_folded_norm_changes_the_order(work, manifest):
    plain, folded = (
        lists.read(made(work, manifest, fold_norm=choice), "act_fn", "contribution") for choice in (False, True)
    )
    assert any(places(one).tolist() != places(folded[key]).tolist() for key, one in plain.items())


def test_without_a_noun_the_file_says_so(work, manifest):
    tables.write(table_of(GIVEN[2:3]), work / "nouns.parquet", NOUNS)
    path = made(work, manifest)
    assert all(lists.read(path, "act_fn", method) == {} for method in lists.METHODS)


def test_equal_inputs_make_equal_files(work, manifest):
    first, second = (lists.read(made(work, manifest), "act_fn", "random") for _ in range(2))
    assert all(np.array_equal(one.unit, second[key].unit) for key, one in first.items())


# ---- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts", "nouns", "words"),
    [((0, 3), GIVEN, "should belong to b"), ((1, 4), GIVEN[:1], "before 'snowman' stands another token")],
)
def test_captions_of_another_capture_are_refused(work, manifest, starts, nouns, words):
    tables.write(captions_of(starts), work / "captions.parquet", CAPTIONS)
    tables.write(table_of(nouns), work / "nouns.parquet", NOUNS)
    with pytest.raises(VlmscopeError, match=words):
        made(work, manifest)


def test_a_caption_beyond_the_capture_is_refused(work, manifest):
    tables.write(captions_of((0, 7)), work / "captions.parquet", CAPTIONS)
    with pytest.raises(VlmscopeError, match="holds nothing"):
        made(work, manifest)


def test_activations_that_are_not_finite_are_named():
    target = ranking.Target("s", "dog", 0, -1, (3,), True)
    told = {"precision": "float32", "keep": 4, "keep_others": 4, "seed": 0}
    with pytest.raises(VlmscopeError, match=r"'dog' of s are not finite[\s\S]*bfloat16"):
        list(ranking.of_noun(target, [torch.full((2, 5), torch.inf)], {3: torch.ones(2, 5)}, **told))


def test_a_capture_without_the_activation_is_answered_with_the_line_to_add(work, manifest):
    with shards.open_shard(work / "00000.h5") as file:
        take = needs.TAKES["act_fn"]
        kept = {take: {name: one[()] for name, one in file[take].items()}}
    shards.write(work / "00000.h5", list(TEXTS), kept, {})
    shards.close_index(work / "index.json", [str(work / "00000.h5")], {})
    with pytest.raises(VlmscopeError, match="site: mlp_hidden, where: emitting, keep: values"):
        made(work, manifest)
    assert lists.read(made(work, manifest, activations=["act_fn"]), "act_fn", "contribution")


# ---- what a contribution is --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_contributions_of_a_layer_add_up_to_its_output_for_the_down_projection_alone(described, name):
    """mm_neurons.md 11, check 4: exact for the input of the down projection, no relation for the gate."""
    loaded, batch = described(name)
    every = [*needs.takes(needs.TAKES), {"site": "mlp_out", "where": "emitting", "keep": "values"}]
    chosen = plan.resolve(every, loaded.family, loaded.config, "generate")
    gate, hidden, out = (
        torch.from_numpy(one.arrays["values"]).double() for one in run.capture(loaded, chosen, [batch])
    )
    weights = Weights(loaded.about["folder"], "float32")
    rows = written.unembedding(weights, loaded.family).double()
    columns, tokens = loaded.family.site("mlp_hidden").columns, [5, 60, 200]
    worst = {"act_fn": 0.0, "down_proj_input": 0.0}
    for layer in range(out.shape[1]):
        down = weights.read(columns.replace("{l}", str(layer))).double()
        wanted = out[:, layer] @ rows[tokens].T
        for kind, values in (("act_fn", gate), ("down_proj_input", hidden)):
            summed = values[:, layer] @ (rows[tokens] @ down).T
            worst[kind] = max(worst[kind], float((summed - wanted).abs().max() / wanted.abs().max()))
    assert worst["down_proj_input"] < 1e-5
    assert worst["act_fn"] > 0.1
