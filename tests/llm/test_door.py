"""The door before the SDK's work: who may come in, when, in what order, in which loop."""

from __future__ import annotations

import asyncio

import pytest

from dslkit.errors import WaitTooLongError
from dslkit.llm import door
from dslkit.llm.attribution import attributed
from dslkit.llm.door import Door
from dslkit.llm.gate import Gate
from dslkit.llm.sharing import MemoryState
from dslkit.llm.throttle import Limit


async def turns(times: int) -> None:
    """Let the loop turn."""
    for _ in range(times):
        await asyncio.sleep(0)


class Guests:
    """Calls that stay inside until they are let go, in the order in which they came in."""

    def __init__(self, room: int) -> None:
        self.door = Door(room=room)
        self.came_in: list[str] = []
        self.go = asyncio.Event()

    async def call(self, name: str) -> None:
        async with self.door.visit():
            self.came_in.append(name)
            await self.go.wait()


def test_a_client_in_two_loops_at_once_forgets_nobody() -> None:
    """One loop stops with calls before the door, another uses the same door, then the first goes on."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    guests = Guests(room=1)
    tasks = [first.create_task(guests.call(str(number))) for number in range(3)]
    first.run_until_complete(turns(5))

    async def visit() -> None:
        async with guests.door.visit():
            pass

    second.run_until_complete(asyncio.wait_for(visit(), 5))
    guests.go.set()
    first.run_until_complete(asyncio.wait_for(asyncio.gather(*tasks), 5))
    assert guests.came_in == ["0", "1", "2"]
    first.close()
    second.close()


@pytest.mark.anyio
async def test_interactive_goes_before_batch_without_starving_it() -> None:
    guests = Guests(room=1)

    async def batch(name: str) -> None:
        with attributed(priority="batch"):
            await guests.call(name)

    tasks = [asyncio.create_task(batch(f"b{number}")) for number in range(4)]
    tasks += [asyncio.create_task(guests.call(f"i{number}")) for number in range(6)]
    await turns(3)
    guests.go.set()
    await asyncio.gather(*tasks)
    assert guests.came_in == ["b0", "i0", "i1", "i2", "i3", "b1", "i4", "i5", "b2", "b3"]


@pytest.mark.anyio
@pytest.mark.parametrize("chosen", [False, True])
async def test_a_cancelled_call_leaves_its_place_to_the_next(chosen: bool) -> None:  # noqa: FBT001 - a case
    guests = Guests(room=1)
    tasks = [asyncio.create_task(guests.call(str(number))) for number in range(3)]
    await turns(5)
    if chosen:  # its turn has come, but it has not run yet
        tasks[0].cancel()
        await turns(2)
    tasks[1].cancel()
    guests.go.set()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert guests.came_in == ["0", "2"]


@pytest.mark.anyio
async def test_time_before_the_door_counts_as_waiting_once() -> None:
    entrance = Door(room=1)
    gate = Gate(MemoryState((Limit("requests", 1, 60.0),)))
    (await gate.admit(1)).sent()

    async def call() -> tuple[float, float]:
        async with entrance.visit():
            waited = door.waited_s()
            door.through()
            return waited, door.waited_s()

    async with entrance.visit():
        second = asyncio.create_task(call())
        await turns(3)
    waited, afterwards = await second
    assert waited > 0
    assert afterwards == 0
    with pytest.raises(WaitTooLongError, match=r"within 30 s"):
        await gate.admit(1, max_wait_s=30, waited_s=31)
