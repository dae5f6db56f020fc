"""Intervals that hold the true value in 95 of 100 cases: for shares, their differences, means and quantiles.

Shares: Wilson's score interval; differences of independent shares by Newcombe's hybrid of two of these (Statistics in
Medicine 17, 1998, method 10); of paired ones from the exact (Clopper-Pearson) interval of the pairs that disagree.
Means and quantiles: the percentile bootstrap; of many values the normal approximation, which is the same by then.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

Z = 1.959964
_TAIL = 0.025
_RESAMPLES = 4000
_MANY = 2000  # values from which the normal approximation is used
_SAMPLE = 2000  # of the values whose quantiles are bootstrapped
_BLOCK = 250  # resamples at a time, to stay small


def share(hits: int, of: int) -> tuple[float, float]:
    """Wilson's interval of a share."""
    part, slack = hits / of, Z * Z / of
    middle = (part + slack / 2) / (1 + slack)
    width = Z / (1 + slack) * math.sqrt(part * (1 - part) / of + slack / (4 * of))
    return max(0.0, middle - width), min(1.0, middle + width)


def share_difference(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """Of second minus first, each (hits, of) and independent of the other."""
    (hits_a, of_a), (hits_b, of_b) = first, second
    a, b = hits_a / of_a, hits_b / of_b
    (low_a, high_a), (low_b, high_b) = share(hits_a, of_a), share(hits_b, of_b)
    below = math.hypot(b - low_b, high_a - a)
    above = math.hypot(high_b - b, a - low_a)
    return b - a - below, b - a + above


def paired_share_difference(gained: int, lost: int, pairs: int) -> tuple[float, float]:
    """Of the second of each pair minus its first, where ``gained`` and ``lost`` pairs disagree."""
    disagree = gained + lost
    if not disagree:
        most = 1 - _TAIL ** (1 / pairs)
        return -most, most
    low, high = _exact_share(gained, disagree)
    return (2 * low - 1) * disagree / pairs, (2 * high - 1) * disagree / pairs


def mean(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Of the mean of values (of differences, where they are paired)."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) > _MANY:
        half = Z * float(array.std(ddof=1)) / math.sqrt(len(array))
        return float(array.mean()) - half, float(array.mean()) + half
    return _percentiles(_resampled(array, _means, seed))


def mean_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Of the mean of second minus that of first, independent of each other."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if min(len(a), len(b)) > _MANY:
        half = Z * math.sqrt(float(a.var(ddof=1)) / len(a) + float(b.var(ddof=1)) / len(b))
        difference = float(b.mean() - a.mean())
        return difference - half, difference + half
    a, b = _thin(a, seed), _thin(b, seed + 1)
    return _percentiles(_resampled(b, _means, seed) - _resampled(a, _means, seed + 1))


def quantile(values: Sequence[float], part: float) -> float:
    """Interpolated between the two nearest ranks."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), part))


def quantile_difference(
    first: Sequence[float], second: Sequence[float], part: float, seed: int = 0
) -> tuple[float, float]:
    """Of a quantile of second minus that of first; of many values a random sample is taken, which widens it."""
    a, b = _thin(np.asarray(first, dtype=np.float64), seed), _thin(np.asarray(second, dtype=np.float64), seed + 1)

    def quantiles(block: Values) -> Values:
        return np.quantile(block, part, axis=1)

    return _percentiles(_resampled(b, quantiles, seed, 1000) - _resampled(a, quantiles, seed + 1, 1000))


def _exact_share(hits: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's interval, by bisection of the binomial tails."""
    low = _root(lambda p: _TAIL - _at_least(hits, of, p)) if hits else 0.0
    high = _root(lambda p: 1 - _at_least(hits + 1, of, p) - _TAIL) if hits < of else 1.0
    return low, high


def _at_least(hits: int, of: int, p: float) -> float:
    """The probability of that many hits or more."""
    if p in (0.0, 1.0):
        return float(p == 1.0 or hits == 0)
    logs = math.log(p), math.log1p(-p)
    whole = math.lgamma(of + 1)
    terms = (
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * logs[0] + (of - k) * logs[1])
        for k in range(hits, of + 1)
    )
    return min(1.0, math.fsum(terms))


def _root(function: Callable[[float], float]) -> float:
    """Where a falling function of a probability crosses zero."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def _resampled(values: Values, statistic: Callable[[Values], Values], seed: int, times: int = _RESAMPLES) -> Values:
    chance = np.random.default_rng(seed)
    blocks = [
        statistic(values[chance.integers(0, len(values), (min(_BLOCK, times - k), len(values)))])
        for k in range(0, times, _BLOCK)
    ]
    return np.concatenate(blocks)


def _means(block: Values) -> Values:
    means: Values = block.mean(axis=1)
    return means


def _thin(values: Values, seed: int) -> Values:
    if len(values) <= _SAMPLE:
        return values
    return np.random.default_rng(seed).choice(values, _SAMPLE, replace=False)


def _percentiles(statistics: Values) -> tuple[float, float]:
    low, high = np.quantile(statistics, [_TAIL, 1 - _TAIL])
    return float(low), float(high)
