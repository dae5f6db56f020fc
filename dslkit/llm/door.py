"""A door before the SDK's own work on a request: thousands of gathered calls must not all do it before one is sent.

It lets a few in at a time, between which the loop turns and bytes can leave; and no more than a few may stand inside
waiting for their permit.  Whoever waits before the door costs a coroutine, not a built request.  The order is that of
the gate behind it: interactive before batch, else first come, first served.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dslkit.llm import attribution
from dslkit.llm.gate import INTERACTIVE_IN_A_ROW

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


def waited_s() -> float:
    """Seconds that the call made here stood before the door, if it still stands inside."""
    visit = _inside.get()
    return visit.waited_s if visit is not None else 0.0


class Visit:
    """One call's stay inside; an asynchronous context manager, small as thousands of them wait."""

    __slots__ = ("_line", "_there", "_token", "waited_s")

    def __init__(self, line: Line) -> None:
        self._line = line
        self._there = False
        self.waited_s = 0.0

    def __aenter__(self) -> Visit:
        return self

    def __await__(self) -> Generator[Any, None, None]:
        turn = self._line.turn()
        if turn is not None:
            came_at = time.monotonic()
            try:
                yield from turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._line.left()
                raise
            self.waited_s = time.monotonic() - came_at
        self._there = True
        self._token = _inside.set(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        _inside.reset(self._token)

    def leave(self) -> None:
        """Make room, and count as having waited no longer; only the first call counts."""
        self.waited_s = 0.0
        if self._there:
            self._there = False
            self._line.left()


class Door:
    """Of one client, with a line of those who wait for each event loop."""

    def __init__(self, *, room: int = ROOM, at_once: int = AT_ONCE) -> None:
        self._room = room
        self._at_once = at_once
        self._of_loop: dict[asyncio.AbstractEventLoop, Line] = {}

    def visit(self) -> Visit:
        """For ``async with`` around a call, in a running loop."""
        loop = asyncio.get_running_loop()
        line = self._of_loop.get(loop)
        if line is None:
            self._of_loop = {other: its for other, its in self._of_loop.items() if not other.is_closed()}
            line = self._of_loop[loop] = Line(loop, self._room, self._at_once)
        return Visit(line)


class Line:
    """Those of one event loop who are before the door, and how many are inside."""

    def __init__(self, loop: asyncio.AbstractEventLoop, room: int, at_once: int) -> None:
        self._loop = loop
        self._room = room
        self._at_once = at_once
        self._interactive: deque[asyncio.Future[None]] = deque()
        self._batch: deque[asyncio.Future[None]] = deque()
        self._in_a_row = 0
        self._within = 0
        self._entered = 0
        self._scheduled = False

    def turn(self) -> asyncio.Future[None] | None:
        """What to wait for; None for whoever may come in now."""
        if not (self._interactive or self._batch) and self._may_enter():
            self._count_in()
            return None
        turn = self._loop.create_future()
        queue = self._interactive if attribution.current().priority == "interactive" else self._batch
        queue.append(turn)
        self._turn_later()
        return turn

    def left(self) -> None:
        """Somebody has left."""
        self._within = max(0, self._within - 1)
        if self._interactive or self._batch:
            self._turn_later()

    def _may_enter(self) -> bool:
        return self._within < self._room and self._entered < self._at_once

    def _count_in(self) -> None:
        self._within += 1
        self._entered += 1
        self._turn_later()

    def _turn_later(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._entered = 0
        while (self._interactive or self._batch) and self._may_enter():
            turn = self._next()
            if not turn.done():
                self._count_in()
                turn.set_result(None)

    def _next(self) -> asyncio.Future[None]:
        """Interactive first, but after a few of them in a row one of batch."""
        if self._interactive and not (self._batch and self._in_a_row >= INTERACTIVE_IN_A_ROW):
            self._in_a_row += 1
            return self._interactive.popleft()
        self._in_a_row = 0
        return self._batch.popleft()
