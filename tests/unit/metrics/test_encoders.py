import math

import numpy as np
import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import encoders, similarity

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "dog", "cat", "a", "red", "##s", ".", "ball", "run"]
CLS, SEP = 2, 3


def save_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(models.WordPiece({name: k for k, name in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)


def config(**changes):
    return transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        # Random weights of the usual size make all tokens look alike.
        initializer_range=0.5,
        **changes,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random masked language model: what scoring models are published as."""
    target = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    transformers.BertForMaskedLM(config()).save_pretrained(target)
    save_tokenizer(target)
    return target


def states(folder, ids, layer):
    """Hidden states of one text, by the model alone."""
    model = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.inference_mode():
        return model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].double()


TEXTS = {"a red dog": [6, 7, 4], "cats .": [5, 8, 9], "ball": [10], "run dogs a cat": [11, 4, 8, 6, 5]}


@pytest.mark.parametrize("layer", [1, 3, None])
def test_vectors_are_the_hidden_states_whatever_shares_the_batch(folder, layer):
    found = encoders.Contextual(folder, layer, batch=3).encode(list(TEXTS))
    for (text, ids), one in zip(TEXTS.items(), found, strict=True):
        assert one.ids.tolist() == [CLS, *ids, SEP], text
        assert one.special.tolist() == [True, *[False] * len(ids), True]
        expected = states(folder, [CLS, *ids, SEP], -1 if layer is None else layer)
        expected = expected / expected.norm(dim=-1, keepdim=True)
        np.testing.assert_allclose(one.vectors, expected, atol=1e-5)


def test_pieces_and_punctuation_begin_no_word(folder):
    (one,) = encoders.Contextual(folder).encode(["cats ."])
    assert one.begins.tolist() == [True, True, False, False, True]


def test_bertscore_is_that_of_its_definition(folder):
    """Reference: loops over hidden states in double precision."""
    model = encoders.Contextual(folder, 2)
    for one, other in [("a red dog", "ball"), ("cats .", "run dogs a cat"), ("ball", "ball")]:
        x, y = (states(folder, [CLS, *TEXTS[text], SEP], 2) for text in (one, other))

        def best(a, rows):
            return [max(float(torch.cosine_similarity(v, w, dim=0)) for w in rows) for v in a[1:-1]]

        precision, recall = np.mean(best(x, y)), np.mean(best(y, x))
        expected = 2 * precision * recall / (precision + recall)
        assert similarity.bert_f1(*model.encode([one, other])) == pytest.approx(expected, abs=1e-5)


def test_moverscore_is_that_of_its_definition(folder):
    """Reference: the linear program written out for one pair, in double precision."""
    from scipy.optimize import linprog

    texts = list(TEXTS)
    encoded = encoders.Contextual(folder).encode(texts)
    weights = similarity.rarity(encoders.Contextual(folder).ids(texts))
    # [CLS] and [SEP] stand in every text.
    assert weights[CLS] == weights[SEP] == 0
    assert weights[10] == pytest.approx(math.log(5 / 2))
    (found,) = similarity.mover([(encoded[0], encoded[3])], (weights, weights))

    def side(place):
        ids = TEXTS[texts[place]]
        vectors = states(folder, [CLS, *ids, SEP], -1)[1:-1]
        having = {token: sum(token in other for other in TEXTS.values()) for token in ids}
        mass = np.array([0 if WORDS[token] in ("##s", ".") else math.log(5 / (having[token] + 1)) for token in ids])
        return (vectors / vectors.norm(dim=-1, keepdim=True)).numpy(), mass / mass.sum()

    (x, p), (y, q) = side(0), side(3)
    cost = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in y] for a in x])
    rows = [np.kron(np.eye(len(p))[k], np.ones(len(q))) for k in range(len(p))]
    columns = [np.tile(np.eye(len(q))[k], len(p)) for k in range(len(q))]
    least = linprog(cost.ravel(), A_eq=np.array(rows + columns), b_eq=np.concatenate([p, q])).fun
    assert found == pytest.approx(1 / (1 + least), abs=1e-5)
    assert 0 < found < 1


def test_the_first_word_gets_a_blank_where_the_model_tells_words_by_it(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"<pad>": 0, "<unk>": 1, "dog": 2, "Ġdog": 3}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(tmp_path)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    transformers.RobertaModel(transformers.RobertaConfig(vocab_size=4, pad_token_id=0, **small)).save_pretrained(
        tmp_path
    )
    (one,) = encoders.Contextual(tmp_path).encode(["dog"])
    assert one.ids.tolist() == [3]


def test_single_tokens_as_a_stand_in():
    vectors = np.array([[0, 2], [1, 0], [0, 1], [1, 1], [3, 3]], dtype=np.float32)
    stand_in = encoders.Single(vectors, ["", "dog", " cat", ".", "dogs"])
    first, second, empty = stand_in.encode([[0, 1, 2, 3], [4], [0, 0]])
    assert first.ids.tolist() == [1, 2, 3] == stand_in.ids([[0, 1, 2, 3]])[0]
    assert first.begins.tolist() == [True, True, False]
    np.testing.assert_allclose(second.vectors, [[math.sqrt(0.5)] * 2], atol=1e-7)
    assert similarity.bert_f1(first, second) == pytest.approx(
        2 * (2 * math.sqrt(0.5) + 1) / 3 / (1 + (2 * math.sqrt(0.5) + 1) / 3)
    )
    assert similarity.bert_f1(empty, second) == 0
    assert math.isnan(similarity.cosine(empty, second))


# ---- BLEURT ------------------------------------------------------------------------------------------------------


def save_classifier(folder, **changes):
    torch.manual_seed(1)
    transformers.BertForSequenceClassification(config(**changes)).save_pretrained(folder)
    save_tokenizer(folder)
    return encoders.OneLogit(encoders.Source(str(folder), "model for BLEURT", "mm_neurons.measures.bleurt"), batch=3)


def test_a_pair_s_score_is_the_logit_of_the_first_text_before_the_second(tmp_path):
    scorer = save_classifier(tmp_path, num_labels=1)
    texts = list(TEXTS)
    references, candidates = [*texts, texts[0]], [*texts[::-1], texts[0]]
    found = scorer.scores(references, candidates)
    model = transformers.BertForSequenceClassification.from_pretrained(tmp_path).eval()
    for one, other, score in zip(references, candidates, found, strict=True):
        ids = [CLS, *TEXTS[one], SEP, *TEXTS[other], SEP]
        kinds = [0] * (len(TEXTS[one]) + 2) + [1] * (len(TEXTS[other]) + 1)
        with torch.inference_mode():
            expected = model(torch.tensor([ids]), token_type_ids=torch.tensor([kinds])).logits.item()
        assert score == pytest.approx(expected, abs=1e-5)
    assert len(set(found.tolist())) == len(found)


@pytest.mark.parametrize("changes", [{"num_labels": 2}, {"num_labels": 3}])
def test_a_classifier_with_several_outputs_is_refused(tmp_path, changes):
    scorer = save_classifier(tmp_path, **changes)
    with pytest.raises(VlmscopeError, match=r"no model for BLEURT.*outputs"):
        scorer.scores(["dog"], ["cat"])


def test_missing_weights_are_refused(tmp_path, folder):
    source = encoders.Source(str(folder), "model for BLEURT", "mm_neurons.measures.bleurt")
    with pytest.raises(VlmscopeError, match="weights are missing") as error:
        encoders.OneLogit(source).scores(["dog"], ["cat"])
    assert "mm_neurons.measures.bleurt" in str(error.value)
    transformers.BertModel(config(), add_pooling_layer=False).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    assert len(encoders.Contextual(tmp_path).encode(["dog"])) == 1


@pytest.mark.parametrize("layer", [4, 17])
def test_a_layer_that_the_model_does_not_have_is_refused(folder, layer):
    with pytest.raises(VlmscopeError, match=f"no layer {layer}"):
        encoders.Contextual(folder, layer, where="mm_neurons.measures.bertscore_layer").encode(["dog"])


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(VlmscopeError, match="cannot be loaded"):
        encoders.Contextual(tmp_path / "nothing").encode(["dog"])
