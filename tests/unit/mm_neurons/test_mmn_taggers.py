import sys
from types import SimpleNamespace

import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.text import taggers
from vlmscope.world.draw import draw
from vlmscope.world.scene import DOMAINS

SETTINGS = {"backend": "lexicon", "lexicon": "", "model": "small", "server": "http://there", "sentences": "all"}
# Words of the drawn world's captions that are no nouns.
OTHERS = {
    *("a", "an", "and", "the", "with", "of", "in", "on", "at", "is", "no", "one", "two", "three"),
    *("red", "green", "blue", "yellow", "white", "black", "purple", "stop", "aerial", "ct", "mri"),
}


def nobody(server, text):
    raise AssertionError("no server is asked")


def tagger(**changes):
    return taggers.tagger(SETTINGS | changes, nobody)


def nouns(sentences):
    return [[word.text for word in sentence if word.tag.startswith("N")] for sentence in sentences]


def test_nouns_of_the_drawn_world_are_known_in_any_form():
    told = tagger()("A black Car and two dogs, in the park. A cat! is it a Umbrellas? no")
    assert nouns(told) == [["Car", "dogs", "park"], ["cat"], ["Umbrellas"], []]


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_word_of_a_drawn_caption_is_a_noun_or_known_to_be_none(domain):
    tag = tagger()
    for seed in range(300):
        caption = draw(domain, seed).caption
        (words,) = tag(caption)
        assert {word.text for word in words if word.tag == "X"} <= OTHERS, caption
        assert not {word.text for word in words if word.tag != "X"} & OTHERS, caption
        assert nouns([words])[0], caption


def test_a_list_of_nouns_comes_from_a_file(tmp_path):
    path = tmp_path / "nouns.txt"
    path.write_text("# things\nzebra\n\n Tree \n", encoding="utf-8")
    assert nouns(tagger(lexicon=str(path))("zebras under a tree with a dog")) == [["zebras", "tree"]]


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n\n", b"\xff\xfe"])
def test_a_list_that_cannot_be_read_or_is_empty_is_refused(tmp_path, content):
    path = tmp_path / "nouns.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VlmscopeError, match="list of nouns") as caught:
        tagger(lexicon=str(path))
    assert caught.value.where == str(path)


@pytest.mark.parametrize("name", ["spacy", "nltk"])
def test_a_tagger_that_is_not_installed_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(VlmscopeError, match=f"{name} is not installed") as caught:
        tagger(backend=name)
    assert "backend: lexicon" in caught.value.instead


def test_sentences_and_tags_of_spacy(monkeypatch):
    def pipeline(text):
        parts = [part.split() for part in text.split(".")]
        return SimpleNamespace(
            sents=[[SimpleNamespace(text=word, tag_=word.upper()) for word in part] for part in parts]
        )

    asked = []
    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=lambda model: asked.append(model) or pipeline))
    assert tagger(backend="spacy")("nn vb.nns") == [[("nn", "NN"), ("vb", "VB")], [("nns", "NNS")]]
    assert asked == ["small"]


def test_a_missing_model_of_spacy_is_named(monkeypatch):
    def load(model):
        raise OSError("no such model")

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))
    with pytest.raises(VlmscopeError, match="no model 'small'") as caught:
        tagger(backend="spacy")
    assert caught.value.instead == "python -m spacy download small"


def test_sentences_and_tags_of_nltk(monkeypatch):
    library = SimpleNamespace(
        sent_tokenize=lambda text: text.split("."),
        word_tokenize=str.split,
        pos_tag=lambda words: [(word, word.upper()) for word in words],
    )
    monkeypatch.setitem(sys.modules, "nltk", library)
    assert tagger(backend="nltk")("nn vb.nns") == [[("nn", "NN"), ("vb", "VB")], [("nns", "NNS")]]
    library.pos_tag = lambda words: {}["averaged_perceptron_tagger"]
    with pytest.raises(VlmscopeError, match="lacks its data"):
        tagger(backend="nltk")("nn")


def test_a_server_is_asked_at_its_address():
    asked = []

    def remote(server, text):
        asked.append((server, text))
        return [[("dog", "NN")]]

    tag = taggers.tagger(SETTINGS | {"backend": "corenlp"}, remote)
    assert tag("a dog") == [[("dog", "NN")]] and asked == [("http://there", "a dog")]
