"""The arithmetic of sliding windows, on a clock that is passed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.llm.cadence import Word
from dslkit.llm.throttle import DEFAULT_GUARD_S, GUARD_SHARE, MAX_GUARD_S, Lane, Limit, table_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

RING = 64


def new_lane(*limits: Limit, ring: int = RING) -> Lane:
    lane = Lane(memoryview(bytearray(table_cells(ring) * 8)).cast("d"), ring=ring)
    lane.bind(limits)
    return lane


def stay(window_s: float) -> float:
    return window_s * (1 + GUARD_SHARE) + DEFAULT_GUARD_S


def send(lane: Lane, now: float, tokens: float = 1.0, slot: int = 0) -> tuple[int, ...]:
    assert lane.admit(now, slot, tokens) == 0.0
    return lane.sent(now, slot, tokens, lane.width)


@pytest.mark.parametrize("amount", [0, -1, float("nan"), float("inf")])
def test_limits_that_cannot_be(amount: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Limit("requests", amount)
    with pytest.raises(ValueError, match="longer than 0"):
        Limit("requests", 1, window_s=amount)


def test_a_full_window_opens_when_its_oldest_entry_leaves() -> None:
    lane = new_lane(Limit("requests", 2, 10.0))
    send(lane, 0.0)
    send(lane, 3.0)
    assert lane.admit(4.0, 0, 1) == pytest.approx(stay(10.0) - 4.0)
    assert lane.admit(stay(10.0), 0, 1) == 0.0


def test_the_tightest_of_several_windows_counts() -> None:
    lane = new_lane(Limit("requests", 10, 1.0), Limit("tokens", 100, 1.0), Limit("requests", 3, 100.0))
    send(lane, 0.0, 60)
    assert lane.admit(0.1, 0, 60) == pytest.approx(stay(1.0) - 0.1)
    send(lane, 0.2, 40)
    send(lane, 2.0, 100)
    assert lane.admit(5.0, 0, 1) == pytest.approx(stay(100.0) - 5.0)


def test_reserved_counts_until_it_is_sent_or_cancelled() -> None:
    lane = new_lane(Limit("tokens", 100, 10.0))
    assert lane.admit(0.0, 0, 80) == 0.0
    assert lane.admit(50.0, 0, 30) > 0
    lane.cancel(0, 80, lane.width)
    assert lane.admit(50.0, 0, 100) == 0.0


def test_settling_up_and_down() -> None:
    lane = new_lane(Limit("tokens", 100, 10.0))
    marks = send(lane, 0.0, 80)
    lane.settle(marks, 80, 30)
    assert lane.use(0.0)[0].used == 30
    lane.settle(marks, 30, 95)
    assert lane.admit(1.0, 0, 10) > 0
    lane.settle(marks, 95, -500)
    assert lane.use(1.0)[0].used == 0
    send(lane, 20.0, 50)
    lane.settle(marks, 0, 100)
    assert lane.use(20.0)[0].used == 50, "an entry that has left its window is settled no more"


def test_a_refusal_holds_everybody_and_does_not_count() -> None:
    lane = new_lane(Limit("requests", 2, 10.0))
    marks = send(lane, 0.0)
    lane.refused(1.0, marks, 1, lane.guard, 5.0)
    assert lane.use(1.0)[0].used == 0
    assert lane.admit(2.0, 0, 1) == pytest.approx(4.0)
    assert lane.admit(6.0, 0, 1) == 0.0


def test_a_refusal_by_a_hair_widens_the_guard() -> None:
    lane = new_lane(Limit("requests", 2, 10.0))
    lane.refused(1.0, send(lane, 0.0), 1, lane.guard, 0.02)
    assert lane.guard == pytest.approx(DEFAULT_GUARD_S + 0.02)
    lane.refused(3.0, send(lane, 2.0), 1, lane.guard, 2.0)
    assert lane.guard == pytest.approx(DEFAULT_GUARD_S + 0.02), "that was no hair"
    for _ in range(50):
        lane.refused(10.0, (), 1, lane.guard, 0.2)
    assert lane.guard <= MAX_GUARD_S


def test_the_server_lowers_and_raises_its_limit() -> None:
    lane = new_lane(Limit("requests", 4, 10.0))
    sent_at = 0.0
    send(lane, sent_at)
    lane.told(1.0, sent_at, "requests", Word(2, 1))
    send(lane, 1.5)
    assert lane.admit(2.0, 0, 1) > 0
    lane.told(3.0, 0.5, "requests", Word(4, 3))
    assert lane.admit(3.0, 0, 1) > 0, "an answer to a request sent before the cut says nothing new"
    lane.told(4.0, 1.5, "requests", Word(8, 6))
    send(lane, 4.0)
    send(lane, 4.0)
    assert lane.admit(4.0, 0, 1) > 0, "what the user stated is never exceeded"


def test_refusals_after_a_cut_do_not_widen_the_guard() -> None:
    lane = new_lane(Limit("requests", 4, 10.0))
    marks = send(lane, 0.0)
    lane.told(1.0, 0.0, "requests", Word(2, 0))
    lane.refused(1.0, marks, 1, lane.guard, 0.02)
    assert lane.guard == DEFAULT_GUARD_S


def test_a_limit_nobody_stated_is_the_servers() -> None:
    lane = new_lane(Limit("requests", None, 10.0))
    for _ in range(5):
        send(lane, 0.0)
    lane.told(0.5, 0.0, "requests", Word(6, 1))
    send(lane, 1.0)
    assert lane.admit(1.0, 0, 1) > 0


def test_what_others_spend_on_the_key_is_seen() -> None:
    """The server has counted 8 of 10; we know of 2, so there is room for 2 more, not for 8."""
    lane = new_lane(Limit("requests", 10, 10.0))
    send(lane, 0.0)
    send(lane, 0.1)
    lane.told(1.0, 0.1, "requests", Word(10, 2))
    send(lane, 1.0)
    send(lane, 1.0)
    assert lane.admit(1.0, 0, 1) > 0


def test_a_stale_count_is_no_stranger() -> None:
    """A response under way while our own entries left the window must not be taken for somebody else's spending."""
    lane = new_lane(Limit("requests", 4, 10.0))
    for _ in range(3):
        send(lane, 0.0)
    send(lane, 9.9)
    now = stay(10.0) + 0.01
    assert lane.use(now)[0].used == 1
    lane.told(now, 9.9, "requests", Word(4, 0))
    assert lane.use(now)[0].used == 1


def test_a_server_that_is_late_by_a_hair_is_no_stranger() -> None:
    """It was busy when the first burst came, so it still counts what has just left our window: none of it is lost."""
    lane = new_lane(Limit("requests", 4, 10.0))
    for _ in range(4):
        send(lane, 0.0)
    again = stay(10.0) + 0.001
    send(lane, again)
    lane.told(again + 0.02, again, "requests", Word(4, 0))
    assert lane.use(again + 0.02)[0].used == 1


def test_a_dead_process_is_whole_again_after_one_window() -> None:
    lane = new_lane(Limit("tokens", 100, 10.0))
    assert lane.admit(0.0, 7, 80) == 0.0
    lane.bury(50.0, 7)
    assert not lane.in_slot(7)
    assert lane.use(50.0)[0].pending == 0
    assert lane.admit(50.0, 0, 30) > 0, "it may have been sent"
    assert lane.admit(50.0 + stay(10.0), 0, 100) == 0.0


def test_a_crowded_ring_merges_and_never_opens_early() -> None:
    """With far more requests than entries the window may open later than it could, by a share, never earlier."""
    lane = new_lane(Limit("requests", 1000, 10.0), ring=16)
    for step in range(1000):
        send(lane, step * 0.005)
    assert lane.use(5.0)[0].used == 1000
    first = lane.admit(5.0, 0, 1)
    assert stay(10.0) - 5.0 <= first <= stay(10.0) - 5.0 + 10.0 / 16 * 2


def test_windows_that_another_process_adds_are_kept_in_step() -> None:
    cells = memoryview(bytearray(table_cells(RING) * 8)).cast("d")
    one, two = Lane(cells, ring=RING), Lane(cells, ring=RING)
    one.bind([Limit("requests", 10, 10.0)])
    assert one.admit(0.0, 0, 50) == 0.0
    two.bind([Limit("tokens", 100, 10.0)])
    send(one, 0.1, 30)
    one.sent(0.2, 0, 50, 1)
    uses = {use.unit: use for use in two.use(0.3)}
    assert (uses["requests"].used, uses["requests"].pending) == (2, 0)
    assert uses["tokens"].pending == 0
    assert uses["tokens"].used == 80
    assert two.admit(0.3, 1, 21) > 0
    assert {unit: use.limit for unit, use in uses.items()} == {"requests": 10, "tokens": 100}, "whoever stated it"
    two.bind([Limit("requests", 7, 10.0)])
    assert [use.limit for use in one.use(0.4)] == [10, 100], "each process is held to its own"


@dataclass
class Truth:
    """The same in the plainest way: a list of everything that was ever sent, and what is pending."""

    limits: Sequence[Limit]
    sent: list[tuple[float, float]] = field(default_factory=list)
    pending: list[tuple[int, float]] = field(default_factory=list)

    def fits(self, now: float, tokens: float) -> bool:
        return all(self._fits(limit, now, tokens) for limit in self.limits)

    def _fits(self, limit: Limit, now: float, tokens: float) -> bool:
        def weight(value: float) -> float:
            return 1.0 if limit.unit == "requests" else value

        inside = sum(weight(value) for at, value in self.sent if at > now - stay(limit.window_s))
        waiting = sum(weight(value) for _, value in self.pending)
        return inside + waiting + weight(tokens) <= (limit.amount or 0)


EVENTS = st.tuples(st.floats(0, 3), st.sampled_from(["ask", "ask", "send", "cancel", "kill"]), st.integers(1, 40))


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_no_schedule_overfills_a_window_and_none_waits_for_nothing(events: list[tuple[float, str, int]]) -> None:
    """Whatever arrives, is late, cancelled or killed: exactly what fits is admitted, and at the time promised."""
    limits = [Limit("requests", 4, 2.0), Limit("tokens", 90, 3.0), Limit("requests", 9, 10.0)]
    lane, truth, now = new_lane(*limits), Truth(limits), 0.0
    for passed, what, tokens in events:
        now += passed
        if what == "ask":
            slot = tokens % 3
            fits = truth.fits(now, tokens)
            delay = lane.admit(now, slot, tokens)
            assert (delay == 0.0) is fits
            if fits:
                truth.pending.append((slot, tokens))
            elif not truth.pending:
                assert truth.fits(now + delay + 1e-9, tokens)
                assert delay <= 1e-4 or not truth.fits(now + delay * 0.999 - 1e-6, tokens)
        elif what == "send" and truth.pending:
            slot, weight = truth.pending.pop(0)
            lane.sent(now, slot, weight, lane.width)
            truth.sent.append((now, weight))
        elif what == "cancel" and truth.pending:
            slot, weight = truth.pending.pop()
            lane.cancel(slot, weight, lane.width)
        elif what == "kill":
            slot = tokens % 3
            dead = [entry for entry in truth.pending if entry[0] == slot]
            truth.pending = [entry for entry in truth.pending if entry[0] != slot]
            lane.bury(now, slot)
            truth.sent.extend((now, weight) for _, weight in dead)
        for use, limit in zip(lane.use(now), limits, strict=True):
            assert use.used + use.pending <= (limit.amount or 0) + 1e-9
