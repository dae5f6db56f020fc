"""Intervals against published values, and against how often they hold the truth."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from dslkit.analysis import intervals


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_share_is_wilsons(hits, of, low, high) -> None:
    """The last: Newcombe, Statistics in Medicine 17 (1998), 857, method 3."""
    assert intervals.share(hits, of) == pytest.approx((low, high), abs=1e-4)


def test_share_difference_is_newcombes() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), 873, table II, method 10: 56/70 - 48/80."""
    low, high = intervals.share_difference((48, 80), (56, 70))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(
    ("gained", "lost", "pairs", "low", "high"),
    [(1, 7, 21, -0.50834, -0.01340), (0, 0, 98, -0.02772, 0.02772), (8, 0, 8, 0.42812, 1.0)],
)
def test_paired_share_difference_is_bonett_and_prices(gained, lost, pairs, low, high) -> None:
    """Worked out by hand; the first is 1 and 7 of 21 pairs: -6/23 +- 1.96 sqrt((10/23 - (6/23)^2) / 23)."""
    assert intervals.paired_share_difference(gained, lost, pairs) == pytest.approx((low, high), abs=1e-4)


def coverage(interval, truth: float, rounds: int = 120) -> float:
    return sum(low <= truth <= high for low, high in (interval(seed) for seed in range(rounds))) / rounds


def draw(seed: int, number: int, mean: float) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, 2.0) for _ in range(number)]


def skewed(seed: int, number: int) -> list[float]:
    """Values with a long tail, as costs and seconds have, around a mean of 0."""
    chance = random.Random(seed)
    return [chance.lognormvariate(0, 0.7) - math.exp(0.245) for _ in range(number)]


def disagreeing(seed: int, pairs: int) -> tuple[int, int, int]:
    """Of so many pairs, 2 % better and 12 % worse."""
    chance = random.Random(seed)
    drawn = chance.choices((1, -1, 0), (2, 12, 86), k=pairs)
    return drawn.count(1), drawn.count(-1), pairs


@pytest.mark.parametrize(
    ("interval", "truth"),
    [
        (lambda seed: intervals.mean(draw(seed, 40, 1.0), seed), 1.0),
        (lambda seed: intervals.mean_difference(draw(seed, 40, 2.0), draw(seed + 10_000, 60, 3.0), seed), 1.0),
        (lambda seed: intervals.mean(skewed(seed, 12), seed), 0.0),
        (lambda seed: intervals.mean_difference(skewed(seed, 10), skewed(seed + 10_000, 30), seed), 0.0),
        (lambda seed: intervals.paired_share_difference(*disagreeing(seed, 25)), -0.1),
        (lambda seed: intervals.paired_share_difference(*disagreeing(seed, 100)), -0.1),
    ],
)
def test_intervals_hold_the_truth_about_95_times_in_100(interval, truth) -> None:
    assert 0.89 <= coverage(interval, truth) <= 0.995


def test_values_all_alike_have_no_width() -> None:
    assert intervals.mean([0.0] * 9) == (0.0, 0.0)
    assert intervals.mean_difference([1.0] * 9, [3.0] * 8) == (2.0, 2.0)


def test_many_values_use_the_normal_approximation() -> None:
    values = draw(1, 5000, 1.0)
    half = 1.96 * np.std(values, ddof=1) / 5000**0.5
    assert intervals.mean(values) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=1e-3)
    low, high = intervals.mean_difference(values, draw(2, 5000, 2.0))
    assert low < 1.0 < high
    assert high - low == pytest.approx(2 * half * 2**0.5, rel=0.05)


def test_quantile_difference() -> None:
    low, high = intervals.quantile_difference(draw(1, 3000, 0.0), draw(2, 3000, 5.0), 0.5)
    assert low < 5.0 < high
    assert high - low < 0.6


def test_the_same_every_time() -> None:
    assert intervals.mean(draw(1, 30, 0.0)) == intervals.mean(draw(1, 30, 0.0))
