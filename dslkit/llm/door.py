"""A door before the SDK's own work on a request: thousands of gathered calls must not all do it before one is sent.

It lets a few in at a time, in order, between which the loop turns and bytes can leave; and no more than a few may stand
inside waiting for their permit.  Whoever waits before the door costs a coroutine, not a built request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

ROOM = 48  # may be inside without a permit: enough to keep the gate busy
AT_ONCE = 4  # may enter in one turn of the loop

_inside: ContextVar[Visit | None] = ContextVar("dslkit_visit", default=None)


def through() -> None:
    """The call made here has its permit: somebody else may come in."""
    visit = _inside.get()
    if visit is not None:
        visit.leave()


def is_inside() -> bool:
    """Whether the call made here has been let in."""
    return _inside.get() is not None


class Visit:
    """One call's stay inside; an asynchronous context manager, small as thousands of them wait."""

    __slots__ = ("_door", "_there", "_token")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._there = False

    def __aenter__(self) -> Visit:
        return self

    def __await__(self) -> Generator[Any, None, None]:
        turn = self._door.turn()
        if turn is not None:
            try:
                yield from turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._door.left()
                raise
        self._there = True
        self._token = _inside.set(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        _inside.reset(self._token)

    def leave(self) -> None:
        """Make room; only the first call counts."""
        if self._there:
            self._there = False
            self._door.left()


class Door:
    """Of one client; for one event loop at a time."""

    def __init__(self, *, room: int = ROOM, at_once: int = AT_ONCE) -> None:
        self._room = room
        self._at_once = at_once
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[asyncio.Future[None]] = deque()
        self._within = 0
        self._entered = 0
        self._scheduled = False

    def visit(self) -> Visit:
        """For ``async with`` around a call."""
        return Visit(self)

    def turn(self) -> asyncio.Future[None] | None:
        """What to wait for; None for whoever may come in now."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._start_over(loop)
        if not self._queue and self._may_enter():
            self._count_in()
            return None
        turn = loop.create_future()
        self._queue.append(turn)
        self._turn_later()
        return turn

    def left(self) -> None:
        """Somebody has left."""
        self._within = max(0, self._within - 1)
        if self._queue:
            self._turn_later()

    def _start_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Another loop: whoever waited in the one before has gone with it."""
        self._loop = loop
        self._queue = deque()
        self._within = 0
        self._entered = 0
        self._scheduled = False

    def _may_enter(self) -> bool:
        return self._within < self._room and self._entered < self._at_once

    def _count_in(self) -> None:
        self._within += 1
        self._entered += 1
        self._turn_later()

    def _turn_later(self) -> None:
        if not self._scheduled and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._entered = 0
        while self._queue and self._may_enter():
            turn = self._queue.popleft()
            if not turn.done():
                self._count_in()
                turn.set_result(None)
