"""Verdicts in both orders, counted by hand."""

from curate.evalsets.orders import OrderCounts, count_orders, vote


def test_a_vote_is_the_mean_of_what_can_be_read():
    assert [vote(one) for one in ((1,), (2,), (None,), (1, 1, 2), (1, None, 2), ())] == [1, -1, 0, 1 / 3, 0, 0]


def test_counts_of_both_orders():
    pairs = [
        ((1,), (2,)),  # right in both orders
        ((2,), (1,)),  # wrong in both
        ((1,), (1,)),  # always the first
        ((None,), (2,)),  # right where it can be read
        ((None,), (None,)),
    ]
    found = count_orders(pairs)
    assert found == OrderCounts(
        pairs=5,
        both=5,
        right=2,
        right_first=2,
        right_second=2,
        consistent=2,
        ties=2,
        verdicts=10,
        first=4,
        unread=3,
    )
    assert found.bias == 4 / 7 - 0.5
    assert found.row() == {
        "pairs": 5, "accuracy": 0.4, "accuracy_without_ties": 2 / 3,
        "right_first": 0.4, "right_second": 0.4, "consistent": 0.4, "ties": 0.4,
        "position_bias": 4 / 7 - 0.5, "verdicts": 10, "unread": 3,
    }  # fmt: skip


def test_a_majority_decides_each_order():
    found = count_orders([((1, 1, 2), (2, 2, 1)), ((1, 2, None), (1, 1, 2))])
    assert (found.right_first, found.right_second, found.consistent, found.ties) == (1, 1, 1, 0)
    assert (found.verdicts, found.first, found.unread) == (12, 6, 1)


def test_verdicts_may_be_ties_and_in_one_order_alone():
    pairs = [((1,), ()), ((), (1,)), ((0,), (0,)), ((0,), (2,)), ((1, 0, 2), ())]
    found = count_orders(pairs)
    assert (found.pairs, found.both, found.right, found.ties, found.tied) == (5, 2, 2, 2, 4)
    assert (found.right_first, found.right_second, found.consistent) == (0, 1, 0)
    assert found.row()["accuracy"] == 0.4
    assert found.row()["accuracy_without_ties"] == 2 / 3
    assert found.row()["right_second"] == 0.5
    assert found.bias == 3 / 5 - 0.5


def test_no_pairs():
    assert count_orders([]).row()["position_bias"] is None
    assert count_orders([]).row()["consistent"] is None
