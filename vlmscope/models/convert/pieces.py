"""The tokenizer of Llama-like releases: from `tokenizer.model` to `tokenizer.json`.

A SentencePiece model file is a protocol buffer. transformers reads it with two more packages; all that is needed here
is the list of its pieces, the repeated field 1 of the message.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vlmscope.errors import VlmscopeError

# Fields of the message and of one piece, and the type of a piece that merging can make (sentencepiece_model.proto).
PIECES, TEXT, TYPE = 1, 1, 3
NORMAL = 1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Piece(NamedTuple):
    """One entry of the vocabulary; `kind` 1 is made by merging, others are control tokens, bytes and the like."""

    text: str
    kind: int


def read(path: Path) -> list[Piece]:
    """The vocabulary of a SentencePiece model, in the order of its ids."""
    try:
        return [_piece(value) for number, value in _fields(path.read_bytes()) if number == PIECES]
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise VlmscopeError(
            f"This is no SentencePiece model, or it is cut: {error}", where=str(path), instead="fetch the file again"
        ) from None


def _piece(message: bytes) -> Piece:
    fields = dict(_fields(message))
    return Piece(fields[TEXT].decode(), fields.get(TYPE, NORMAL))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the fields of a protocol buffer message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        # The lower three bits of a key say how its value is written.
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
        else:
            size, place = _varint(message, place) if kind == BYTES else ({FIXED64: 8, FIXED32: 4}[kind], place)
            value, place = message[place : place + size], place + size
        if place > len(message):
            raise ValueError("a field reaches beyond the end")
        yield number, value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits per byte, the lowest first, and the place behind it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def tokenizer(path: Path, pad: str) -> Any:
    """Llama's tokenizer from a SentencePiece model; every text between special tokens begins with a space."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast
    from transformers.tokenization_utils_base import generate_merges

    pieces = read(path)
    ids = {piece.text: number for number, piece in enumerate(pieces)}
    never_merged = [piece.text for piece in pieces if piece.kind != NORMAL]
    merges = generate_merges(ids, skip_tokens=never_merged)
    inner = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", ids["<s>"])])
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": pad}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_input_names=["input_ids", "attention_mask"], **special)
