"""From vector sets to dictionaries on disk and tables about them."""

import numpy as np
import polars as pl
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import concepts as measures
from vlmscope.settings.xl_vlms.dictionaries import Dictionaries
from vlmscope.stats import Draws
from vlmscope.xl_vlms.cox import classes as concept_classes
from vlmscope.xl_vlms.cox import compare, faithful
from vlmscope.xl_vlms.cox import tables as cox_tables
from vlmscope.xl_vlms.dictionaries import dictionary
from vlmscope.xl_vlms.dictionaries import files as dictionary_files
from vlmscope.xl_vlms.dictionaries import make as making
from vlmscope.xl_vlms.dictionaries import schemas as cox_schemas
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.words import vocabulary
from vlmscope.xl_vlms.words.vocabulary import Vocabulary

WORDS = ("dog", "red", "blue", "park", "beach", "room", "cat", "ball")
WIDTH = 12


def settings(**more):
    few = {"sets": ["dog"], "k": 3, "sweep": [2, 3, 99], "seeds": [1], "subsamples": 1, "draws": 3, "bootstrap": 50}
    return Dictionaries(**{**few, **more}).model_dump()


def planted(count, seed):
    """Samples of three kinds: `dog` with one of three more words each."""
    generator = np.random.default_rng(seed)
    kinds = np.arange(count) % 3
    states = np.zeros((count, WIDTH))
    states[:, 0] = 6
    states[np.arange(count), 1 + kinds] = generator.uniform(4, 8, count)
    return (states + 0.1 * generator.normal(size=states.shape)).astype(np.float32), kinds


def write_set(path, values, names):
    vectors.write(
        path,
        samples=names,
        texts=["a dog"] * len(names),
        images=[f"{name}.jpg" for name in names],
        row=np.arange(len(names)),
        vectors={"final_norm": values, "block.0": np.random.default_rng(0).normal(size=values.shape)},
        recipe={},
        layers=1,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    for name, count, seed in (("train", 30, 0), ("test", 12, 1)):
        write_set(folder / f"{name}.h5", planted(count, seed)[0], [f"{name}-{place}" for place in range(count)])
    known = Vocabulary(np.eye(WIDTH, dtype=np.float32), np.ones(WIDTH, np.float32), [*WORDS, "\0", "", "", ""])
    vocabulary.write(known, folder / "vocabulary.h5", {})
    paths = {name: [str(folder / f"{name}.h5")] for name in ("train", "test")}
    words = str(folder / "vocabulary.h5")
    tables = making.from_files([folder / "dog.h5"], **paths, words=words, model="m", settings=settings())
    return folder, {name: frame for name, (frame, _) in tables.items()}


def test_a_vocabulary_comes_back(made):
    read = vocabulary.read(made[0] / "vocabulary.h5")
    assert read.pieces[:9] == [*WORDS, "\0"] and (read.unembedding == np.eye(WIDTH)).all()


def test_dictionaries_come_back_with_words_and_pictures(made):
    path = made[0] / "dog.h5"
    keys = dictionary_files.keys(path)
    assert {(key.module, key.method) for key in keys} == {
        *(("final_norm", method) for method in dictionary.METHODS),
        ("block.0", "snmf"),
    }
    one = dictionary_files.read(path, keys[-1])
    assert one.key.module == "final_norm" and one.held_out.shape == (12, 3) and one.images.shape == (3, 5)
    assert dictionary_files.main_module(path) == "final_norm"
    assert dictionary_files.sides(path)["test"].samples[0] == "test-0"
    with pytest.raises(VlmscopeError, match="no dictionary"):
        dictionary_files.read(path, keys[0]._replace(k=77))


def test_concepts_of_blocks_are_read_behind_the_norm_if_asked():
    gain = np.array([1, 3, 1, 1, 1], np.float32)
    known = Vocabulary(np.eye(5, dtype=np.float32), gain, WORDS[:5])
    told, concept = settings()["words"] | {"tokens": 1}, np.array([[2, 1, 0, 0, 0]], np.float32)
    read = {
        (norm, module): making.reader(known, told | {"apply_norm": norm}, module)(concept)[0][0]
        for norm in (False, True)
        for module in ("block.0", "final_norm")
    }
    assert read.pop((True, "block.0")) == WORDS[1] and set(read.values()) == {WORDS[0]}


def test_components_may_take_the_pictures_of_their_largest_sizes():
    values, told = np.diag([3.0, 2.0, 1.0, 0.5]).astype(np.float32) - 1, settings(images=2)
    shown = {}
    for kind in ("signed", "absolute"):
        own = told | {"activations": kind}
        study = making.Study("m", "dog", "final_norm", values, values[:1], lambda rows: [[]] * len(rows), own)
        one = making.stored(study, "pca", 2, 0)
        shown[kind] = np.take_along_axis(one.projected.T, one.images, 1)
    np.testing.assert_array_equal(shown["signed"], -np.sort(-one.projected.T, axis=1)[:, :2])
    np.testing.assert_array_equal(np.abs(shown["absolute"]), -np.sort(-np.abs(one.projected.T), axis=1)[:, :2])
    assert (shown["absolute"] < 0).any()


def test_clusters_are_the_planted_kinds(made):
    path = made[0] / "dog.h5"
    key = next(key for key in dictionary_files.keys(path) if key.method == "kmeans")
    one = dictionary_files.read(path, key)
    assert sorted({words[0] for words in one.words} | {words[1] for words in one.words}) == sorted(WORDS[:4])
    row = made[1]["table"].filter(method="kmeans", module="final_norm").row(0, named=True)
    assert row["own_word"] == 1 and row["dead"] == 0 and row["error_test"] < 0.05
    assert row["n"] == 30 and row["n_test"] == 12


def test_sizes_that_do_not_fit_are_left_out_and_the_smallest_good_one_is_chosen(made):
    recon, chosen = made[1]["recon"], made[1]["chosen"]
    assert set(recon["k"]) == {2, 3} and set(recon["method"]) == {"snmf", "semi_nmf", "kmeans", "pca"}
    assert chosen.filter(method="kmeans")["k"].item() == 3
    assert recon["published"].is_null().all()


def test_a_smaller_size_within_a_standard_error_is_chosen():
    curve = {2: np.array([1.0, 3.0]), 5: np.array([0.9, 2.9]), 9: np.array([0.1, 0.1])}
    assert making.choice(curve)["k"] == 9
    found = making.choice({2: curve[2], 5: curve[5]})
    assert (found["k"], found["k_least"]) == (2, 5)


def test_stability_stands_beside_what_is_random(made):
    rows = made[1]["stability"]
    assert set(rows["kind"]) == {"seeds", "subsamples"}
    best = rows.filter(method="kmeans", kind="subsamples").row(0, named=True)
    assert best["cosine"] > 0.99 > best["random_directions"]


def test_overlap_gets_the_published_column(made):
    found = cox_tables.overlap(made[1]["overlap"])
    assert found.filter(method="snmf")["published"].item() == 0.086
    assert found.filter(method="semi_nmf")["published"].item() is None
    assert found.filter(method="snmf")["source"].item() == "2406.08074 table 2"


# ---- tables of scores --------------------------------------------------------------------------------------------


def scored():
    about = {"model": "m", "token": "cat", "module": "final_norm", "k": 3, "seed": 0, "by": "clip"}
    rows = []
    for item, own, random in (("a", 0.6, 0.2), ("b", 0.8, 0.4)):
        told = {"split": "test", "item": item, "metric": "CS", "top_k": 1}
        rows += [
            {**about, **told, "method": "snmf", "value": own},
            {**about, **told, "method": "random", "value": random},
        ]
    for concept in range(3):
        told = {"split": "concept", "item": str(concept), "metric": "CS", "top_k": 0}
        rows += [
            {**about, **told, "method": method, "value": value} for method, value in (("snmf", 0.5), ("random", 0.1))
        ]
    return pl.DataFrame(rows, schema=cox_schemas.SCORED)


def test_table_1_has_means_differences_and_published_numbers():
    found = cox_tables.table1(scored(), Draws(50, 0))
    own = found.filter(method="snmf").row(0, named=True)
    assert (own["mean"], own["std"]) == (pytest.approx(0.7), pytest.approx(0.1))
    assert own["over_random"] == pytest.approx(0.4) and own["published_mean"] == 0.627
    assert found.filter(method="random")["over_random"].item() is None
    noise = found.filter(method="noise_images").row(0, named=True)
    assert noise["mean"] is None and noise["published_mean"] == 0.461


def test_the_published_file_holds_the_numbers_of_the_paper():
    known = cox_tables.published()
    assert known["table1"]["bus"]["BS"]["caption"] == [0.466, 0.11]
    assert known["overlap"]["train"]["kmeans"] == 0.367


# ---- classes, faithfulness, other models -------------------------------------------------------------------------


def read_one(made, method):
    path = made[0] / "dog.h5"
    return dictionary_files.read(path, next(key for key in dictionary_files.keys(path) if key.method == method))


def test_concepts_agree_with_planted_classes_and_not_with_shuffled_ones(made):
    values, kinds = planted(30, 0)
    control = concept_classes.Control(5, 50, 0, "gaussian")
    row = concept_classes.agreement(read_one(made, "kmeans"), values, kinds, control)
    assert row["nmi"] == pytest.approx(1) and row["purity"] == 1 and row["top_purity"] == 1
    assert row["nmi_shuffled"] < 0.5 and row["top_purity_shuffled"] < 0.9


def test_the_interval_of_a_weak_agreement_lies_around_it():
    generator = np.random.default_rng(0)
    labels, known = generator.integers(0, 8, 60), generator.integers(0, 5, 60)
    score = measures.nmi(labels, known)
    low, high = concept_classes.resampled(measures.nmi, labels, known, concept_classes.Control(1, 400, 0, "gaussian"))
    assert 0 <= low < score < high <= 1


def test_a_state_without_its_concepts_loses_its_token(made):
    known = vocabulary.read(made[0] / "vocabulary.h5")
    train, test = planted(30, 0)[0], planted(12, 1)[0]
    rows = pl.DataFrame(list(faithful.curves(read_one(made, "kmeans"), train, test, known, Draws(50, 0))))

    def probability(edit, which, count):
        return rows.filter(edit=edit, which=which, concepts=count)["probability"].item()

    assert probability("delete", "most_active", 3) < 0.3 < probability("delete", "random_directions", 3)
    assert probability("keep", "most_active", 3) > 0.8 * rows["unedited"][0]
    assert probability("keep", "random_directions", 1) < probability("keep", "most_active", 1)


def test_deleted_and_kept_parts_add_up_to_the_state():
    state, rows = np.random.default_rng(0).normal(size=7), np.random.default_rng(1).normal(size=(3, 7))
    parts = [faithful.edited(state, rows, edit) for edit in faithful.EDITS]
    np.testing.assert_allclose(parts[0] + parts[1], state)
    np.testing.assert_allclose(rows @ parts[0], 0, atol=1e-12)


def test_models_that_see_the_same_are_told_from_shuffled_ones():
    values = planted(40, 0)[0]
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    found = dictionary.fit(values, "kmeans", 3)
    key = dictionary_files.Key("final_norm", "kmeans", 3, 0)
    names = [str(place) for place in range(40)]
    one = compare.One("a", names, key, values, found.activations)
    other = compare.One("b", names[5:], key, values[5:] @ turn, found.activations[5:, ::-1])
    row = compare.compared(one, other, draws=39, bootstrap=50, seed=0)
    assert row["n"] == 35 and row["cka"] == pytest.approx(1, abs=1e-4) and row["matched"] == pytest.approx(1, abs=1e-4)
    assert row["cka_shuffled_high"] < 0.5 and row["cka_p"] == pytest.approx(1 / 40)
    few = compare.compared(one, other._replace(samples=["x"] * 35), draws=3, bootstrap=10, seed=0)
    assert few == {"model": "a", "other": "b", "n": 0}
