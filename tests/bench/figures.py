"""Statistics of repeated measurements."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A confidence interval may miss the true median once in this many times: 95 % confidence.
_ONE_IN = 20


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and an interval around it, in the unit of the values."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the median and the quartiles: half of the values lie between them.

        A single value is all three.
        """
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)

    @classmethod
    def of_ratios(cls, numerators: Sequence[float], denominators: Sequence[float]) -> Self:
        """Compare values that were taken in pairs, each pair at nearly the same time.

        Other work on the machine slows down both values of a pair.

        Returns:
            The median of the ratios, and its 95 % confidence interval.
        """
        pairs = zip(numerators, denominators, strict=True)
        ratios = sorted(numerator / denominator for numerator, denominator in pairs)
        left_out = values_outside_confidence(len(ratios))
        return cls(statistics.median(ratios), ratios[left_out], ratios[-1 - left_out])


def values_outside_confidence(count: int) -> int:
    """Return how many values on each side lie outside the confidence interval of the median.

    Each value is as likely above the true median as below, whatever the distribution, so the number
    below it follows a binomial distribution (the interval of the sign test).

    Args:
        count: The number of values. With fewer than six, no value lies outside, and even the
            interval from the lowest to the highest has less confidence.
    """
    # Of the 2 ** count ways in which values lie below or above the median, `ways` counts those with
    # at most `left_out` values below.
    left_out, ways = 0, 1
    while True:
        ways += math.comb(count, left_out + 1)
        if 2 * ways * _ONE_IN > 2**count:
            return left_out
        left_out += 1
