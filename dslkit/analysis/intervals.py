"""Intervals that hold the true value in about 95 of 100 cases: for shares, their differences, means and quantiles.

Shares: Wilson's score interval; differences of independent shares by Newcombe's hybrid of two of these (Statistics in
Medicine 17, 1998, method 10); of paired ones by Bonett and Price's adjusted Wald interval (Journal of Educational and
Behavioral Statistics 37, 2012).  Means: the studentised bootstrap, which holds for skewed values where the percentile
bootstrap is too narrow (Hall, Annals of Statistics 16, 1988); of many values the normal approximation, which is the
same by then.  Quantiles: the percentile bootstrap.
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
_MANY = 600  # values from which the normal approximation is used
_SAMPLE = 2000  # of the values whose quantiles are bootstrapped
_LEAST_ERROR = 0.3  # of the sample's own, for resamples of few values that happen to be all alike
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
    up, down = (gained + 1) / (pairs + 2), (lost + 1) / (pairs + 2)
    half = Z * math.sqrt((up + down - (up - down) ** 2) / (pairs + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def mean(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Of the mean of two or more values (of differences, where they are paired)."""
    return _studentised([np.asarray(values, dtype=np.float64)], seed)


def mean_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Of the mean of second minus that of first, independent of each other, two or more values each."""
    return _studentised([np.asarray(second, dtype=np.float64), np.asarray(first, dtype=np.float64)], seed)


def _studentised(samples: Sequence[Values], seed: int) -> tuple[float, float]:
    """Of the mean of the first sample, less that of the second where there is one."""
    middle = float(samples[0].mean() - sum(one.mean() for one in samples[1:]))
    error = math.sqrt(sum(float(one.var(ddof=1)) / len(one) for one in samples))
    if not error or min(map(len, samples)) > _MANY:
        return middle - Z * error, middle + Z * error
    thinned = [_thin(one, seed + k) for k, one in enumerate(samples)]
    off, squared = np.zeros(_RESAMPLES), np.zeros(_RESAMPLES)
    for k, one in enumerate(thinned):
        again = _resampled(one, _moments, seed + k)
        off += (-1) ** k * (again[:, 0] - one.mean())
        squared += again[:, 1]
    least = _LEAST_ERROR**2 * sum(one.var(ddof=1) / len(one) for one in thinned)
    low, high = _percentiles(off / np.sqrt(np.maximum(squared, least)))
    return middle - high * error, middle - low * error


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


def _resampled(values: Values, statistic: Callable[[Values], Values], seed: int, times: int = _RESAMPLES) -> Values:
    chance = np.random.default_rng(seed)
    blocks = [
        statistic(values[chance.integers(0, len(values), (min(_BLOCK, times - k), len(values)))])
        for k in range(0, times, _BLOCK)
    ]
    return np.concatenate(blocks)


def _moments(block: Values) -> Values:
    """The mean of each row, and its squared standard error."""
    return np.stack([block.mean(axis=1), block.var(axis=1, ddof=1) / block.shape[1]], axis=1)


def _thin(values: Values, seed: int) -> Values:
    if len(values) <= _SAMPLE:
        return values
    return np.random.default_rng(seed).choice(values, _SAMPLE, replace=False)


def _percentiles(statistics: Values) -> tuple[float, float]:
    low, high = np.quantile(statistics, [_TAIL, 1 - _TAIL])
    return float(low), float(high)
