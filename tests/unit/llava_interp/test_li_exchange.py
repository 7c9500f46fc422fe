"""Result files of the released code: what is written can be read again, and what does not fit is refused."""

import json

import polars as pl
import pytest

from vlmscope.config import default, plain
from vlmscope.errors import VlmscopeError
from vlmscope.llava_interp.ablation import run as ablation_run
from vlmscope.llava_interp.ablation import tables as ablation_tables
from vlmscope.llava_interp.asking import experiments, mean, prompts
from vlmscope.llava_interp.exchange import imported, names, results
from vlmscope.llava_interp.knockout import run as knockout_run
from vlmscope.samples import SCHEMA, picture, table
from vlmscope.store import tables

TOLD = {
    "answers": "official",
    "synonyms": {},
    "geometry": "aligned",
    "bootstrap": 20,
    "seed": 1,
    "family": "llava_phi",
}


@pytest.fixture(scope="module")
def settings():
    told = plain(default())["llava_interp"] | {"value": "mean"}
    told["ablation"] |= {"images": 6, "sizes": [2, 8]}
    told["ablation"]["gradient"] |= {"steps": 2, "sizes": [8]}
    told["knockout"] |= {"images": 6}
    return told


@pytest.fixture(scope="module")
def run(shipped, drawn, settings, tmp_path_factory):
    """Records of a small run, and the samples behind them."""
    folder, samples = drawn
    home = tmp_path_factory.mktemp("run")
    tables.write(table(samples), home / "samples.parquet", SCHEMA)
    files = {"raw": str(folder / "raw.json"), "samples": str(home / "samples.parquet"), "batch": 16}
    vector = str(home / "mean.safetensors")
    mean.write(*mean.vector(shipped, published=(), settings={"folder": "", "most": 8}, **files), target=vector)
    return {
        "samples": files["samples"],
        "ablation": experiments.run(ablation_run.described, shipped, vector=vector, settings=settings, **files)[0],
        "vqa": experiments.run(ablation_run.answered, shipped, vector=vector, settings=settings, **files)[0],
        "knockout": experiments.run(knockout_run.from_files, shipped, settings=settings, **files)[0],
    }


@pytest.fixture(scope="module")
def read(manifest, run, settings):
    """Reads one kind of a tree, by way of a file."""
    known, model = imported.objects(run["samples"], settings["objects"]), imported.speech(manifest, settings["asking"])

    def again(kind, tree, target):
        target.write_text(json.dumps(tree))
        return getattr(imported, kind)(str(target), known, model)

    return again


def test_the_first_visual_token_is_known_without_weights(shipped, manifest, drawn, chosen, settings):
    model = imported.speech(manifest, settings["asking"])
    for question, begin in (("what is on the left?", ""), ("is there a cat?", "it is a")):
        text = prompts.text(shipped, settings["asking"], question, begin)
        asked = prompts.prepare(shipped, [text], [picture(chosen[0].sample, drawn[0] / "drawn")], 1)[0]
        assert (model.first, model.depth) == (asked.first, 3)


@pytest.mark.parametrize("kind", ["vqa", "knockout"])
def test_answers_come_out_as_they_went_in(run, read, tmp_path, kind):
    tree = getattr(results, kind)(run[kind])
    assert tree == getattr(results, kind)(read(kind, tree, tmp_path / "tree.json"))
    right = [one for one in tree.values() if one["baseline"]["is_correct"]]
    key, count = ("experiments", 4 + 2 + 1) if kind == "vqa" else ("attn_block_results", 36)
    assert right and all(len(one[key]) == count for one in right)


def test_descriptions_come_out_as_they_went_in(run, read, tmp_path):
    tree = results.ablation(run["ablation"], 5, "mean")
    assert tree.pop("cfg") == {"zero_ablation": False} and len(tree) == 6
    one = next(iter(tree.values()))
    assert set(one["patch_ablation_1"]) == {"generative", "polling", "description"}
    assert set(one["indices"]) == set(one) - {"indices", "no_ablation", "image_ablation"}
    assert min(one["indices"]["patch_ablation_2"]) >= 5
    first = read("ablation", tree, tmp_path / "tree.json")
    again = results.ablation(first, imported_first(one, first), "zero")
    assert again.pop("cfg") == {"zero_ablation": True} and again == tree
    # Tables of both agree where the file tells everything.
    wanted = ["setting", "condition", "k", "buffer", "n_still_correct", "pct_decrease"]
    found, whole = (
        ablation_tables.table(records, TOLD).filter(pl.col("condition").is_in(["object", "random"])).select(wanted)
        for records in (first, run["ablation"])
    )
    assert found.sort(wanted).equals(whole.sort(wanted))


def imported_first(one, records):
    """What was taken off the positions."""
    own = records.filter(condition="object", size=0, setting="polling").row(0, named=True)
    return one["indices"]["patch_ablation_0"][0] - own["indices"][0]


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("vqa", lambda tree: {"9999999": next(iter(tree.values()))}, "picture 9999999 is not in the data"),
        ("vqa", lambda tree: list(tree), "no object of pictures"),
        ("vqa", lambda tree: renamed(tree, "experiments"), "a condition 'strange'"),
        ("knockout", lambda tree: renamed(tree, "attn_block_results"), "it blocks 'strange'"),
        ("knockout", lambda tree: other_class(tree), "begins with 'xyz' there"),
    ],
)
def test_what_does_not_fit_is_refused(run, read, tmp_path, kind, change, message):
    tree = getattr(results, kind)(run[kind])
    with pytest.raises(VlmscopeError, match=message):
        read(kind, change(tree), tmp_path / "tree.json")


def renamed(tree, key):
    one = next(one for one in tree.values() if key in one)
    one[key]["strange"] = next(iter(one[key].values()))
    return tree


def other_class(tree):
    next(iter(tree.values()))["baseline"]["correct_token"] = "xyz"
    return tree


def test_names_lead_there_and_back():
    for known in (names.QUESTIONS, names.DESCRIPTIONS):
        for one in (*known, ("random", 40), ("gradient", 250)):
            assert names.parsed(names.condition(one, known), known) == one
        assert names.condition(("matched", 1), known) is None and names.parsed("random_ablation_x", known) is None
    assert len(names.groups(32)) == 36 and "PATCH_PLUS_ONE_TO_LAST_ROW_EARLY_MID_LAYERS" in names.groups(32)
