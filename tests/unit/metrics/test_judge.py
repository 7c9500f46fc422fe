import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import judge


def test_the_classifier_reads_question_reference_and_prediction():
    assert judge.judge_text("Q?", "ref", "pred") == "[CLS]\nQuestion: Q?\nAnswer: ref\nStudent: pred"


@pytest.mark.parametrize(
    ("prediction", "reference", "right"),
    [
        ("Yes.", "yes", True),
        ("", "", True),
        ("", "yes", False),
        ("the", "the", True),
        ("red car", "a red car", True),
        ("red bus on the left", "red car", False),
        ("the car is red", "red", True),
        ("  STOP ", "stop", True),
        ("стоп", "Стоп!", True),
    ],
)
def test_stand_in(prediction, reference, right):
    assert judge.token_f1(prediction, reference) is right


def test_a_question_is_right_when_any_row_is():
    assert judge.any_right(["b", "a", "b"], [False, False, True]) == {"b": True, "a": False}


def test_uneven_columns_are_refused():
    with pytest.raises(ValueError):
        judge.any_right(["a"], [])


def test_a_missing_checkpoint_says_what_to_set(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(VlmscopeError, match="judge: token_f1"):
        judge.LingoJudge(tmp_path / "nothing").logits(["x"])


def save_classifier(folder, n_labels=1, headless=False):
    """A random sequence classifier and a tokenizer of whole words."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ["[PAD]", "[UNK]", "[CLS]", "Question", "Answer", "Student", "yes", "no", ":", "[", "]", "CLS", "?"]
    words = Tokenizer(models.WordLevel({name: k for k, name in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]").save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=n_labels,
        max_position_embeddings=512,
    )
    kind = transformers.BertModel if headless else transformers.BertForSequenceClassification
    kind(config).save_pretrained(folder)
    return folder


def test_logits_do_not_depend_on_the_batch(tmp_path):
    checkpoint = save_classifier(tmp_path)
    texts = ["yes", "no no no no", "yes ? no", "[CLS] Question : yes"]
    alone = judge.LingoJudge(checkpoint, batch=1).logits(texts)
    together = judge.LingoJudge(checkpoint, batch=3).logits(texts)
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) == len(texts)


def test_right_is_a_positive_logit(tmp_path):
    rows = (["yes?", "no?"], ["yes", "no"], ["no", "yes yes yes"])
    one = judge.LingoJudge(save_classifier(tmp_path))
    logits = one.logits([judge.judge_text(*row) for row in zip(*rows, strict=True)])
    assert one.right(*rows) == [logit > 0 for logit in logits]


@pytest.mark.parametrize("wrong", [{"n_labels": 2}, {"headless": True}])
def test_a_model_that_is_no_judge_is_refused(tmp_path, wrong):
    with pytest.raises(VlmscopeError, match="no judge"):
        judge.LingoJudge(save_classifier(tmp_path, **wrong)).logits(["x"])
