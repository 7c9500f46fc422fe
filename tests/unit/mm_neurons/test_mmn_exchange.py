"""The tree of the released code: what is exported holds the tables, and what is imported is checked."""

import dataclasses
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import mmn_results
import numpy as np
import polars as pl
import pytest
import torch
from mmn_results import LAYERS, SAID, SIDE, UNITS
from PIL import Image

from vlmscope import raw
from vlmscope.capture import shard
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons import needs
from vlmscope.mm_neurons.exchange import export, imported, names
from vlmscope.mm_neurons.image import draw, grids
from vlmscope.mm_neurons.image import units as image_units
from vlmscope.mm_neurons.rank import lists, ranking, words
from vlmscope.mm_neurons.results import Results
from vlmscope.mm_neurons.schemas import CAPTIONS, EFFECTS, NEURON_TOKENS, NOUNS
from vlmscope.mm_neurons.text import captions, nouns
from vlmscope.samples import SCHEMA, table
from vlmscope.store import files, rows, shards, tables, torch_files

SETTINGS = {
    "activation": "act_fn",
    "images": 3,
    "listed": 10,
    "sizes": [1, 10],
    "singles": 2,
    "percentile": 95.0,
    "interpolation": "official",
}
INPUTS = ("raw", "samples", "index")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return mmn_results.make(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def exported(results, tmp_path_factory):
    """The folder, and its manifest."""
    folder = tmp_path_factory.mktemp("released")
    return folder, write(folder, results)


def write(folder, results, settings=SETTINGS):
    """The tree below a folder, from paths as attributes."""
    beside = {name: getattr(results, name) for name in INPUTS}
    return export.write(folder, Results.of(results), **beside, settings=settings)


def home(exported, number):
    return exported[0] / names.HOME / str(number)


# ---- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noun", "wanted"),
    [
        ("dog", "noun_dog"),
        ("café-noir", "noun_café-noir"),
        ("a/b", "noun_a%2Fb"),
        ("50%", "noun_50%25"),
        ("..", "noun_.."),
    ],
)
def test_folders_are_the_released_ones_but_for_what_cannot_be_a_name(noun, wanted):
    assert names.noun(noun) == wanted


def test_no_two_nouns_share_a_folder_and_none_leads_elsewhere():
    hard = ["../../x", "..%2F..%2Fx", "a\0b", "a\nb", "x" * 300, "x" * 299 + "y", "é" * 300, "\\", "%5C", ""]
    found = [names.noun(one) for one in hard]
    assert len(set(found)) == len(hard)
    assert not [one for one in found if "/" in one or len(one.encode()) > 255]
    assert all((Path("a") / one).parent == Path("a") for one in found)


# ---- export ------------------------------------------------------------------------------------------------------


def test_every_picture_has_its_folder_and_the_manifest_names_every_file(exported):
    folder, manifest = exported
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == there
    assert all(manifest["files"][name] == files.digest(folder / name) for name in there)
    # The fourth picture is beyond the setting, the third has no noun.
    assert sorted(path.name for path in (folder / names.HOME).iterdir()) == ["1", "2", "3"]
    assert sorted(path.name for path in home(exported, 3).iterdir()) == [
        "last_activation", "nouns.json", "original_image.png",
    ]  # fmt: skip
    own = {path.name for path in (home(exported, 1) / "noun_cat").iterdir()}
    maps = {f"{kind}_average_{n}.png" for kind in ("heatmap", "mask") for n in (1, 10)}
    assert {"data.json", "mm_neurons", "image_tensor", "image.png", "perturb.json"} | maps <= own
    assert len([name for name in own if name.startswith("activation_L")]) == 2
    assert len(own) == 5 + 4 + 3 * 2


def test_files_of_a_picture_hold_what_the_tables_hold(exported, results):
    told = [noun for noun, position, _ in SAID[0][1] if position is not None]
    assert json.loads((home(exported, 1) / "nouns.json").read_text()) == told == ["cat", "dog"]
    values = torch_files.read(home(exported, 1) / "last_activation")
    with rows.opened(results.index, needs.TAKES["act_fn"]) as captured:
        wanted = np.stack([captured.values(4), captured.values(1)])
    np.testing.assert_array_equal(values, wanted)
    assert values.dtype == np.float16
    assert torch_files.read(home(exported, 3) / "last_activation").shape == (0, LAYERS, UNITS)
    with Image.open(home(exported, 2) / "original_image.png") as image:
        assert image.mode == "RGB" and image.getpixel((3, 3)) == (60, 80, 40)


def test_files_of_a_noun_hold_its_list_words_and_maps(exported, results):
    folder, best = (
        home(exported, 1) / "noun_dog",
        lists.read(results.neurons, "act_fn", "contribution")["sbu-train-0", "dog"],
    )
    pairs = np.stack([best.layer, best.unit], 1).tolist()
    # As the released code opens it.
    assert torch.load(folder / "mm_neurons", weights_only=True) == pairs
    about = json.loads((folder / "data.json").read_text())
    assert about["caption"] == SAID[0][0]
    assert [one["neuron"] for one in about["top_neurons"]] == pairs[:10]
    assert [one["score"] for one in about["top_neurons"]] == pytest.approx(best.score[:10].tolist())
    top = tables.read(results.tokens, NEURON_TOKENS).filter(end="top", layer=pairs[0][0], unit=pairs[0][1])
    assert about["top_neurons"][0]["tokens"] == top["token"].to_list()
    with grids.opened(results.maps) as file:
        values = grids.read(file, "act_fn", "contribution", "sbu-train-0", "dog")
        picture = grids.picture(file, "sbu-train-0")
    name = f"activation_L{pairs[1][0]}_u{pairs[1][1]}"
    np.testing.assert_array_equal(torch_files.read(folder / name), values[1].reshape(SIDE * SIDE).astype(np.float16))
    np.testing.assert_array_equal(torch_files.read(folder / "image_tensor"), np.asarray(picture))
    heat, mask, _ = draw.draw(picture, values[:10].mean(0), interpolation="official", percentile=95.0)
    for kind, wanted in (("heatmap", heat), ("mask", mask)):
        with Image.open(folder / f"{kind}_average_10.png") as found:
            np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


def test_captions_under_noise_stand_in_a_file_where_there_are_some(exported):
    found = json.loads((home(exported, 1) / "noun_dog" / "perturb.json").read_text())
    assert found == {"original outputs": SAID[0][0], "perturb outputs": "a hat.", "random outputs": SAID[0][0]}
    assert not (home(exported, 2) / "noun_dog" / "perturb.json").exists()


def test_equal_results_are_equal_bytes(exported, results, tmp_path):
    again = write(tmp_path, results)
    assert again == exported[1]


def test_imported_captions_cannot_be_exported_again(results, tmp_path):
    told = tables.read(results.captions, CAPTIONS).with_columns(row=pl.lit(None, pl.Int64))
    tables.write(told, tmp_path / "captions.parquet", CAPTIONS)
    beside = {name: getattr(results, name) for name in INPUTS}
    given = dataclasses.replace(Results.of(results), captions=str(tmp_path / "captions.parquet"))
    with pytest.raises(VlmscopeError, match="was imported"):
        export.write(tmp_path / "out", given, **beside, settings=SETTINGS)


# ---- there and back with a real model ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory, scenes, shipped, manifest):
    """Results of an embedded model on six drawn pictures, exported: paths and settings."""
    folder, loaded, (samples, root) = tmp_path_factory.mktemp("real"), shipped("llava-llama2"), scenes
    model = str(manifest("llava-llama2"))
    paths = {name: str(folder / f"{name}.parquet") for name in ("samples", "captions", "nouns", "tokens", "effects")}
    paths |= {"neurons": str(folder / "neurons.h5"), "maps": str(folder / "maps.h5"), "raw": str(folder / "raw.json")}
    tables.write(table(samples), paths["samples"], SCHEMA)
    files.write_json({"format": raw.RAW, "kind": "sbu", "root": str(root), "digest": ""}, paths["raw"])
    paths["index"] = captured(loaded, paths, folder)
    told = captions.from_files(model=model, index=paths["index"], samples=paths["samples"])
    tables.write(told, paths["captions"], CAPTIONS)
    own = {"backend": "lexicon", "lexicon": "", "model": "", "server": "", "sentences": "all"}
    found, _ = nouns.from_files(
        model=model, captions=paths["captions"], samples=paths["samples"], settings=own, remote=None
    )
    tables.write(found, paths["nouns"], NOUNS)
    tables.write(words.from_files(model, decode_k=10, fold_norm=False), paths["tokens"], NEURON_TOKENS)
    tables.write(pl.DataFrame(schema=EFFECTS), paths["effects"], EFFECTS)
    ranked = {"activations": list(needs.TAKES), "precision": "float32", "fold_norm": False}
    ranked |= {"keep": 50, "keep_others": 10, "seed": 0}
    used = {name: paths[name] for name in ("index", "captions", "nouns")}
    ranking.from_files(paths["neurons"], model=model, **used, settings=ranked)
    asked = {"kind": "sbu", "prompt": "chat", "begin": "", "activations": list(needs.TAKES), "units": 20, "control": 5}
    used = {name: paths[name] for name in ("raw", "samples", "neurons")}
    image_units.from_files(loaded, **used, settings=asked, batch=6, target=paths["maps"])
    return paths, model


def captured(loaded, paths, folder):
    """A capture of captions, closed by its index."""
    settings = {"kind": "sbu", "prompt": "chat", "begin": "", "run": "generate", "max_new_tokens": 24, "samples": 6}
    settings |= {"vision_positions": 0, "shards": 1, "take": needs.takes(needs.TAKES)}
    used = {"raw": paths["raw"], "samples": paths["samples"], "settings": settings, "shard": 0, "batch": 6, "code": ""}
    shard.make(loaded, **used, target=str(folder / "00000.h5"))
    shards.close_index(folder / "index.json", [str(folder / "00000.h5")], {})
    return str(folder / "index.json")


def exported_tree(real, folder, activation):
    """The tree of one activation, all six pictures; the folder and the activation."""
    settings = SETTINGS | {"activation": activation, "images": 6}
    write(folder, SimpleNamespace(**real[0]), settings)
    return folder, activation


@pytest.fixture(scope="module")
def tree(real, tmp_path_factory):
    return exported_tree(real, tmp_path_factory.mktemp("tree"), "act_fn")


def read_back(folder, activation, real, target):
    paths, model = real
    settings = {"folder": str(folder), "activation": activation, "precision": "float32"}
    return imported.read(str(target), model=model, raw=paths["raw"], samples=paths["samples"], settings=settings)


@pytest.mark.parametrize("activation", needs.TAKES)
def test_what_is_exported_is_read_back_as_the_tables(activation, real, tmp_path):
    folder, _ = exported_tree(real, tmp_path / "tree", activation)
    said, told = read_back(folder, activation, real, tmp_path / "neurons.h5")
    captions_, nouns_ = tables.read(real[0]["captions"], CAPTIONS), tables.read(real[0]["nouns"], NOUNS)
    assert len(said) == 6
    assert said.select("sample", "caption", "reference").equals(captions_.select("sample", "caption", "reference"))
    # The end token is not in the tree.
    assert [one[:-1] for one in captions_["tokens"].to_list()] == said["tokens"].to_list()
    assert told.equals(nouns_.filter(pl.col("status") != "spelled otherwise"))
    kept = nouns_.filter(status="kept")
    assert len(kept) > 6
    own, wanted = (
        lists.read(path, activation, "contribution") for path in (tmp_path / "neurons.h5", real[0]["neurons"])
    )
    assert own.keys() == wanted.keys() == set(kept.select("sample", "noun").iter_rows())
    for key, one in wanted.items():
        for column in ("layer", "unit", "score"):
            np.testing.assert_array_equal(getattr(own[key], column), getattr(one, column))
    assert lists.about(tmp_path / "neurons.h5")["recipe"]["imported"]


@pytest.fixture
def broken(tree, tmp_path):
    """A copy of the tree to break, its first picture that has nouns, and those."""
    shutil.copytree(tree[0], tmp_path / "tree")
    homes = sorted((tmp_path / "tree" / names.HOME).iterdir())
    home = next(one for one in homes if len(json.loads((one / "nouns.json").read_text())) > 1)
    return tmp_path / "tree", home, json.loads((home / "nouns.json").read_text())


def refused(folder, tree, real, tmp_path, words_):
    with pytest.raises(VlmscopeError, match=words_) as told:
        read_back(folder, tree[1], real, tmp_path / "neurons.h5")
    assert str(folder) in str(told.value) and "instead:" in str(told.value)
    assert not (tmp_path / "neurons.h5").exists()


def test_a_noun_that_was_scored_with_another_token_has_no_neurons(tree, broken, real, tmp_path):
    """The released code's B9: behind a dropped noun each one gets the token of the one before."""
    folder, home, told = broken
    first, second = (home / names.noun(noun) for noun in told[:2])
    # What belongs to the first noun's token stands under the second noun, with the activation of its own place.
    for name in ("data.json", "mm_neurons"):
        shutil.copy(first / name, second / name)
    _, found = read_back(folder, tree[1], real, tmp_path / "neurons.h5")
    (number,) = [home.name]
    wrong = found.filter(pl.col("status") == imported.MISTAKEN)
    assert wrong["noun"].to_list() == [told[1]] and wrong["sample"].to_list() == [f"sbu-train-{int(number) - 1}"]
    assert wrong["official_token"].to_list() == [None]
    assert (wrong["sample"][0], told[1]) not in lists.read(tmp_path / "neurons.h5", tree[1], "contribution")


def test_a_tree_of_other_pictures_is_refused(tree, broken, real, tmp_path):
    folder, home, _ = broken
    with Image.open(home / "original_image.png") as image:
        changed = image.copy()
    changed.putpixel((0, 0), (1, 2, 3))
    changed.save(home / "original_image.png")
    refused(folder, tree, real, tmp_path, "not the picture of sbu-train")
    (home / "original_image.png").write_bytes(b"no picture")
    refused(folder, tree, real, tmp_path, "no picture")
    shutil.rmtree(folder / names.HOME)
    refused(folder, tree, real, tmp_path, "no picture of this split")


def put(path, value):
    path.write_text(json.dumps(value))


def top(path, change):
    about = json.loads((path / "data.json").read_text())
    change(about)
    put(path / "data.json", about)


def first(about):
    return about["top_neurons"][0]


@pytest.mark.parametrize(
    ("words_", "damage"),
    [
        ("no list of different words", lambda home, noun: put(home / "nouns.json", ["a", "a"])),
        ("no list of different words", lambda home, noun: put(home / "nouns.json", [["../../x"]])),
        ("no tensor", lambda home, noun: put(home / "nouns.json", ["dog"] * 1)),
        ("no tensor", lambda home, noun: torch.save(torch.zeros(2, 3, 4), home / "last_activation")),
        ("no tensor", lambda home, noun: torch.save([1], home / "last_activation")),
        ("is not there", lambda home, noun: (home / "last_activation").unlink()),
        ("no list of different neurons", lambda home, noun: torch.save([], noun / "mm_neurons")),
        ("no list of different neurons", lambda home, noun: torch.save([[0, 1], [0, 1]], noun / "mm_neurons")),
        ("no list of different neurons", lambda home, noun: torch.save([[0, 1 << 40]], noun / "mm_neurons")),
        ("no list of different neurons", lambda home, noun: torch.save([[0, True]], noun / "mm_neurons")),
        ("no list of different neurons", lambda home, noun: torch.save({"a": 1}, noun / "mm_neurons")),
        ("no list of different neurons", lambda home, noun: top(noun, lambda one: one["top_neurons"].reverse())),
        ("without numbers and scores", lambda home, noun: put(noun / "data.json", [])),
        ("without numbers and scores", lambda home, noun: top(noun, lambda one: one.pop("caption"))),
        ("without numbers and scores", lambda home, noun: top(noun, lambda one: first(one).pop("score"))),
        ("without numbers and scores", lambda home, noun: top(noun, lambda one: first(one).update(score="x"))),
        ("its caption is no text", lambda home, noun: top(noun, lambda one: one.update(caption=3))),
        ("different captions", lambda home, noun: top(noun, lambda one: one.update(caption="another"))),
        ("no whole JSON|not whole JSON", lambda home, noun: (noun / "data.json").write_text("{")),
        ("more than a megabyte", lambda home, noun: (noun / "data.json").write_text(" " * (2 << 20))),
        ("is not there", lambda home, noun: shutil.rmtree(noun)),
    ],
)  # fmt: skip
def test_whatever_does_not_fit_is_refused_and_named(words_, damage, tree, broken, real, tmp_path):
    folder, home, told = broken
    damage(home, home / names.noun(told[0]))
    refused(folder, tree, real, tmp_path, words_)


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("name", ["last_activation", "mm_neurons"])
def test_a_file_that_would_run_something_is_refused_and_not_run(name, tree, broken, real, tmp_path):
    folder, home, told = broken
    mark = tmp_path / "ran"
    path = home / name if name == "last_activation" else home / names.noun(told[0]) / name
    torch.save([Calls(os.system, f"touch {mark}")], path)
    refused(folder, tree, real, tmp_path, "would call")
    assert not mark.exists()


def test_nouns_cannot_lead_out_of_the_tree(tree, broken, real, tmp_path):
    folder, home, told = broken
    outside = tmp_path / "outside"
    shutil.move(home / names.noun(told[0]), outside)
    put(home / "nouns.json", [f"x/../../../../../outside{number or ''}" for number in range(len(told))])
    refused(folder, tree, real, tmp_path, "is not there")


def test_lists_of_one_tree_are_of_one_length(tree, broken, real, tmp_path):
    folder, home, told = broken
    path = home / names.noun(told[0]) / "mm_neurons"
    torch_files.write(torch_files.read(path)[:20], path)
    with pytest.raises(VlmscopeError, match="differ in length"):
        read_back(folder, tree[1], real, tmp_path / "neurons.h5")


def test_folders_named_as_the_released_code_names_them_are_found(tree, broken, real, tmp_path):
    folder, home, told = broken
    # A noun with a percent sign stands there as it is.
    (home / names.noun(told[0])).rename(home / "noun_50%")
    put(home / "nouns.json", ["50%", *told[1:]])
    _, found = read_back(folder, tree[1], real, tmp_path / "neurons.h5")
    assert "50%" in found["noun"].to_list()
