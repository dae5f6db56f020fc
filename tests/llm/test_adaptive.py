"""How many at once: against servers of a known capacity, on a clock that is passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslkit.llm.adaptive import START, Adaptive


def served(adaptive: Adaptive, capacity: int, rounds: int, *, now: float = 0.0) -> float:
    """Round trips of a server that answers ``capacity`` requests in a second and queues the others."""
    for _ in range(rounds):
        at_once = adaptive.limit
        latency = max(1.0, at_once / capacity)
        now += latency
        for _ in range(at_once):
            adaptive.answered(now, latency, at_once - 1)
    return now


def test_it_grows_quickly_while_all_is_well() -> None:
    adaptive = Adaptive(64)
    served(adaptive, 1000, 4)
    assert adaptive.limit == 64


def test_it_settles_near_what_the_server_takes() -> None:
    adaptive = Adaptive(512)
    now = served(adaptive, 16, 30)
    assert 16 <= adaptive.limit <= 16 * 6
    served(adaptive, 16, 30, now=now)
    assert 16 <= adaptive.limit <= 16 * 6


def test_trouble_halves_it_once_a_round_trip() -> None:
    adaptive = Adaptive(64, 64)
    adaptive.answered(0.0, 1.0, 1)
    for _ in range(20):
        adaptive.overloaded(1.0)
    assert adaptive.limit == 32
    adaptive.overloaded(2.5)
    assert adaptive.limit == 16


def test_nothing_is_left_to_find_out() -> None:
    adaptive = Adaptive(64)
    assert adaptive.limit == START
    adaptive.off = True
    assert adaptive.limit == 64


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.001, 100), st.integers(0, 64), st.booleans()), max_size=80))
def test_it_stays_within_bounds(events: list[tuple[float, float, int, bool]]) -> None:
    adaptive, now = Adaptive(20), 0.0
    for passed, latency, in_flight, good in events:
        now += passed
        adaptive.answered(now, latency, in_flight) if good else adaptive.overloaded(now)
        assert 1 <= adaptive.limit <= 20


@pytest.mark.parametrize("highest", [1, 3])
def test_few_are_few(highest: int) -> None:
    assert Adaptive(highest).limit == highest
