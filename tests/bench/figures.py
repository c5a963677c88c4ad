"""What many measurements of the same thing say together."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How often an interval may miss the true median: once in so many times, which is 95 %.
_ONE_IN = 20


@dataclass(frozen=True, slots=True)
class Spread:
    """A middle, and how far values lie around it; all in the unit of the values."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the median, and the quartiles: half of the values lie between them."""
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)

    @classmethod
    def of_ratios(cls, numerators: Sequence[float], denominators: Sequence[float]) -> Self:
        """Compare values that were taken in pairs, each pair at nearly the same time.

        Whatever slows the machine down for a while slows down both of a pair.

        Returns:
            The median of the ratios, and what it lies between with a confidence of 95 %.
        """
        pairs = zip(numerators, denominators, strict=True)
        ratios = sorted(numerator / denominator for numerator, denominator in pairs)
        left_out = values_outside_confidence(len(ratios))
        return cls(statistics.median(ratios), ratios[left_out], ratios[-1 - left_out])


def values_outside_confidence(count: int) -> int:
    """Return how many of the lowest values, and of the highest, the median lies beyond.

    Each value is as likely above the true median as below, whatever the distribution, so the number
    below it follows a binomial distribution (the interval of the sign test).

    Args:
        count: How many values there are. Less than six are too few to leave one out, and even the
            interval from the lowest to the highest is then not as sure.
    """
    # Of all 2 ** count ways to lie below or above, those with at most so many below.
    left_out, ways = 0, 1
    while True:
        ways += math.comb(count, left_out + 1)
        if 2 * ways * _ONE_IN > 2**count:
            return left_out
        left_out += 1
