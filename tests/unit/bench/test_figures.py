"""The statistics of `make bench`."""

from __future__ import annotations

import random

import pytest

from tests.bench.figures import Spread, values_outside_confidence


def test_half_of_the_values_lie_between_the_quartiles() -> None:
    """The quartiles of five values are the second and the fourth."""
    assert Spread.of([5, 1, 4, 2, 3]) == Spread(3, 2, 4)


def test_single_value_is_median_and_quartiles() -> None:
    """`make bench ROW=backlog ROUNDS=1` takes one sample; only Python 3.13 has its quartiles."""
    assert Spread.of([7]) == Spread(7, 7, 7)


def test_slowdown_of_a_pair_does_not_change_its_ratio() -> None:
    slowed_down_together = Spread.of_ratios([10, 20, 40, 80, 10, 30], [5, 10, 20, 40, 5, 15])
    assert slowed_down_together == Spread(2, 2, 2)


def test_single_outlier_does_not_change_the_ratio() -> None:
    """Neither the median nor the interval follows one sample."""
    ratio = Spread.of_ratios([1.0] * 11 + [50.0], [1.0] * 12)
    assert ratio == Spread(1, 1, 1)


def test_unpaired_samples_are_rejected() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Spread.of_ratios([1, 2], [1])


@pytest.mark.parametrize(
    ("count", "left_out"),
    # By hand: 2 P(at most 0 of 6) = 2/64 = 3.1 %, and 2 P(at most 1 of 8) = 18/256 = 7.0 %, but
    # 2 P(at most 1 of 9) = 20/512 = 3.9 %.
    [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (20, 5), (30, 9), (100, 39)],
)
def test_interval_follows_the_sign_test(count: int, left_out: int) -> None:
    """With n values left out, it misses if at most n values lie on one side of the median."""
    assert values_outside_confidence(count) == left_out


def test_interval_covers_the_true_median_as_often_as_stated() -> None:
    """With 24 values that is 97.7 % of the time."""
    chance = random.Random(1)
    covered = 0
    for _ in range(2000):
        ratios = [chance.lognormvariate(0, 0.1) for _ in range(24)]
        spread = Spread.of_ratios(ratios, [1.0] * len(ratios))
        covered += spread.low <= 1 <= spread.high
    assert 0.95 <= covered / 2000 <= 0.99


def test_many_values_do_not_overflow() -> None:
    """Binomial coefficients soon outgrow a float."""
    assert 900 < values_outside_confidence(2000) < 1000
