"""The length of a server's window, told from its resets: sliding windows, buckets, fixed windows, and nonsense."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.llm.cadence import Cadence

DEFAULT_S = 60.0


def sliding(window_s: float, limit: int, arrivals: list[float], answer_s: float) -> float:
    """What is concluded after a server with a sliding window has answered each arrival ``answer_s`` later."""
    cadence, length = Cadence(), DEFAULT_S
    for arrival in arrivals:
        now = arrival + answer_s
        inside = [one for one in arrivals if now - window_s < one <= now]
        if inside:
            cadence.heard(limit, limit - len(inside), round(inside[-1] + window_s - now, 3), answer_s)
            length = cadence.length(length)
    return length


def bucket(window_s: float, limit: int, arrivals: list[float], answer_s: float) -> float:
    """The same for a server with a bucket."""
    cadence, length, left, at = Cadence(), DEFAULT_S, float(limit), 0.0
    for arrival in arrivals:
        left = min(limit, left + (arrival - at) * limit / window_s) - 1
        at = arrival
        cadence.heard(limit, int(left), round(window_s * (1 - left / limit), 3), answer_s)
        length = cadence.length(length)
    return length


BURST = [0.002 * number for number in range(20)]
CALM_THEN_BURST = [*(0.3 * number for number in range(20)), *(7 + one for one in BURST)]


@pytest.mark.parametrize("window_s", [1.0, 2.5, 5.0, 7.0, 60.0, 3600.0])
@pytest.mark.parametrize("answer_s", [0.005, 0.3])
@pytest.mark.parametrize("arrivals", [BURST, CALM_THEN_BURST], ids=["burst", "calm then burst"])
def test_a_sliding_window(window_s: float, answer_s: float, arrivals: list[float]) -> None:
    """Never shorter than it is, and not much longer."""
    assert 0.999 * window_s <= sliding(window_s, 20, arrivals, answer_s) <= 1.02 * window_s + answer_s


@pytest.mark.parametrize("window_s", [5.0, 60.0, 86_400.0])
@pytest.mark.parametrize("arrivals", [BURST, CALM_THEN_BURST], ids=["burst", "calm then burst"])
def test_a_bucket(window_s: float, arrivals: list[float]) -> None:
    assert bucket(window_s, 200, arrivals, 0.3) == pytest.approx(window_s, rel=0.1)


def test_one_request_at_a_time_leaves_the_usual_minute() -> None:
    """500 a minute, and after each answer all are there again: 120 ms is not a window."""
    cadence = Cadence()
    for _ in range(50):
        cadence.heard(500, 499, 0.12, 1.0)
        assert cadence.length(DEFAULT_S) == DEFAULT_S


def test_200_a_day() -> None:
    """As a new account sees it: each request takes 7m12s to come back."""
    cadence = Cadence()
    for used in range(1, 5):
        cadence.heard(200, 200 - used, 432.0 * used, 1.0)
    assert cadence.length(DEFAULT_S) == 86_400.0


def test_a_window_of_fixed_bounds() -> None:
    cadence, length = Cadence(), DEFAULT_S
    for number in range(200):
        now = number * 0.05
        cadence.heard(100, 100 - (number % 40) - 1, 2.0 - now % 2.0, 0.01)
        length = cadence.length(length)
    assert length == 2.0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-10, 1e6) for _ in range(4)]), max_size=60))
def test_nonsense_leaves_a_length_that_can_be(words: list[tuple[float, float, float, float]]) -> None:
    cadence, length = Cadence(), DEFAULT_S
    for word in words:
        cadence.heard(*word)
        length = cadence.length(length)
    assert 0 < length <= 86_400.0


def test_a_limit_of_others_does_not_confuse() -> None:
    """What others send on the same key only makes the latest request later, never earlier."""
    chance, arrivals = random.Random(3), []
    for number in range(40):
        arrivals += [number * 0.1, number * 0.1 + chance.random() * 0.1]
    assert sliding(5.0, 200, arrivals, 0.2) == 5.0
