import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vlmscope.metrics import similarity
from vlmscope.metrics.similarity import Encoded


def text(vectors, ids=None, begins=None, special=None):
    vectors = similarity.normed(np.asarray(vectors, dtype=np.float64))
    n = len(vectors)
    return Encoded(
        vectors,
        np.arange(n) if ids is None else np.asarray(ids),
        np.ones(n, bool) if begins is None else np.asarray(begins, bool),
        np.zeros(n, bool) if special is None else np.asarray(special, bool),
    )


def random_text(generator, tokens, vocabulary=30):
    return text(generator.normal(size=(tokens, 5)), ids=generator.integers(0, vocabulary, tokens))


# ---- BERTScore ---------------------------------------------------------------------------------------------------


def test_bert_f1_by_hand():
    candidate, reference = text([[1, 0], [0, 1]]), text([[1, 1]])
    # Both tokens of the candidate lie 45 degrees from the only one of the reference.
    assert similarity.bert_f1(candidate, reference) == pytest.approx(math.sqrt(0.5))
    candidate = text([[1, 0], [-1, 1]])
    precision, recall = (math.sqrt(0.5) + 0) / 2, math.sqrt(0.5)
    expected = 2 * precision * recall / (precision + recall)
    assert similarity.bert_f1(candidate, reference) == pytest.approx(expected)


def test_bert_f1_is_one_for_the_same_text_and_symmetric():
    generator = np.random.default_rng(0)
    one, other = random_text(generator, 4), random_text(generator, 6)
    assert similarity.bert_f1(one, one) == pytest.approx(1)
    assert similarity.bert_f1(one, other) == pytest.approx(similarity.bert_f1(other, one))


def test_special_tokens_have_no_weight_but_may_be_matched():
    words, other = [[1, 0, 0], [0, 1, 0]], text([[0, 0.6, 0.8]])
    plain, marked = text(words), text([*words, [0, 0, 1]], special=[0, 0, 1])
    precision = (0 + 0.6) / 2
    for candidate, recall in ((plain, 0.6), (marked, 0.8)):
        expected = 2 * precision * recall / (precision + recall)
        assert similarity.bert_f1(candidate, other) == pytest.approx(expected)


def test_vectors_that_point_apart_score_nothing():
    """Precision -0.1 and recall 0.11, say, would have a harmonic mean of -2.2."""
    candidate, other = text([[1, 0]]), text([[-1, 0.3], [0.02, 1]])
    assert similarity.bert_f1(candidate, other) == 0
    generator = np.random.default_rng(0)
    scores = [similarity.bert_f1(random_text(generator, 2), random_text(generator, 2)) for _ in range(200)]
    assert 0 == min(scores) < max(scores) <= 1


def test_an_empty_text_scores_nothing():
    empty = text([[1.0, 0.0]], special=[1])
    full = text([[1.0, 0.0]])
    assert similarity.bert_f1(empty, full) == similarity.bert_f1(full, empty) == 0
    assert math.isnan(similarity.cosine(empty, full))


def test_cosine_compares_mean_vectors():
    one, other = text([[1, 0], [0, 1]]), text([[2, 0]])
    assert similarity.cosine(one, other) == pytest.approx(math.sqrt(0.5))
    assert similarity.cosine(one, one) == pytest.approx(1)
    assert similarity.cosine(other, text([[-3, 0]])) == pytest.approx(-1)


# ---- MoverScore --------------------------------------------------------------------------------------------------


def assigned(cost, given, wanted):
    """Least cost of a transport of whole parcels, by the assignment of every parcel to a place."""
    rows = [row for row, count in enumerate(given) for _ in range(count)]
    columns = [column for column, count in enumerate(wanted) for _ in range(count)]
    parcels = cost[np.ix_(rows, columns)]
    return parcels[linear_sum_assignment(parcels)].sum() / len(rows)


def test_transport_equals_the_assignment_of_parcels():
    generator, problems, expected = np.random.default_rng(1), [], []
    for _ in range(100):
        rows, columns = generator.integers(1, 7, 2)
        cost, total = generator.random((rows, columns)), 12
        given = generator.multinomial(total - rows, np.full(rows, 1 / rows)) + 1
        wanted = generator.multinomial(total - columns, np.full(columns, 1 / columns)) + 1
        problems.append((cost, given / total, wanted / total))
        expected.append(assigned(cost, given, wanted))
    assert len(problems) > 2 * similarity.TOGETHER
    np.testing.assert_allclose(similarity.transport(problems), expected, atol=1e-9)


def test_rare_tokens_weigh_more_and_common_ones_nothing():
    texts = [text(np.ones((2, 2)), ids=[7, 1]), text(np.ones((3, 2)), ids=[7, 2, 2]), text(np.ones((1, 2)), ids=[7])]
    weights = similarity.rarity([one.ids.tolist() for one in texts])
    assert weights == {7: 0, 1: pytest.approx(math.log(2)), 2: pytest.approx(math.log(2))}
    np.testing.assert_allclose(similarity.shares(texts[1], weights), [0, 0.5, 0.5])
    assert not similarity.shares(texts[2], weights).any()


def test_later_pieces_count_nothing():
    weights = {0: 1.0, 1: 3.0, 2: 5.0}
    one = text(np.eye(3), begins=[1, 1, 0])
    np.testing.assert_allclose(similarity.shares(one, weights), [0.25, 0.75, 0])


def test_mover_by_hand():
    weights = dict.fromkeys(range(9), 1.0)
    pair = text([[1, 0], [0, 1]]), text([[1, 0]])
    # Half of the mass stays, half goes as far as the diagonal of a square.
    assert similarity.mover([pair], (weights, weights)).tolist() == pytest.approx([1 / (1 + math.sqrt(2) / 2)])


def test_mover_is_the_best_of_all_orders_where_weights_are_alike():
    generator = np.random.default_rng(2)
    weights = dict.fromkeys(range(30), 1.0)
    pairs = [(random_text(generator, 4), random_text(generator, 4)) for _ in range(20)]
    for pair, score in zip(pairs, similarity.mover(pairs, (weights, weights)), strict=True):
        apart = np.linalg.norm(pair[0].vectors[:, None] - pair[1].vectors[None], axis=-1)
        least = min(apart[range(4), list(order)].mean() for order in itertools.permutations(range(4)))
        assert score == pytest.approx(1 / (1 + least), abs=1e-6)


def test_mover_of_the_same_text_is_one_and_of_nothing_unknown():
    generator = np.random.default_rng(3)
    one = random_text(generator, 5)
    nothing = text(np.eye(2), begins=[0, 0])
    weights = dict.fromkeys(range(30), 1.0)
    found = similarity.mover([(one, one), (one, nothing), (nothing, one)], (weights, weights))
    assert found[0] == pytest.approx(1, abs=1e-6)
    assert np.isnan(found[1:]).all()
    assert similarity.mover([], (weights, weights)).shape == (0,)


# ---- many pairs --------------------------------------------------------------------------------------------------


class Counting:
    """An encoder that notes what it was asked."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked.append(list(texts))
        return [text([[math.cos(one), math.sin(one)]], ids=[one]) for one in texts]


def test_many_pairs_are_scored_in_their_order_and_every_text_is_encoded_once(monkeypatch):
    monkeypatch.setattr(similarity, "BLOCK", 2)
    encoder = Counting()
    pairs = np.array([[4, 0], [0, 1], [3, 1], [0, 0], [4, 1]])
    found = similarity.over_pairs(encoder, [0.0, 0.1, 0.2, 0.3, 0.4], [0.0, 1.0], pairs, similarity.cosines)
    assert encoder.asked == [[0.0, 1.0], [0.0, 0.1], [0.2, 0.3], [0.4]]
    np.testing.assert_allclose(found, np.cos([0.4, 1.0, 0.7, 0.0, 0.6]), atol=1e-6)
    assert similarity.over_pairs(encoder, [], [], np.zeros((0, 2), int), similarity.cosines).shape == (0,)
