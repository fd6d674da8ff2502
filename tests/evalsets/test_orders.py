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
        pairs=5, right_first=2, right_second=2, consistent=2, ties=2, verdicts=10, first=4, unread=3
    )
    assert found.bias == 4 / 7 - 0.5
    assert found.row() == {
        "pairs": 5, "right_first": 0.4, "right_second": 0.4, "consistent": 0.4, "ties": 0.4,
        "position_bias": 4 / 7 - 0.5, "verdicts": 10, "unread": 3,
    }  # fmt: skip


def test_a_majority_decides_each_order():
    found = count_orders([((1, 1, 2), (2, 2, 1)), ((1, 2, None), (1, 1, 2))])
    assert (found.right_first, found.right_second, found.consistent, found.ties) == (1, 1, 1, 0)
    assert (found.verdicts, found.first, found.unread) == (12, 6, 1)


def test_no_pairs():
    assert count_orders([]).row()["position_bias"] is None
    assert count_orders([]).row()["consistent"] is None
