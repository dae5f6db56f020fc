"""The limiter admits exactly what it says in every window, of every client, in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.llm.packed import PackedWindow
from dslkit.server.limiter import Limiter

PERIOD = 60.0
STEPS = st.lists(st.tuples(st.floats(0, 40), st.integers(0, 3)), max_size=120)


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def limiter(requests: int, clock: Clock, **options: int) -> Limiter:
    return Limiter(requests, PERIOD, now=clock, **options)


@given(steps=STEPS, requests=st.integers(1, 7))
@settings(deadline=None)
def test_a_request_passes_exactly_when_the_window_before_it_has_room(
    steps: list[tuple[float, int]], requests: int
) -> None:
    """Held against the plainest arithmetic there is, over several clients and many periods."""
    clock, passed = Clock(), dict[int, list[float]]()
    tested = limiter(requests, clock)
    for pause, client in steps:
        clock.now += pause
        counted = [at for at in passed.setdefault(client, []) if at > clock.now - PERIOD]
        admission = tested.admit(client)
        assert admission.admitted == (len(counted) < requests)
        if admission.admitted:
            passed[client].append(clock.now)
            assert admission.remaining == requests - len(counted) - 1
        else:
            assert admission.reset_s == pytest.approx(counted[0] + PERIOD - clock.now, abs=2e-4)


@given(steps=STEPS)
@settings(deadline=None)
def test_beyond_the_cap_nobody_gets_more_than_his_due(steps: list[tuple[float, int]]) -> None:
    """Newcomers share windows, also when they later get one of their own."""
    clock, passed = Clock(), dict[int, list[float]]()
    tested = limiter(2, clock, max_clients=1)
    for pause, client in steps:
        clock.now += pause
        if tested.admit(client * 4096).admitted:  # all in one shared window
            counted = [at for at in passed.setdefault(client, []) if at > clock.now - PERIOD]
            assert len(counted) < 2
            passed[client].append(clock.now)


def test_a_client_is_admitted_again_the_moment_its_oldest_request_leaves() -> None:
    clock = Clock()
    tested = limiter(1, clock)
    assert tested.admit(1).admitted
    clock.now += PERIOD - 0.001
    assert not tested.admit(1).admitted
    clock.now += 0.001
    assert tested.admit(1).admitted


def test_who_is_refused_is_not_counted() -> None:
    clock = Clock()
    tested = limiter(1, clock)
    assert [tested.admit(1).admitted for _ in range(50)] == [True] + [False] * 49
    clock.now += PERIOD
    assert tested.admit(1).admitted


def test_newcomers_beyond_the_cap_share_windows() -> None:
    clock = Clock()
    tested = limiter(3, clock, max_clients=2)
    for client in (1, 2):
        assert tested.admit(client).admitted
    shared = [tested.admit(10 + 4096 * number).admitted for number in range(5)]
    assert shared == [True, True, True, False, False]
    assert tested.admit(1).admitted, "who has a window keeps it"
    assert len(tested) == 3


def test_nobody_is_admitted_while_too_many_requests_are_held() -> None:
    clock = Clock()
    tested = limiter(100, clock, max_entries=10)
    assert sum(tested.admit(number % 3).admitted for number in range(20)) == 10
    clock.now += 2 * PERIOD
    assert tested.admit(1).admitted


def test_who_does_not_come_back_is_forgotten() -> None:
    clock = Clock()
    tested = limiter(5, clock)
    for client in range(100):
        tested.admit(client)
    clock.now += PERIOD
    tested.admit(0)
    clock.now += PERIOD
    tested.admit(0)
    assert len(tested) == 1


def test_a_client_costs_few_bytes() -> None:
    """A million addresses fit into 200 MB: measured on a share of them."""
    tested = limiter(100, Clock())
    tracemalloc.start()
    for client in range(50_000):
        tested.admit((1 << 64) | client)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 50_000 < 190


@given(stamps=st.lists(st.floats(0, 1e6), max_size=5).map(sorted))
def test_what_is_packed_comes_back(stamps: list[float]) -> None:
    window = PackedWindow(5, PERIOD)
    for stamp in stamps:
        window.append(stamp, 1.0)
    packed = window.pack()
    window.unpack(b"")
    assert window.pack() == b""
    window.unpack(packed)
    assert window.pack() == packed
