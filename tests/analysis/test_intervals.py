"""Intervals against published values, and against how often they hold the truth."""

from __future__ import annotations

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
    [(5, 5, 10, 2 * 0.18709 - 1, 2 * 0.81291 - 1), (10, 0, 10, 2 * 0.69150 - 1, 1.0), (0, 0, 20, -0.16843, 0.16843)],
)
def test_paired_share_difference_is_exact(gained, lost, pairs, low, high) -> None:
    """From Clopper and Pearson's tables for 5 and 10 of 10; without a disagreement, what would show one in 20 pairs."""
    assert intervals.paired_share_difference(gained, lost, pairs) == pytest.approx((low, high), abs=1e-4)


def coverage(interval, truth: float, rounds: int = 200) -> float:
    return sum(low <= truth <= high for low, high in (interval(seed) for seed in range(rounds))) / rounds


def draw(seed: int, number: int, mean: float) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, 2.0) for _ in range(number)]


@pytest.mark.parametrize(
    "interval",
    [
        lambda seed: intervals.mean(draw(seed, 40, 1.0), seed),
        lambda seed: intervals.mean_difference(draw(seed, 40, 2.0), draw(seed + 10_000, 60, 3.0), seed),
    ],
)
def test_bootstrap_holds_the_truth_about_95_times_in_100(interval) -> None:
    assert 0.89 <= coverage(interval, 1.0) <= 0.99


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
