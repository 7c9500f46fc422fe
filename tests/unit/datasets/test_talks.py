"""Conversations in LLaVA's layout, in tables and in lists."""

import json
import logging

import polars as pl
import pyarrow.parquet as pq
import pytest

from vlmscope.datasets import llava_json, llava_next_data, sae_pictures
from vlmscope.errors import VlmscopeError
from vlmscope.models.base import family
from vlmscope.world.draw import draw

SCENES = [draw("com", seed) for seed in range(8)]
TABLE = "data/train-00000-of-00001.parquet"


@pytest.fixture
def listed(tmp_path):
    llava_json.write(SCENES, tmp_path, "train")
    return tmp_path


def changed(root, change):
    """The list with its first entry changed."""
    path = root / "train.json"
    entries = json.loads(path.read_text())
    change(entries[0])
    path.write_text(json.dumps(entries))


def test_both_layouts_hold_the_same_conversations(listed, tmp_path_factory):
    root = tmp_path_factory.mktemp("table")
    llava_next_data.write(SCENES, root, "train")
    both = [
        {json.loads(one.answer)["id"]: (module.turns(one), one.width) for one in module.read(folder, "train", name="x")}
        for module, folder in ((llava_next_data, root), (llava_json, listed))
    ]
    assert both[0] == both[1] and len(both[0]) == len(SCENES) + 2


def test_the_picture_stands_in_front_of_the_first_words_of_the_user_and_nowhere_else(listed):
    def move(entry):
        said = entry["conversations"]
        said[0]["value"] = said[0]["value"].removeprefix("<image>\n") + "\n<image>"
        said.insert(0, {"from": "system", "value": "be kind"})

    changed(listed, move)
    one = next(llava_json.read(listed, "train", name="x"))
    roles, texts = zip(*llava_json.turns(one), strict=True)
    assert roles[:3] == ("system", "user", "assistant")
    assert texts[1].startswith("<image>\n") and "".join(texts).count("<image>") == 1
    assert llava_json.prompt(one, "full") == f"<image>\n{one.question}"
    assert "<image>" not in llava_json.words(one) and "be kind" in llava_json.words(one)


def test_words_alone_have_no_picture_and_no_mark(listed):
    bare = [one for one in llava_json.read(listed, "train", name="x") if not one.images]
    assert [(one.width, one.height) for one in bare] == [(0, 0)] * 2
    assert all("<image>" not in llava_json.prompt(one, "full") for one in bare)
    assert all("<image>" not in text for one in bare for _, text in llava_json.turns(one))


def test_conversations_about_several_pictures_are_left_out_and_counted(listed, caplog):
    whole = list(llava_json.read(listed, "train", name="x"))
    changed(listed, lambda entry: entry.update(image=[entry["image"], entry["image"]]))
    with caplog.at_level(logging.WARNING):
        assert list(llava_json.read(listed, "train", name="x")) == whole[1:]
    assert "1 conversations about several pictures were left out" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda entry: entry.pop("conversations"), "lacks conversations"),
        (lambda entry: entry.update(conversations=[]), "no conversation"),
        (lambda entry: entry["conversations"][0].pop("value"), "lacks value"),
        (lambda entry: entry.update(conversations=["hello"]), "lacks from, value"),
    ],
)
def test_an_entry_without_a_conversation_is_refused(listed, change, words):
    changed(listed, change)
    with pytest.raises(VlmscopeError, match=words):
        list(llava_json.read(listed, "train", name="x"))


def test_rows_of_made_datasets_have_other_keys(listed):
    first = next(llava_json.read(listed, "train", name="x"))
    names = {"human": "user", "gpt": "assistant"}

    def rename(entry):
        entry["conversations"] = [
            {"role": names[one["from"]], "content": one["value"]} for one in entry["conversations"]
        ]

    changed(listed, rename)
    assert next(llava_json.read(listed, "train", name="x")) == first


def test_rows_whose_picture_is_missing_are_left_out_of_tables(tmp_path, caplog):
    llava_next_data.write(SCENES, tmp_path, "train")
    whole = list(llava_next_data.read(tmp_path, "train", name="x"))
    table = pl.read_parquet(tmp_path / TABLE)
    place = next(int(one.images[0].split("#")[1]) for one in whole if one.images)
    cells = [None if k == place else cell for k, cell in enumerate(table["image"].to_list())]
    table.with_columns(image=pl.Series(cells, dtype=table.schema["image"])).write_parquet(tmp_path / TABLE)
    with caplog.at_level(logging.WARNING):
        rest = list(llava_next_data.read(tmp_path, "train", name="x"))
    assert [one.sample for one in rest] == [one.sample for one in whole if one.images != (f"{TABLE}#{place}",)]
    assert "1 items were left out" in caplog.text


def test_a_conversation_is_written_in_the_template_of_the_model():
    turns = [("system", "be kind"), ("user", "<image>\nwhat?"), ("assistant", "a cat"), ("user", "bye")]
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    wanted = "".join(head.format(role) + text + "<|eot_id|>" for role, text in turns)
    assert family("llava_next_llama3").talk(turns) == wanted
    own = family("llava_onevision").talk(turns[1:3])
    assert own == "<|im_start|>user <image>\nwhat?<|im_end|><|im_start|>assistant\na cat<|im_end|>"
    with pytest.raises(VlmscopeError, match="holds no conversations"):
        family("llava").talk(turns)


# ---- pictures without words --------------------------------------------------------------------------------------


def test_a_picture_that_is_there_again_is_left_out_and_numbers_stay_those_of_the_rows(tmp_path):
    (path,) = sae_pictures.write(SCENES, tmp_path, "cache")
    table = pq.read_table(path)
    pq.write_table(table.take([0, 1, 0, 2, 1, 3]), path)
    found = list(sae_pictures.read(tmp_path, "cache", name="x"))
    assert [one.index for one in found] == [0, 1, 3, 5]
    assert [one.index for one in sae_pictures.read(tmp_path, "cache", name="x", limit=3)] == [0, 1, 3]
    assert len(list(sae_pictures.read(tmp_path, "cache", name="x", unique=False))) == 6


def test_parts_need_nothing_but_a_picture(tmp_path):
    (path,) = sae_pictures.write(SCENES, tmp_path, "mme")
    pq.write_table(pq.read_table(path, columns=["image"]), path)
    found = list(sae_pictures.read(tmp_path, "mme", name="x"))
    assert len(found) == len(SCENES) and {one.answer for one in found} == {'{"source": "mme"}'}
