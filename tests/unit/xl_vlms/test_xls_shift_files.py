"""Comparisons as files: tables against what they are made of, released files there and back, what jobs read."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from configured import changed
from scipy.stats import pearsonr

from vlmscope.config import default, plain, resolve
from vlmscope.errors import VlmscopeError
from vlmscope.show import shifts as figures
from vlmscope.store import files, tables, torch_files
from vlmscope.xl_vlms.exchange import shifts as shift_released
from vlmscope.xl_vlms.sets import vectors
from vlmscope.xl_vlms.shift import files as shift_files
from vlmscope.xl_vlms.shift import plan as shift_plan
from vlmscope.xl_vlms.shift import tables as shift_tables
from vlmscope.xl_vlms.words import vocabulary

D, K, N = 10, 4, 80
SETTINGS = {
    **{"module": "final_norm", "method": "kmeans", "k": K, "seed": 0, "sparsity": 1.0, "association": "activation"},
    **{"mean": "mean", "alpha": 1.0, "normalise_shifts": False, "normalise_concepts": False, "words": 6, "tokens": 30},
    **{"vector_words": 8, "vector_tokens": 30, "images": 5, "alphas": [0.0, 0.5, 1.0], "ks": [2, 3, 500]},
    **{"halves": 3, "resamples": 10, "bootstrap": 50, "word_list": "", "stop_list": ""},
}
WORDS = ["dog", "cat", "red", "blue", "green", "park", "room", "beach", "left", "middle", "right", "car", "bus", "7"]


def write_vectors(path, values, mask):
    names = [f"s{row}" for row in range(N)]
    vectors.write(
        path,
        samples=names,
        texts=[f"a {name}" for name in names],
        images=[f"{name}.jpg" for name in names],
        row=np.flatnonzero(mask),
        vectors={"block.0": values[mask] / 2, "final_norm": values[mask]},
        recipe={},
    )
    return str(path)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two comparisons of one original: paths, and where their files lie."""
    folder = tmp_path_factory.mktemp("compared")
    rng = np.random.default_rng(2)
    centres, moves = 5 * rng.standard_normal((K, D)), rng.standard_normal((2, K, D)) * np.arange(1, K + 1)[:, None]
    labels = rng.integers(0, K, N)
    before = centres[labels] + rng.standard_normal((N, D))
    masks = rng.random((4, N)) < 0.9
    words = [*WORDS, *(f"##{number}" for number in range(40))]
    found = vocabulary.Vocabulary(rng.standard_normal((len(words), D)).astype(np.float32), np.ones(D), words)
    vocabulary.write(found, folder / "vocabulary.h5", {})
    original = write_vectors(folder / "original.h5", before, masks[0])
    paths = []
    for place, name in enumerate(("tuned", "other")):
        after = before + moves[place][labels] + 0.5 * rng.standard_normal((N, D))
        half = write_vectors(folder / f"{name}-5.h5", (before + after) / 2, masks[3])
        target = {"shift": str(folder / f"{name}-dog.json"), "vectors": str(folder / f"{name}-dog.h5")}
        shift_files.from_files(
            original,
            write_vectors(folder / f"{name}.h5", after, masks[place + 1]),
            [half],
            words=str(folder / "vocabulary.h5"),
            settings=SETTINGS,
            about={
                **{"model": "original", "tuned": name, "set": "dog", "steps": [5, 10], "keywords": ["Red", "blue"]},
                "published": "place" if place == 0 else "",
            },
            targets=target,
        )
        paths.append(target["shift"])
    return paths


def test_tables_hold_every_row_and_their_schemas(compared, tmp_path):
    found = shift_tables.from_files(compared)
    assert set(found) == set(shift_plan.TABLES)
    counts = {name: len(table) for name, (table, _) in found.items()}
    # Both tunes: two goals and five arms; steps 0, 5, 10; three strengths and two arms; ks 2, 3 and 4.
    assert counts == {
        **{"shift": 20, "shift_t_overlap": 2 * K, "shift_iterations": 2 * 3 * K, "shift_alpha": 12},
        **{"shift_keywords": 14, "shift_k": 2 * 3 * 3, "shift_layers": 2 * 2 * 3, "shift_correlation": 2 * K},
        "shift_correlation_r": 6,
    }
    tables.write_all(found, {name: str(tmp_path / f"{name}.csv") for name in found})
    for name, (table, schema) in found.items():
        assert len(tables.read(tmp_path / f"{name}.csv", schema)) == len(table)
    for table, _ in found.values():
        assert set(table["model"]) == {"original"} and "seed" in table.columns and "n" in table.columns


def test_values_agree_across_tables(compared):
    found = {name: table for name, (table, _) in shift_tables.from_files(compared).items()}
    overlaps = found["shift_t_overlap"].filter(finetune="tuned")
    np.testing.assert_allclose(overlaps["orig_pct"], 100 * overlaps["orig_count"] / overlaps["denom"])
    at = found["shift_alpha"].filter(finetune="tuned", arm="shift")
    assert at.filter(alpha=0.0)["t_overlap"].item() == pytest.approx(overlaps["orig_pct"].mean())
    assert at.filter(alpha=1.0)["t_overlap"].item() == pytest.approx(overlaps["shifted_pct"].mean())
    for name in ("shift_k", "shift_layers"):
        own = found[name].filter(finetune="tuned", k=K, module="final_norm")
        assert own.filter(arm="shift")["cosine"].item() == pytest.approx(overlaps["shifted_cosine"].mean())
    steps = found["shift_iterations"].filter(finetune="tuned")
    assert steps.filter(step=10)["t_overlap"].to_list() == pytest.approx(overlaps["orig_pct"].to_list())
    first = steps.filter(step=0)
    assert set(first["t_overlap"]) == {100.0} and first["cosine"].to_list() == pytest.approx([1.0] * K)
    assert steps.filter(step=5)["cosine"].mean() > steps.filter(step=10)["cosine"].mean()


def test_correlations_are_pearson_s_with_fisher_s_interval(compared):
    found = {name: table for name, (table, _) in shift_tables.from_files(compared).items()}
    points, told = found["shift_correlation"], found["shift_correlation_r"]
    row = told.filter(finetune="all", x="magnitude").row(0, named=True)
    wanted = pearsonr(points["magnitude"], points["recovery_cos"])
    assert (row["r"], row["p"]) == pytest.approx((wanted.statistic, wanted.pvalue))
    interval = wanted.confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["n"] == 2 * K and row["published_r"] == 0.55
    few = told.filter(finetune="tuned", x="consistency").row(0, named=True)
    assert few["n"] == K and few["published_r"] == 0.59 and few["source"]


def test_published_numbers_stand_beside_the_named_study_only(compared):
    found = shift_tables.from_files(compared)["shift_t_overlap"][0]
    assert found.filter(finetune="tuned")["published_orig_count"].to_list() == [9, 6, 4, 6]
    other = found.filter(finetune="other")
    assert other["published_orig_count"].null_count() == other["source"].null_count() == K


def test_keywords_are_counted_without_case(compared):
    one = shift_files.read(compared[0])
    last = one["rows"]["keywords"][-1]
    lists = [row["words"]["tuned"] for row in one["rows"]["concepts"]]
    shares = [100 * len({"red", "blue"} & set(words)) / len(set(words)) for words in lists]
    assert last["arm"] == "tuned" and last["alpha"] is None
    assert last["keywords"] == pytest.approx(np.mean(shares))


def test_pictures_of_all_named_samples_are_known(compared):
    one = shift_files.read(compared[0])
    for row in one["rows"]["concepts"]:
        assert set(row["words"]) == {"original", "shifted", "tuned", "vector"}
        for names in row["images"].values():
            assert len(names) == 5 and all(one["pictures"][name] == f"{name}.jpg" for name in names)


def test_every_table_has_its_figure(compared, tmp_path):
    found = shift_tables.from_files(compared)
    targets = [str(tmp_path / f"{name}.png") for name in shift_plan.FIGURES]
    figures.draw(found, targets)
    bare = {name: (table.clear(), schema) for name, (table, schema) in found.items()}
    more = [str(tmp_path / "bare" / f"{name}.png") for name in shift_plan.FIGURES]
    figures.draw(bare, more)
    for one, other in zip(targets, more, strict=True):
        assert all(files.Path(path).read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in (one, other))


def test_too_few_vectors_are_told(compared, tmp_path):
    folder = files.Path(compared[0]).parent
    with pytest.raises(VlmscopeError, match=r"(?s)too few vectors for 400 concepts.*xl_vlms.shift.k"):
        shift_files.from_files(
            str(folder / "original.h5"),
            str(folder / "tuned.h5"),
            [],
            words=str(folder / "vocabulary.h5"),
            settings=SETTINGS | {"k": 400},
            about={"model": "a", "tuned": "b", "set": "dog", "steps": [1], "keywords": [], "published": ""},
            targets={},
        )


# ---- released files ----------------------------------------------------------------------------------------------


def test_released_files_come_back(compared, tmp_path):
    path = str(tmp_path / "analyse_clusters_x.pth")
    shift_released.write(compared[0], compared[0].replace(".json", ".h5"), path)
    held = torch_files.read(path)
    assert set(held) == {
        *("recovery_metrics", "shift_stats", "per_sample_shift", "shifted_components"),
        *("shift_text_grounding", "shifted_components_text_grounding"),
    }
    found, told = shift_released.read(path), shift_files.read(compared[0])["rows"]["concepts"]
    assert len(found["measures"]) == 13
    for name, values in found["measures"].items():
        np.testing.assert_allclose(values, [row[name] for row in told], rtol=1e-6)
    assert found["words"]["shifted"] == [row["words"]["shifted"] for row in told]
    assert [len(one) for one in found["sample_deltas"]] == [row["n"] for row in told]
    for one, row in zip(found["sample_deltas"], told, strict=True):
        assert np.linalg.norm(one.mean(axis=0)) == pytest.approx(row["magnitude"], rel=1e-3)


def test_imported_comparisons_fill_the_tables(compared, tmp_path):
    path, target = str(tmp_path / "analyse_clusters_x.pth"), str(tmp_path / "x-dog.json")
    shift_released.write(compared[0], compared[0].replace(".json", ".h5"), path)
    about = {"model": "original", "tuned": "x", "set": "dog", "steps": [1], "keywords": [], "published": ""}
    shift_released.import_file(path, SETTINGS, about, target)
    found = {name: table for name, (table, _) in shift_tables.from_files([target, compared[1]]).items()}
    own, ours = (shift_tables.from_files([one])["shift_correlation"][0] for one in (target, compared[0]))
    for name in ("consistency", "magnitude", "recovery_cos"):
        np.testing.assert_allclose(own[name], ours[name], rtol=1e-6)
    assert found["shift_t_overlap"].filter(finetune="x")["orig_count"].null_count() == 0
    assert len(found["shift"].filter(finetune="x")) == 0
    figures.draw(shift_tables.from_files([target]), [str(tmp_path / f"{name}.png") for name in shift_plan.FIGURES])


def test_files_that_are_something_else_are_refused(tmp_path):
    torch_files.write({"concepts": np.zeros((2, 3))}, tmp_path / "a.pth")
    with pytest.raises(VlmscopeError, match="no comparison of two models"):
        shift_released.read(tmp_path / "a.pth")
    torch_files.write({"shift_stats": {"mag_mean_shift_score": ["x"]}}, tmp_path / "b.pth")
    with pytest.raises(VlmscopeError, match="no list of numbers"):
        shift_released.read(tmp_path / "b.pth")
    torch_files.write(
        {"shift_stats": {"mag_mean_shift_score": [1.0]}, "shifted_components": np.zeros((2, 3))}, tmp_path / "c.pth"
    )
    with pytest.raises(VlmscopeError, match="one concept each"):
        shift_released.read(tmp_path / "c.pth")
    files.write_json({"format": "other"}, tmp_path / "d.json")
    with pytest.raises(VlmscopeError, match="no comparison"):
        shift_files.read(tmp_path / "d.json")


def test_what_is_no_number_is_null(tmp_path):
    value = {"a": [math.nan, 1.5, math.inf], "b": (2, "x")}
    assert shift_files.plain(value) == {"a": [None, 1.5, None], "b": [2, "x"]}


# ---- the configuration -------------------------------------------------------------------------------------------


def test_jobs_read_what_the_configuration_names():
    config = default()
    plan, wildcards = shift_plan.Shifts(config), SimpleNamespace(model="llava15", tuned="llava15-place", set="dog")
    assert plan.originals() == ["llava15"] and "llava15-position" in plan.tuned()
    assert "results/xl_vlms/llava15/shifts/llava15-color-cat.json" in plan.compared(wildcards)
    about = json.loads(plan.about(wildcards))
    assert about["steps"] == [10, 20, 40, 80] and len(plan.steps(wildcards)) == 3
    assert about["keywords"] == config.finetunes["llava15-place"].words
    assert "pairs" not in json.loads(plan.settings(wildcards))
    assert plan.importing() == []


def test_any_two_checkpoints_can_be_compared_and_read_from_released_files():
    pair = {"original": "llava", "tuned": "llava15", "sets": ["dog"], "imported": {"dog": "there/a.pth"}}
    plan = shift_plan.Shifts(changed(xl_vlms__shift__pairs=[pair]))
    assert plan.importing() == ["llava/shifts/llava15-dog"]
    wildcards = SimpleNamespace(comparison="llava/shifts/llava15-dog")
    assert plan.file(wildcards) == "there/a.pth"
    assert json.loads(plan.about_imported(wildcards))["steps"] == [1]


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([{"original": "llava15", "tuned": "llava15", "sets": ["dog"]}], "with itself"),
        ([{"original": "llava15", "tuned": "clip", "sets": ["dog"]}] * 2, "twice"),
        ([{"original": "llava15", "tuned": "nobody", "sets": ["dog"]}], "nobody"),
        ([{"original": "llava15", "tuned": "clip", "sets": ["unicorn"]}], "unicorn"),
        ([{"original": "llava15", "tuned": "clip", "sets": ["dog"], "imported": {"cat": "x"}}], "do not name"),
    ],
)
def test_pairs_that_do_not_hold_together_are_told(pairs, told):
    with pytest.raises(VlmscopeError, match=told):
        changed(xl_vlms__shift__pairs=pairs)


def test_fine_tunes_that_do_not_hold_together_are_told():
    tree = plain(default())
    tree["models"]["llava15-color"] |= {"revision": "7", "family": "qwen2_vl"}
    tree["finetunes"]["llava15-place"] |= {"base": "nobody"}
    tree["finetunes"]["clip"] = tree["finetunes"]["llava15-color"]
    with pytest.raises(VlmscopeError) as told:
        resolve(tree)
    text = str(told.value)
    assert "revision is '7'" in text and "nobody" in text and "family is qwen2_vl" in text
    assert "name of a model with other weights" in text
    with pytest.raises(VlmscopeError, match="no steps of 1 to 80"):
        changed(**{"finetunes__llava15-color__saves": [0, 81]})
