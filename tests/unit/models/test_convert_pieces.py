"""Llama's tokenizer from `tokenizer.model`, against ids written by SentencePiece itself.

`convert_files/tokenizer.model` was trained with SentencePiece 0.2.3 (640 pieces, byte fallback, settings of Llama) on
made-up sentences; `sentencepiece.json` holds what it makes of some texts.
"""

import json
from pathlib import Path

import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.models.convert import pieces

HERE = Path(__file__).parent / "convert_files"
WRITTEN = json.loads((HERE / "sentencepiece.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Saved and read again, as a checkpoint's tokenizer is."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    pieces.tokenizer(HERE / "tokenizer.model", pad="</s>").save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llava"}')
    return AutoTokenizer.from_pretrained(folder)


def test_pieces_stand_in_their_order():
    found = pieces.read(HERE / "tokenizer.model")
    assert len(found) == WRITTEN["pieces"] == 640
    assert [piece.text for piece in found[:5]] == ["<unk>", "<s>", "</s>", "<0x00>", "<0x01>"]
    assert [piece.kind for piece in found[:4]] == [2, 3, 3, 6] and found[300].kind == 1


@pytest.mark.parametrize(("text", "ids"), WRITTEN["texts"])
def test_ids_are_those_of_sentencepiece(words, text, ids):
    assert words(text, add_special_tokens=False)["input_ids"] == ids
    assert words(text)["input_ids"] == [1, *ids]
    assert words.decode(ids) == text


def test_text_behind_a_special_token_begins_with_a_space(words):
    """Official code tokenises the text before and after a picture on its own."""
    (_, before), (_, after) = WRITTEN["texts"][:2]
    assert words("USER: <unk>\nDescribe the image in few words. ASSISTANT:")["input_ids"] == [1, *before, 0, *after]
    assert (words.pad_token_id, words.bos_token_id, words.eos_token_id, words.unk_token_id) == (2, 1, 2, 0)


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"\xff" * 40, lambda data: b"PK\x03\x04"])
def test_a_damaged_file_is_named(tmp_path, damage):
    (tmp_path / "tokenizer.model").write_bytes(damage((HERE / "tokenizer.model").read_bytes()))
    with pytest.raises(VlmscopeError, match="no SentencePiece model") as caught:
        pieces.read(tmp_path / "tokenizer.model")
    assert caught.value.where == str(tmp_path / "tokenizer.model")
