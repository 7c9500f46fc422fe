from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vlmscope.metrics import similarity
from vlmscope.metrics.encoders import Contextual, OneLogit, Single
from vlmscope.mm_neurons.measures import similarities
from vlmscope.mm_neurons.measures.sets import LOWER, WIDTH
from vlmscope.mm_neurons.rank import lists
from vlmscope.mm_neurons.rank.lists import Entry, Neurons
from vlmscope.mm_neurons.schemas import CAPTIONS, NEURON_TOKENS, SIMILARITIES
from vlmscope.models.load import describe
from vlmscope.store import files, tables

transformers = pytest.importorskip("transformers")

WEIGHTS = Path(__file__).parents[3] / "weights"
TEXTS = ["", "dog", "cat", "red", " "]
TOKENS = pl.DataFrame(
    [
        (layer, unit, end, rank, token, TEXTS[token], 0.0)
        for (layer, unit), tokens in {(0, 0): [1, 0, 2], (0, 1): [4, 0, 0], (2, 7): [3, 1, 1]}.items()
        for end in ("bottom", "top")
        for rank, token in enumerate(tokens if end == "top" else [3, 3, 3])
    ],
    schema=NEURON_TOKENS,
    orient="row",
)
A, EMPTY, B = 0, 1, 2 * WIDTH + 7
NO_MODEL = {"bertscore": "", "bertscore_layer": 1, "moverscore": "", "bleurt": ""}


def test_a_neuron_s_text_is_its_raised_tokens_without_empty_ones():
    found = similarities.words(TOKENS)
    lower = [(LOWER + one, [3, 3, 3], ["red", "red", "red"]) for one in (A, EMPTY, B)]
    assert found.rows() == [*lower, (A, [1, 2], ["dog", "cat"]), (B, [3, 1, 1], ["red", "dog", "dog"])]


def test_pairs_are_those_of_the_best_neurons_each_once(tmp_path):
    one = Neurons(np.array([0, 2, 0], np.uint8), np.array([0, 7, 1], np.uint16), np.zeros(3, np.float32))
    other = Neurons(one.layer[::-1], one.unit[::-1], one.score, np.array([True, False, False]))
    lists.write(
        tmp_path / "a.h5",
        [Entry("act_fn", "contribution", "x", "dog", one), Entry("act_fn", "random", "x", "dog", one)],
        {},
    )
    lists.write(tmp_path / "b.h5", [Entry("act_fn", "gradient", "y", "cat", other)], {})
    captions = pl.DataFrame(
        {
            "sample": ["x", "y"],
            "caption": ["a dog", "a cat"],
            "tokens": [[1], [2]],
            "reference": ["pet", None],
            "row": [0, 1],
        },
        schema=CAPTIONS,
    )
    paths = [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
    found = similarities.wanted(paths, captions, ["noun", "dataset"], 2, "top")
    # Nobody captioned y in the dataset.
    pets, dogs = [(A, "dataset", "pet"), (B, "dataset", "pet")], [(A, "noun", "dog"), (B, "noun", "dog")]
    assert found.rows() == [*pets, (EMPTY, "noun", "cat"), (B, "noun", "cat"), *dogs]
    found = similarities.wanted(paths, captions, ["noun", "dataset"], 2, "signed")
    assert found.rows() == [*pets, (B, "noun", "cat"), (LOWER + EMPTY, "noun", "cat"), *dogs]


PAIRS = pl.DataFrame(
    [(B, "noun", "dog"), (A, "noun", "red cat"), (EMPTY, "noun", "dog"), (A, "noun", "dog")],
    schema={name: SIMILARITIES[name] for name in ("neuron", "ref", "reference")},
    orient="row",
)


def tokenize(text):
    return [TEXTS.index(word) for word in text.split()]


def test_stand_ins_score_with_single_tokens():
    generator = np.random.default_rng(0)
    stand_in = Single(generator.normal(size=(5, 6)).astype(np.float32), TEXTS)
    found = similarities.table(PAIRS, similarities.words(TOKENS), similarities.Scorers(NO_MODEL, stand_in, tokenize))
    assert dict(found.schema) == SIMILARITIES
    assert found.select("neuron", "ref", "reference").equals(PAIRS)
    b, a, both = stand_in.encode([[3, 1, 1], [1, 2], [3, 2]])
    dog = stand_in.encode([[1]])[0]
    assert found["bertscore"].to_list() == pytest.approx(
        [similarity.bert_f1(b, dog), similarity.bert_f1(a, both), 0, similarity.bert_f1(a, dog)], abs=1e-6
    )
    assert found["bleurt"].to_list() == [
        pytest.approx(similarity.cosine(b, dog), abs=1e-6),
        pytest.approx(similarity.cosine(a, both), abs=1e-6),
        None,
        pytest.approx(similarity.cosine(a, dog), abs=1e-6),
    ]
    weights = similarity.rarity([[1, 2], [3, 1, 1], []]), similarity.rarity([[1], [3, 2]])
    expected = similarity.mover([(b, dog), (a, both), (a, dog)], weights)
    assert found["moverscore"].to_list()[2] is None
    np.testing.assert_allclose(found["moverscore"].drop_nulls(), expected, rtol=1e-6)


def save_models(folder):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "dog", "cat", "red"]
    words = Tokenizer(models.WordPiece({name: k for k, name in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=len(names), num_labels=1, initializer_range=0.5, **sizes)
    found = {}
    for name, kind in (("encoder", transformers.BertModel), ("scorer", transformers.BertForSequenceClassification)):
        found[name] = folder / name
        kind(config).save_pretrained(found[name])
        tokenizer.save_pretrained(found[name])
    return found


def test_models_score_the_words_joined_by_blanks(tmp_path):
    made = save_models(tmp_path)
    settings = {
        **{"bertscore": str(made["encoder"]), "bertscore_layer": 1},
        **{"moverscore": str(made["encoder"]), "bleurt": str(made["scorer"])},
    }
    scores = similarities.Scorers(settings, Single(np.zeros((5, 2)), TEXTS), tokenize)
    found = similarities.table(PAIRS, similarities.words(TOKENS), scores)
    said, meant = ["red dog dog", "dog cat", "", "dog cat"], ["dog", "red cat", "dog", "dog"]
    inner, last = (Contextual(made["encoder"], layer) for layer in (1, None))
    expected = [similarity.bert_f1(*inner.encode(list(pair))) for pair in zip(said, meant, strict=True)]
    np.testing.assert_allclose(found["bertscore"], expected, atol=1e-6)
    assert found["bertscore"][2] == 0
    weights = [similarity.rarity(last.ids(texts)) for texts in (["dog cat", "red dog dog", ""], ["dog", "red cat"])]
    pairs = [tuple(last.encode(list(pair))) for pair in zip(said, meant, strict=True)]
    np.testing.assert_allclose(found["moverscore"].fill_null(np.nan), similarity.mover(pairs, weights), atol=1e-6)
    source = similarities.Source(str(made["scorer"]), "model", "here")
    np.testing.assert_allclose(found["bleurt"], OneLogit(source).scores(meant, said), atol=1e-6)


@pytest.mark.parametrize(("name", "kind"), [("llava-llama2", "llava_llama2"), ("molmo", "molmo")])
def test_the_stand_in_is_the_model_s_own_embedding_of_a_word_inside_a_text(tmp_path, name, kind):
    target = tmp_path / "model.json"
    files.write_json(
        describe(WEIGHTS / name, {"family": kind, "checkpoint": name, "revision": "", "dtype": "float32"}), target
    )
    encoder, tokens_of = similarities.stand_in(str(target))
    for word in ("dog", "umbrella"):
        (token,) = tokens_of(word)
        assert encoder.texts[token].strip() == word
    dog, cat, same = encoder.encode([tokens_of("dog"), tokens_of("cat"), tokens_of("dog")])
    assert similarity.cosine(dog, same) == pytest.approx(1, abs=1e-5)
    assert similarity.cosine(dog, cat) < 0.9


def test_files_give_the_table(tmp_path):
    model = tmp_path / "model.json"
    about = describe(
        WEIGHTS / "llava-llama2",
        {"family": "llava_llama2", "checkpoint": "llava-llama2", "revision": "", "dtype": "float32"},
    )
    files.write_json(about, model)
    encoder, tokens_of = similarities.stand_in(str(model))
    (dog,), (cat,) = tokens_of("dog"), tokens_of("cat")
    tokens = pl.DataFrame(
        [(0, unit, "top", 0, token, encoder.texts[token], 1.0) for unit, token in enumerate((dog, cat))],
        schema=NEURON_TOKENS,
        orient="row",
    )
    tables.write(tokens, tmp_path / "tokens.parquet", NEURON_TOKENS)
    captions = pl.DataFrame([("x", "a dog", [dog], "a dog", 0)], schema=CAPTIONS, orient="row")
    tables.write(captions, tmp_path / "captions.parquet", CAPTIONS)
    both = Neurons(np.zeros(2, np.uint8), np.arange(2).astype(np.uint16), np.zeros(2, np.float32))
    lists.write(tmp_path / "neurons.h5", [Entry("act_fn", "contribution", "x", "dog", both)], {})
    found = similarities.from_files(
        [str(tmp_path / "neurons.h5")],
        model=str(model),
        tokens=str(tmp_path / "tokens.parquet"),
        captions=str(tmp_path / "captions.parquet"),
        settings={**NO_MODEL, "ends": "top", "references": ["noun"], "texts": 2},
    )
    assert found["bertscore"].to_list() == [pytest.approx(1, abs=1e-5), found["bertscore"][1]]
    assert found["bertscore"][1] < 0.9
