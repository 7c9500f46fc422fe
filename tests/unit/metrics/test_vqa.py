import pytest

from vlmscope.errors import VlmscopeError
from vlmscope.metrics import vqa

CHOICES = (" A:lung ", " B: Left kidney", "C:brain.", " D:Größe 3 ")


def humans(*given, confidence="yes"):
    return [
        {"answer": answer, "answer_confidence": confidence, "answer_id": k} for k, answer in enumerate(given, start=1)
    ]


# --- exact match


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [("Yes", "yes", 1), ("yes ", "yes", 0), ("", "", 1), ("", "no", 0), ("0M2", "0m2", 1), ("ÉCOLE", "école", 1)],
)
def test_exact_match_ignores_case_but_not_blanks(prediction, answer, score):
    assert vqa.exact_match(prediction, answer) == score


# --- anls


@pytest.mark.parametrize(
    ("prediction", "answers", "threshold", "score"),
    [
        ("May 6", ["may 6"], 1.0, 1.0),
        ("  may\n6 ", ["MAY   6"], 1.0, 1.0),
        ("", [""], 1.0, 1.0),
        ("", ["x"], 1.0, 0.0),
        ("x", [""], 1.0, 0.0),
        ("abcd", ["abxx"], 1.0, 0.5),
        ("abcd", ["abxx"], 0.5, 0.0),
        ("abcd", ["abcx"], 0.5, 0.75),
        ("abcd", ["zzzz", "abcx"], 1.0, 0.75),
        ("naïve", ["naive"], 1.0, 0.8),
    ],
)
def test_anls(prediction, answers, threshold, score):
    assert vqa.anls(prediction, answers, threshold) == pytest.approx(score)


def test_a_question_without_answers_is_refused():
    for score in (vqa.anls, vqa.com_exact, vqa.vqa_acc):
        with pytest.raises(VlmscopeError, match="no answer"):
            score("x", [])


# --- medicine


@pytest.mark.parametrize(
    ("prediction", "label", "score"),
    [("A", "A", 1), ("a", "A", 0), ("BAD", "A", 1), ("AAA", "A", 1), ("", "A", 0), ("lung", "B", 0), ("E", "E", 1)],
)
def test_official_any_finds_the_letter_anywhere_and_counts_it_once(prediction, label, score):
    assert vqa.official_any(prediction, label) == score


@pytest.mark.parametrize(
    ("prediction", "letter"),
    [
        ("A", "A"),
        (" b.\n", "B"),
        ("(c)", "C"),
        ("The answer is D, not A", "D"),
        ("A:lung", "A"),
        ("B) Left kidney", "B"),
        ("BAD", None),
        ("E", None),
        ("", None),
        ("   ", None),
        ("left  KIDNEY", "B"),
        ("Brain", "C"),
        ("größe 3", "D"),
        ("kidney", None),
        ("it is a lung", None),
    ],
)
def test_option_is_a_letter_by_itself_or_a_whole_choice(prediction, letter):
    assert vqa.option(prediction, CHOICES) == letter


def test_first_option_takes_the_first_of_several_letters():
    assert vqa.first_option("B or C", "B", CHOICES) == 1
    assert vqa.first_option("B or C", "C", CHOICES) == 0
    assert vqa.first_option("brain", "C ", CHOICES) == 1
    assert vqa.first_option("nothing", "C", CHOICES) == 0


def test_an_empty_choice_is_never_meant_by_an_empty_answer():
    assert vqa.option("", ("", " B:x", " C:y", " D:z")) is None


@pytest.mark.parametrize("label", ["", "F", "lung", "AB", "E"])
def test_a_label_that_is_no_letter_is_refused(label):
    with pytest.raises(VlmscopeError, match="not the letter"):
        vqa.first_option("A", label, CHOICES)
    if label != "E":
        with pytest.raises(VlmscopeError, match="not the letter"):
            vqa.official_any("A", label)


# --- common scenes


def test_com_exact_asks_those_who_were_sure():
    answers = [*humans("Red", confidence="yes"), *humans("blue", confidence="maybe"), *humans("", confidence="yes")]
    assert vqa.com_exact("RED", answers) == 1
    assert vqa.com_exact("blue", answers) == 0
    assert vqa.com_exact("red.", answers) == 0
    assert vqa.com_exact("", answers) == 1


@pytest.mark.parametrize(("agree", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_vqa_accuracy_leaves_out_each_annotator(agree, score):
    answers = humans(*["red"] * agree, *[f"other {k}" for k in range(10 - agree)])
    assert vqa.vqa_acc("red", answers) == pytest.approx(score)


def test_vqa_accuracy_normalises_the_prediction():
    assert vqa.vqa_acc("The Two.", humans(*["2"] * 10)) == 1
    assert vqa.vqa_acc("dont", humans(*["don't"] * 10)) == 1
    assert vqa.vqa_acc("\tred\n", humans(*["red"] * 9, "blue")) == 1


def test_vqa_accuracy_touches_annotators_only_when_they_differ():
    assert vqa.vqa_acc("yes", humans(*["yes."] * 10)) == 0
    assert vqa.vqa_acc("yes", humans(*["yes."] * 9, "no")) == 1


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("yes.", "yes"),
        ("3.5", "3.5"),
        ("1,000", "1000"),
        ("red, blue", "red blue"),
        ("red/blue", "red blue"),
        ("what?", "what "),
        ("don't", "don t"),
    ],
)
def test_punctuation(text, plain):
    assert vqa.without_punctuation(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [("None", "0"), ("a ten", "10"), ("The  An a", ""), ("Wont", "won't"), ("well", "well"), ("eleven", "eleven")],
)
def test_number_words_articles_contractions(text, plain):
    assert vqa.plain_numbers(text) == plain
