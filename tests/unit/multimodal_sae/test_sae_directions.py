"""Decoder rows as words and neighbours, texts as rows of tokens: arithmetic, tiny sizes, bad input."""

from types import SimpleNamespace

import golden_sae
import pytest
import torch

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.cache import files as cache_files
from vlmscope.multimodal_sae.coder import directions
from vlmscope.multimodal_sae.schemas import DIRECTIONS, TOKENS
from vlmscope.multimodal_sae.text import cache as text_cache


class Pieces:
    """A tokenizer of five words."""

    words = ("a", " red", " cat", " dog", "<end>")
    eos_token_id = 4

    def __len__(self):
        return len(self.words)

    def encode(self, text, add_special_tokens=False):
        return [self.words.index(text)]

    def decode(self, tokens, **kwargs):
        return "".join(self.words[token] for token in tokens)

    def convert_ids_to_tokens(self, token):
        return self.words[token]

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": [self.words.index(f" {one}") for one in text.split()]}


@pytest.fixture(scope="module")
def rows():
    return torch.randn(7, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def unembedding():
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("held", [1, 10, 1 << 24])
def test_tokens_and_neighbours_are_those_of_the_whole_product(held, rows, unembedding, monkeypatch):
    monkeypatch.setattr(directions, "MOST_VALUES", held)
    parts = (one for some in (directions.ends(rows, unembedding, 2), directions.nearest(rows, 3)) for one in some)
    found = directions.table(parts, Pieces())
    assert dict(found.schema) == DIRECTIONS and len(found) == 7 * (2 + 2 + 3)
    product = (rows @ unembedding.T).argsort(dim=1, descending=True)
    cosine = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2).fill_diagonal_(-2)
    wanted = {"promoted": product[:, :2], "suppressed": product.flip(1)[:, :2], "nearest": cosine.topk(3).indices}
    for kind, other in wanted.items():
        own = found.filter(kind=kind)
        assert own["other"].to_list() == other.flatten().tolist() and own["rank"].n_unique() == other.shape[1]
    assert found.filter(kind="nearest")["token"].null_count() == 21
    assert found.filter(kind="promoted")["token"].to_list() == [Pieces.words[one] for one in product[:, :2].flatten()]


def test_a_few_latents_and_tokens_give_what_there_is(rows, unembedding):
    assert directions.table(directions.nearest(rows[:2], 9), Pieces())["other"].to_list() == [1, 0]
    assert len(directions.table(directions.ends(rows[:1], unembedding, 9), Pieces())) == 10


def test_texts_of_your_own_stand_alone_and_others_are_joined_and_cut():
    found = text_cache.rows(Pieces(), ["red cat"], ["red dog", "cat", "dog"], 3)
    assert found == {"text-0": [1, 2], "chunk-0": [4, 1, 3], "chunk-1": [4, 2, 4]}, "what is left over is dropped"
    told = text_cache.spelled(Pieces(), found)
    assert dict(told.schema) == TOKENS and told["token"].to_list()[:4] == [" red", " cat", "<end>", " red"]
    assert text_cache.rows(Pieces(), ["red"], [], 3) == {"text-0": [1]}


def test_a_text_without_a_token_is_refused():
    with pytest.raises(VlmscopeError, match="has no token") as refused:
        text_cache.rows(Pieces(), ["red", " "], [], 3)
    assert "texts.own[1]" in str(refused.value)


@pytest.mark.parametrize(("answer", "text"), [('{"caption": "a red cat", "has": ["cat"]}', "a red cat"), ("[]", "")])
def test_the_caption_is_taken_and_not_the_words_beside_it(answer, text):
    assert text_cache.longest(answer) == text


def test_texts_of_any_length_have_the_values_that_they_have_alone(tmp_path):
    loaded, coder = golden_sae.model(tmp_path), golden_sae.coder()
    named = {"text-0": [5, 6, 7], "chunk-0": [1, 5, 9, 12], "chunk-1": [1, 8, 3, 2], "chunk-2": [1, 8]}
    shape = {"latents": coder.config.latents, "k": coder.config.k, "base": 0, "dtype": "float32"}

    def cached(some, name):
        with cache_files.published(tmp_path / name, golden_sae.HOOK, list(some), {}, **shape) as writer:
            text_cache.write(loaded, coder, "resid_post[2]", some, writer, 2)
        with cache_files.opened(tmp_path / name) as found:
            return found.entries(), found.ends.tolist()

    together, ends = cached(named, "all.h5")
    assert ends == [0, 3, 7, 11, 13]
    for number, (name, ids) in enumerate(named.items()):
        alone, _ = cached({name: ids}, f"{name}.h5")
        own = together.where[:, 0] == number
        assert together.where[own, 1:].tolist() == alone.where[:, 1:].tolist()
        torch.testing.assert_close(torch.tensor(together.value[own]), torch.tensor(alone.value), atol=1e-5, rtol=1e-5)


def test_too_few_texts_for_a_chunk_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text_cache.samples, "read", lambda path: [])
    monkeypatch.setattr(text_cache.checkpoint, "read", lambda folder: torch.nn.Linear(1, 1))
    loaded = SimpleNamespace(device="cpu", processor=SimpleNamespace(tokenizer=Pieces()))
    told = {"site": "resid_post[1]", "own": [], "samples": 0, "length": 3}
    with pytest.raises(VlmscopeError, match="do not fill a chunk"):
        text_cache.from_files(loaded, weights="x/y", table="t", settings=told, batch=1, code="", target=tmp_path / "c")
