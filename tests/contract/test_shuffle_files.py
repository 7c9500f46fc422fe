"""Shuffled pictures from files to files with a tiny model: an order that changes nothing gives what was there."""

import numpy as np
import polars as pl
import pytest
import tiny_families

from vlmscope import raw
from vlmscope.capture import batches, shard
from vlmscope.datasets import base as datasets
from vlmscope.mm_neurons.image import grids, shuffle, shuffle_files
from vlmscope.mm_neurons.image import units as image_units
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.schemas import CAPTIONS, NOUNS, SHUFFLED
from vlmscope.mm_neurons.text import nouns, taggers
from vlmscope.models import base
from vlmscope.models.load import Loaded, slim_imports
from vlmscope.samples import SCHEMA, table
from vlmscope.store import files, tables
from vlmscope.store.spelling import spelling

IMAGES = 5
SETTINGS = {
    "kind": "sbu",
    "prompt": "chat",
    "begin": "",
    "max_new_tokens": 7,
    "activations": ["act_fn", "down_proj_input"],
    "precision": "float32",
    "fold_norm": False,
    "keep": 40,
    "keep_others": 20,
    "seed": 0,
    "shuffle": {"permutations": 2, "modes": ["free", "forced"], "images": 4, "seed": 42},
    "units": 6,
}


def remote(server, text):
    """Every word is a noun whose number cannot be divided by three."""
    return [[(word, "NN" if int(word[1:]) % 3 else "CD") for word in text.split() if word.startswith("w")]]


@pytest.fixture(scope="module", params=["llava", "instructblip", "mplug_owl2"])
def prepared(request, tmp_path_factory):
    """A model in a folder, drawn pictures, and settings."""
    slim_imports()
    folder = tmp_path_factory.mktemp(request.param)
    kind = base.family(request.param)
    model, processor = tiny_families.build(kind, tiny_families.BUILDERS[request.param])
    model.save_pretrained(folder / "model")
    processor.tokenizer.save_pretrained(folder / "model")
    about = {"folder": str(folder / "model"), "family": kind.name, "dtype": "float32", "fingerprint": "f"}
    files.write_json(about, folder / "model.json")
    loaded = Loaded(model, processor, kind, about)
    raw.draw_benchmark("sbu", folder / "drawn", {"train": "train"}, {"train": IMAGES})
    samples = list(datasets.load("sbu").read(folder / "drawn", "train", name="sbu"))
    tables.write(table(samples), folder / "samples.parquet", SCHEMA)
    files.write_json({"format": "vlmscope.raw/1", "root": str(folder / "drawn")}, folder / "raw.json")
    return folder, loaded, samples, SETTINGS | {"nouns": {"backend": "corenlp", "server": "", "sentences": "all"}}


def captions(folder, loaded, samples, settings):
    """Tables of captions and nouns, written as by the model without any order."""
    ask = shard.prompts(loaded, datasets.load("sbu"), "chat")
    spelled, tag = spelling(folder / "model.json"), taggers.tagger(settings["nouns"], remote)
    rows, found = [], []
    for batch in batches.prefill(loaded, samples, ask, batches.picture_of(folder / "drawn"), 2):
        for row, tokens in zip(
            batch.rows, shuffle.written(loaded, batch, straight(loaded, batch), settings["max_new_tokens"]), strict=True
        ):
            name, text = samples[row].sample, spelled.text(tokens).strip()
            rows.append((row, {"sample": name, "caption": text, "tokens": tokens, "reference": "", "row": 99 * row}))
    rows = [one for _, one in sorted(rows, key=lambda pair: pair[0])]
    for one in rows:
        found += nouns.rows(one, None, spelled, tag, "all")
    told = pl.DataFrame([dict.fromkeys(NOUNS) | one for one in found], schema=NOUNS)
    tables.write(pl.DataFrame(rows, schema=CAPTIONS), folder / "captions.parquet", CAPTIONS)
    tables.write(told, folder / "nouns.parquet", NOUNS)
    return told


def straight(loaded, batch):
    is_image = batch.inputs["input_ids"] == loaded.family.image_token(loaded.config)
    return [range(count) for count in is_image.sum(1).tolist()]


def run(folder, loaded, settings, name):
    found = shuffle_files.from_files(
        loaded,
        model=folder / "model.json",
        raw=folder / "raw.json",
        samples=folder / "samples.parquet",
        captions=folder / "captions.parquet",
        nouns_table=folder / "nouns.parquet",
        remote=remote,
        settings=settings,
        batch=2,
        neurons=folder / f"{name}.h5",
        maps=folder / f"{name}_maps.h5",
    )
    tables.write(found, folder / f"{name}.parquet", SHUFFLED)
    return found


def test_without_a_change_captions_nouns_lists_and_maps_are_the_same_in_both_modes(prepared, monkeypatch):
    folder, loaded, samples, settings = prepared
    told = captions(folder, loaded, samples, settings)
    assert (told["status"] == "kept").any()
    monkeypatch.setattr(shuffle, "order", lambda count, *_: list(range(count)))
    found = run(folder, loaded, settings, "same")
    kept = [name for (name,), rows in told.group_by("sample", maintain_order=True) if "kept" in rows["status"]]
    wanted = told.filter(pl.col("sample").is_in(kept[:4]))
    written = dict(tables.read(folder / "captions.parquet", CAPTIONS).select("sample", "caption").iter_rows())
    for mode in ("free", "forced"):
        for permutation in range(2):
            own = found.filter(mode=mode, permutation=permutation)
            assert own.select(NOUNS.keys()).equals(wanted)
            assert own["caption"].to_list() == [written[name] for name in own["sample"]]
    for kind in settings["activations"]:
        for method in ("contribution", "contribution_negative", "activation"):
            one, other = (lists.read(folder / "same.h5", kind, f"{method}.{run}") for run in ("free.0", "forced.1"))
            assert one.keys() == other.keys() and len(one) == (wanted["status"] == "kept").sum()
            for key, neurons in one.items():
                np.testing.assert_array_equal(neurons.unit, other[key].unit)
                np.testing.assert_array_equal(neurons.score, other[key].score)
    best = {
        kind: image_units.nested(lists.read(folder / "same.h5", kind, "contribution.free.0", 6))
        for kind in settings["activations"]
    }
    ask = shard.prompts(loaded, datasets.load("sbu"), "chat")
    picture = batches.picture_of(folder / "drawn")
    with grids.opened(folder / "same_maps.h5") as file:
        for batch in batches.prefill(loaded, samples, ask, picture, 2):
            names = [samples[row].sample for row in batch.rows]
            for one in image_units.gather(loaded, batch, names, best).units:
                for method in ("contribution.free.0", "contribution.forced.1"):
                    values = file[f"{one.activation}/{method}/{one.sample}/{one.noun}"][()]
                    np.testing.assert_allclose(values, one.values.astype(np.float16), atol=2e-3)


def test_orders_depend_on_seed_sample_and_number_and_change_what_is_written(prepared):
    folder, loaded, samples, settings = prepared
    captions(folder, loaded, samples, settings)
    found, again = run(folder, loaded, settings, "one"), run(folder, loaded, settings, "two")
    assert found.equals(again)
    assert (folder / "one.h5").read_bytes() == (folder / "two.h5").read_bytes()
    forced = found.filter(mode="forced", permutation=0)
    first = lists.read(folder / "one.h5", "act_fn", "contribution.forced.0")
    second = lists.read(folder / "one.h5", "act_fn", "contribution.forced.1")
    assert set(first) == set(forced.filter(status="kept").select("sample", "noun").iter_rows()) == set(second)
    assert any((first[key].score != second[key].score).any() for key in first)
    other = run(folder, loaded, settings | {"shuffle": settings["shuffle"] | {"seed": 1}}, "three")
    assert other.filter(mode="forced").equals(found.filter(mode="forced"))
    third = lists.read(folder / "three.h5", "act_fn", "contribution.forced.0")
    assert any((first[key].score != third[key].score).any() for key in first)


def test_without_permutations_the_files_are_there_and_empty(prepared):
    folder, loaded, samples, settings = prepared
    captions(folder, loaded, samples, settings)
    found = run(folder, loaded, settings | {"shuffle": settings["shuffle"] | {"permutations": 0}}, "none")
    assert found.is_empty() and dict(found.schema) == SHUFFLED
    assert lists.about(folder / "none.h5")["lists"] == {}


def test_an_order_is_a_permutation_of_its_own():
    drawn = [shuffle.order(64, *key) for key in ((42, "a", 0), (42, "a", 1), (42, "b", 0), (7, "a", 0))]
    assert all(sorted(one) == list(range(64)) for one in drawn)
    assert len(set(map(tuple, drawn))) == 4
    assert shuffle.order(64, 42, "a", 0) == drawn[0]


def test_lists_are_written_where_no_token_has_a_place(prepared, monkeypatch, caplog):
    folder, loaded, samples, settings = prepared
    captions(folder, loaded, samples, settings)
    monkeypatch.setattr(shuffle_files.patches, "KNOWN", ())
    assert not run(folder, loaded, settings, "placeless").is_empty()
    assert "no maps" in caplog.text
    with grids.opened(folder / "placeless_maps.h5") as file:
        assert list(file) == [grids.SAMPLES] and not len(file[grids.SAMPLES])
    assert lists.read(folder / "placeless.h5", "act_fn", "contribution.forced.0")
