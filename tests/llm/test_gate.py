"""The queue: fair, cancellable, bounded; in event loops and in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from dslkit.errors import TooLargeError, WaitTooLongError
from dslkit.llm.gate import GRANTS_IN_A_TURN, Gate, Permit
from dslkit.llm.sharing import MemoryState, file_state
from dslkit.llm.throttle import Limit

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.records import Priority

pytestmark = pytest.mark.anyio


def new_gate(*limits: Limit, concurrency: int = 64) -> Gate:
    return Gate(MemoryState(limits, ring=256), concurrency=concurrency)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_come_first_served() -> None:
    gate, order = new_gate(concurrency=1), list[int]()

    async def one(number: int) -> None:
        permit = await gate.admit(1)
        order.append(number)
        await asyncio.sleep(0)
        permit.release()

    await asyncio.gather(*[one(number) for number in range(20)])
    assert order == list(range(20))


async def test_a_window_that_opens_wide_lets_the_loop_turn() -> None:
    """Between a few that leave, what has come in is read: after a refusal no more than those few are on their way."""
    now = [0.0]
    state = MemoryState([Limit("requests", 20, 1.0)], ring=256)
    gate = Gate(state, clock=lambda: now[0])
    for _ in range(20):
        (await gate.admit(1)).sent()
    waiting = [asyncio.ensure_future(gate.admit(1)) for _ in range(20)]
    await settle()
    now[0] = 2.0
    gate.pump()
    assert gate.status().in_flight == 20 + GRANTS_IN_A_TURN
    gate.hold(0.05)
    await settle()
    assert sum(task.done() for task in waiting) == GRANTS_IN_A_TURN
    now[0] = 3.0
    assert len(await asyncio.gather(*waiting)) == 20


async def test_interactive_goes_first_and_batch_does_not_starve() -> None:
    gate, order = new_gate(concurrency=1), list[str]()
    held = await gate.admit(1)

    async def one(priority: Priority) -> None:
        permit = await gate.admit(1, priority=priority)
        order.append(priority[0])
        permit.release()

    kinds: list[Priority] = ["batch"] * 3 + ["interactive"] * 10
    tasks = [asyncio.ensure_future(one(kind)) for kind in kinds]
    await settle()
    held.release()
    await asyncio.gather(*tasks)
    assert "".join(order) == "iiiibiiiibiib"


async def test_a_retry_goes_before_those_who_never_had_a_turn() -> None:
    gate, order = new_gate(concurrency=1), list[str]()
    held = await gate.admit(1)

    async def one(name: str, *, again: bool) -> None:
        permit = await gate.admit(1, again=again)
        order.append(name)
        permit.release()

    tasks = [asyncio.ensure_future(one("new", again=False)), asyncio.ensure_future(one("again", again=True))]
    await settle()
    held.release()
    await asyncio.gather(*tasks)
    assert order == ["again", "new"]


async def test_concurrency_is_bounded() -> None:
    gate, running, most = new_gate(concurrency=3), 0, 0

    async def one() -> None:
        nonlocal running, most
        permit = await gate.admit(1)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        permit.release()

    await asyncio.gather(*[one() for _ in range(30)])
    assert most == 3
    assert gate.status().in_flight == 0


async def test_cancelled_waiters_leave_nothing_behind() -> None:
    gate = new_gate(Limit("requests", 2, 600.0), concurrency=1)
    held = await gate.admit(1)
    tasks = [asyncio.ensure_future(gate.admit(1)) for _ in range(50)]
    await settle()
    assert gate.status().waiting == 50
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert gate.status().waiting == 0
    held.release()
    permit = await gate.admit(1)
    permit.release()
    assert [use.used + use.pending for use in gate.status().windows] == [0]


async def test_cancelled_in_the_moment_of_the_grant_gives_it_back() -> None:
    gate = new_gate(concurrency=1)
    held = await gate.admit(1)
    waiting = asyncio.ensure_future(gate.admit(1))
    await settle()
    held.release()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert gate.status().in_flight == 0


async def test_a_permit_is_given_back_once() -> None:
    gate = new_gate(concurrency=2)
    one, _two = await gate.admit(1), await gate.admit(1)
    one.release()
    one.release()
    assert gate.status().in_flight == 1


async def test_too_large_fails_at_once() -> None:
    gate = new_gate(Limit("tokens", 100, 600.0))
    with pytest.raises(TooLargeError, match=r"101 tokens.*limit of 100"):
        await gate.admit(101)
    with pytest.raises(TooLargeError):
        gate.admit_blocking(101)


async def test_waiting_has_a_limit() -> None:
    gate = new_gate(Limit("requests", 1, 600.0))
    (await gate.admit(1)).sent()
    with pytest.raises(WaitTooLongError):
        await gate.admit(1, max_wait_s=0.01)
    with pytest.raises(WaitTooLongError):
        await asyncio.to_thread(gate.admit_blocking, 1, max_wait_s=0.01)
    assert gate.status().waiting == 0


async def test_the_window_opens_by_itself() -> None:
    gate = new_gate(Limit("requests", 2, 0.05))
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(6):
        permit = await gate.admit(1)
        permit.sent()
        permit.release()
    assert loop.time() - began >= 0.1


def test_threads_and_loops_share_a_gate() -> None:
    """Twenty threads and twenty tasks in a loop, one place in flight: everybody has a turn, nobody two at once."""
    gate, inside, most, lock = new_gate(concurrency=1), 0, 0, threading.Lock()

    def enter(permit: Permit) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1
        permit.release()

    def in_thread() -> None:
        enter(gate.admit_blocking(1))

    async def in_loop() -> None:
        async def one() -> None:
            enter(await gate.admit(1))

        await asyncio.gather(*[one() for _ in range(20)])

    with ThreadPoolExecutor(21) as pool:
        turns = [pool.submit(asyncio.run, in_loop()), *[pool.submit(in_thread) for _ in range(20)]]
        for turn in turns:
            turn.result(timeout=20)
    assert most == 1
    assert gate.status().in_flight == 0


async def test_a_hold_stops_everybody() -> None:
    gate = new_gate(Limit("requests", 10, 1.0))
    gate.hold(30.0)
    with pytest.raises(WaitTooLongError):
        await gate.admit(1, max_wait_s=0.01)
    assert gate.status().held_s > 25


def test_the_wall_clock_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set back by a year between two requests, it opens no window and blocks none: nobody looks at it."""
    gate = Gate(file_state(tmp_path / "x.lane", [Limit("requests", 2, 0.2)]))
    gate.admit_blocking(1).sent()
    monkeypatch.setattr(time, "time", lambda: pytest.fail("the wall clock was read"))
    gate.admit_blocking(1).sent()
    with pytest.raises(WaitTooLongError):
        gate.admit_blocking(1, max_wait_s=0.05)
    gate.admit_blocking(1, max_wait_s=5.0).sent()
    assert gate.status().windows[0].used <= 2
