"""The queue before a lane: first come, first served, with interactive before batch, and at most so many in flight.

One gate serves all event loops and threads of a process.  Only the head of the queue looks at the clock; whoever is
granted a permit is told.  A permit is given back exactly once, whatever becomes of its request.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dslkit.errors import TooLargeError, WaitTooLongError
from dslkit.llm.throttle import POLL_S, Lane, WindowUse

if TYPE_CHECKING:
    from dslkit.llm.adaptive import Adaptive
    from dslkit.llm.headers import ServerLimits
    from dslkit.llm.sharing import State
    from dslkit.records import Priority

DEFAULT_CONCURRENCY = 64
INTERACTIVE_IN_A_ROW = 4  # then one of batch may pass
GRANTS_IN_A_TURN = 8  # then what has come in meanwhile is read: it may be a refusal
Clock = Callable[[], float]
_gates: weakref.WeakSet[Gate] = weakref.WeakSet()


class Waiter:
    """One request in the queue: told through ``tell`` when it is granted, or must look at the clock itself."""

    __slots__ = ("asked_at", "gone", "permit", "tokens")

    def __init__(self, tokens: float, asked_at: float) -> None:
        self.tokens = tokens
        self.asked_at = asked_at
        self.permit: Permit | None = None
        self.gone = False

    def tell(self) -> None:
        """The permit is there."""

    def look_again(self, delay: float) -> None:
        """At the head of the queue: pump in ``delay`` seconds."""


class LoopWaiter(Waiter):
    """Waits in an event loop."""

    __slots__ = ("_gate", "_loop", "_timer", "future")

    def __init__(self, gate: Gate, tokens: float, asked_at: float) -> None:
        super().__init__(tokens, asked_at)
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.future: asyncio.Future[None] = self._loop.create_future()

    def tell(self) -> None:
        """Wake the waiting task, from whatever thread."""
        self._in_loop(self._wake)

    def look_again(self, delay: float) -> None:
        """Pump later, by the loop's clock."""
        self._in_loop(lambda: self._set_timer(delay))

    def forget(self) -> None:
        """No timer is needed any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _in_loop(self, act: Callable[[], None]) -> None:
        if self._loop.is_closed():
            return
        if _running_loop() is self._loop:
            act()
        else:
            self._loop.call_soon_threadsafe(act)

    def _wake(self) -> None:
        self.forget()
        if not self.future.done():
            self.future.set_result(None)

    def _set_timer(self, delay: float) -> None:
        self.forget()
        self._timer = self._loop.call_later(delay, self._gate.pump)


class ThreadWaiter(Waiter):
    """Waits in a thread."""

    __slots__ = ("_event", "_look_in", "_thread")

    def __init__(self, tokens: float, asked_at: float) -> None:
        super().__init__(tokens, asked_at)
        self._thread = threading.get_ident()
        self._event = threading.Event()
        self._look_in: float | None = None

    def tell(self) -> None:
        """Wake the thread."""
        self._event.set()

    def look_again(self, delay: float) -> None:
        """Wake the thread, so that it waits no longer than ``delay``."""
        self._look_in = delay
        if threading.get_ident() != self._thread:
            self._event.set()

    def sleep(self, at_most: float | None) -> None:
        """Wait until told, or until it is time to look."""
        delay, self._look_in = self._look_in, None
        waits = [seconds for seconds in (delay, at_most) if seconds is not None]
        self._event.wait(min(waits, default=None))
        self._event.clear()


class Permit:
    """Leave to send one request.  ``release`` gives back its place in flight, and its weight if it was never sent."""

    __slots__ = ("_gate", "_guard", "_marks", "_open", "_width", "sent_at", "tokens", "waited_s")

    def __init__(self, gate: Gate, tokens: float, width: int, waited_s: float) -> None:
        self._gate = gate
        self._width = width
        self._guard = 0.0
        self._marks: tuple[int, ...] = ()
        self._open = True
        self.tokens = tokens
        self.sent_at: float | None = None
        self.waited_s = waited_s

    def sent(self) -> None:
        """The request's bytes leave now.  Only the first call counts."""
        if self.sent_at is not None or not self._open:
            return
        self.sent_at = self._gate.clock()
        self._gate.state.apply(self._enter)

    @property
    def clock(self) -> Clock:
        """The gate's clock."""
        return self._gate.clock

    def told(self, limits: ServerLimits) -> None:
        """The response tells of the server's limits: they hold for everybody from now on."""
        now, sent_at = self._gate.clock(), self.sent_at or 0.0

        def take(lane: Lane) -> None:
            lane.told(now, sent_at, "requests", limits.requests)
            lane.told(now, sent_at, "tokens", limits.tokens)

        self._gate.told()
        self._gate.state.apply(take)

    def answered(self, latency_s: float) -> None:
        """The server answered in so many seconds."""
        self._gate.answered(latency_s)

    def overloaded(self) -> None:
        """The server refused, was overloaded, or did not answer in time."""
        self._gate.overloaded()

    def _enter(self, lane: Lane) -> None:
        self._guard = lane.guard
        self._marks = lane.sent(self.sent_at or 0.0, self._gate.state.slot, self.tokens, self._width)

    def settle(self, actual_tokens: float) -> None:
        """The request turned out to have this many tokens."""
        if actual_tokens != self.tokens:
            self._gate.state.apply(lambda lane: lane.settle(self._marks, self.tokens, actual_tokens))

    def refused(self, retry_after_s: float | None) -> None:
        """The server refused it: its weight does not count, and nobody passes before ``retry_after_s`` is over."""
        now = self._gate.clock()
        self._gate.state.apply(lambda lane: lane.refused(now, self._marks, self.tokens, self._guard, retry_after_s))

    def release(self) -> None:
        """The request is over, or was never sent.  Only the first call counts."""
        if self._open:
            self._open = False
            self._gate.give_back(self)

    def cancel(self, lane: Lane) -> None:
        """Take the reservation back."""
        lane.cancel(self._gate.state.slot, self.tokens, self._width)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStatus:
    """What one sees of a gate: this process' queue, and all processes' totals."""

    in_flight: int
    waiting: int
    longest_wait_s: float
    concurrency: int
    windows: tuple[WindowUse, ...] = ()
    held_s: float = 0.0
    all_in_flight: int = 0
    all_waiting: int = 0
    sent: int = 0
    refused: int = 0


class Gate:
    """Admits requests to a lane.  ``concurrency`` bounds those in flight in this process."""

    def __init__(
        self,
        state: State,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        adaptive: Adaptive | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.state = state
        self.clock = clock
        self._concurrency = concurrency
        self._adaptive = adaptive
        self._reset()
        _gates.add(self)

    @property
    def concurrency(self) -> int:
        """In flight at most, as of now."""
        return self._concurrency if self._adaptive is None else self._adaptive.limit

    def answered(self, latency_s: float) -> None:
        """The server answered in so many seconds."""
        if self._adaptive is not None and not self._adaptive.off:
            self._adaptive.answered(self.clock(), latency_s, self._in_flight)

    def overloaded(self) -> None:
        """The server refused, was overloaded, or did not answer in time."""
        if self._adaptive is not None and not self._adaptive.off:
            self._adaptive.overloaded(self.clock())

    def told(self) -> None:
        """The server says itself what it takes: nothing is left to be found out."""
        if self._adaptive is not None:
            self._adaptive.off = True

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._interactive: deque[Waiter] = deque()
        self._batch: deque[Waiter] = deque()
        self._in_a_row = 0
        self._in_flight = 0
        self._waiting = 0

    async def admit(
        self,
        tokens: float,
        *,
        priority: Priority = "interactive",
        again: bool = False,
        max_wait_s: float | None = None,
        waited_s: float = 0.0,
    ) -> Permit:
        """Wait for leave to send a request of ``tokens``.  ``again`` puts it before those who never had a turn.

        Raises TooLargeError if it can never be sent, WaitTooLongError after ``max_wait_s`` seconds, of which
        ``waited_s`` were spent elsewhere.
        """
        permit = self._at_once(tokens, waited_s)
        if permit is not None:
            return permit
        waiter = LoopWaiter(self, tokens, self.clock() - waited_s)
        self._enqueue(waiter, priority, again=again)
        try:
            async with asyncio.timeout(None if max_wait_s is None else max(0.0, max_wait_s - waited_s)):
                await waiter.future
        except TimeoutError:
            return self._too_long(waiter, max_wait_s)
        except BaseException:
            self._withdraw(waiter)
            raise
        return self._granted(waiter)

    def admit_blocking(
        self, tokens: float, *, priority: Priority = "interactive", again: bool = False, max_wait_s: float | None = None
    ) -> Permit:
        """The same in a thread."""
        permit = self._at_once(tokens)
        if permit is not None:
            return permit
        waiter = ThreadWaiter(tokens, self.clock())
        self._enqueue(waiter, priority, again=again)
        until = None if max_wait_s is None else waiter.asked_at + max_wait_s
        try:
            while waiter.permit is None:
                left = None if until is None else until - self.clock()
                if left is not None and left <= 0:
                    return self._too_long(waiter, max_wait_s)
                waiter.sleep(left)
                self.pump()
        except BaseException:
            self._withdraw(waiter)
            raise
        return waiter.permit

    def give_back(self, permit: Permit) -> None:
        """A permit's request is over: free its place, and its weight if it was never sent."""
        with self._lock:
            self._in_flight = max(0, self._in_flight - 1)
            in_flight, waiting = self._in_flight, self._waiting

        def leave(lane: Lane) -> None:
            if permit.sent_at is None:
                permit.cancel(lane)
            lane.presence(self.state.slot, in_flight, waiting)

        self.state.apply(leave)
        self.pump()

    def pump(self) -> None:
        """Grant what can be granted, and see to it that somebody looks again when more can be."""
        told: list[Waiter] = []
        with self._lock:
            while (waiter := self._head()) is not None and self._in_flight < self.concurrency:
                delay = self._try(waiter) if len(told) < GRANTS_IN_A_TURN else 0.0
                if waiter.permit is None:
                    waiter.look_again(delay)
                    break
                self._pop(waiter)
                told.append(waiter)
        for waiter in told:
            waiter.tell()

    def hold(self, seconds: float) -> None:
        """Let nobody pass for so long, in any process."""
        until = self.clock() + seconds
        self.state.apply(lambda lane: lane.hold(until))

    def status(self) -> GateStatus:
        """What is going on here and now."""
        now = self.clock()
        with self._lock:
            self._head()
            asked = [queue[0].asked_at for queue in (self._interactive, self._batch) if queue]
            own = GateStatus(
                in_flight=self._in_flight,
                waiting=self._waiting,
                longest_wait_s=now - min(asked, default=now),
                concurrency=self.concurrency,
            )

        def look(lane: Lane) -> GateStatus:
            lane.presence(self.state.slot, own.in_flight, own.waiting)
            in_flight, waiting, sent, refused = lane.totals()
            return replace(
                own,
                windows=lane.use(now),
                held_s=lane.held_s(now),
                all_in_flight=in_flight,
                all_waiting=waiting,
                sent=sent,
                refused=refused,
            )

        return self.state.run(look, own)

    def after_fork(self) -> None:
        """A forked child has nobody waiting and nothing in flight."""
        self._reset()

    def _at_once(self, tokens: float, waited_s: float = 0.0) -> Permit | None:
        """A permit without queueing, when nobody is before us."""
        ceiling = self.state.run(lambda lane: lane.ceiling("tokens"), float("inf"))
        if tokens > ceiling:
            raise TooLargeError(
                f"This request counts {tokens:.0f} tokens, more than the limit of {ceiling:.0f} allows at once: "
                "shorten the prompt, lower max_tokens or raise the limit."
            )
        with self._lock:
            if self._waiting or self._in_flight >= self.concurrency:
                return None
            waiter = Waiter(tokens, self.clock() - waited_s)
            return waiter.permit if self._try(waiter) == 0 else None

    def _try(self, waiter: Waiter) -> float:
        """Reserve for the waiter; 0.0 and its permit is set, or the seconds after which to try again."""
        now = self.clock()
        tokens = waiter.tokens

        def admit(lane: Lane) -> tuple[float, int]:
            delay = lane.admit(now, self.state.slot, tokens)
            lane.presence(self.state.slot, self._in_flight + (delay == 0), self._waiting)
            return delay, lane.width

        delay, width = self.state.run(admit, (POLL_S, 0))
        if delay > 0:
            self.state.bury_the_dead(now)
            return delay
        self._in_flight += 1
        waiter.permit = Permit(self, tokens, width, now - waiter.asked_at)
        return 0.0

    def _enqueue(self, waiter: Waiter, priority: Priority, *, again: bool) -> None:
        with self._lock:
            queue = self._interactive if priority == "interactive" else self._batch
            queue.appendleft(waiter) if again else queue.append(waiter)
            self._waiting += 1
        self.pump()

    def _head(self) -> Waiter | None:
        for queue in (self._interactive, self._batch):
            while queue and queue[0].gone:
                queue.popleft()
        if self._interactive and not (self._batch and self._in_a_row >= INTERACTIVE_IN_A_ROW):
            return self._interactive[0]
        return self._batch[0] if self._batch else None

    def _pop(self, waiter: Waiter) -> None:
        if self._interactive and self._interactive[0] is waiter:
            self._interactive.popleft()
            self._in_a_row += 1
        else:
            self._batch.popleft()
            self._in_a_row = 0
        self._waiting -= 1

    def _withdraw(self, waiter: Waiter) -> None:
        """A waiter that gives up leaves the queue, or gives back what it was granted meanwhile."""
        with self._lock:
            if waiter.permit is None and not waiter.gone:
                waiter.gone = True
                self._waiting -= 1
        if waiter.permit is not None:
            waiter.permit.release()
        else:
            self.pump()

    def _too_long(self, waiter: Waiter, max_wait_s: float | None) -> Permit:
        if waiter.permit is not None:
            return waiter.permit
        self._withdraw(waiter)
        raise WaitTooLongError(f"No turn within {max_wait_s} s: raise max_wait, or wait until the queue is shorter.")

    @staticmethod
    def _granted(waiter: Waiter) -> Permit:
        permit = waiter.permit
        assert permit is not None  # the future is set only after the permit
        return permit


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _after_fork() -> None:
    for gate in list(_gates):
        gate.after_fork()


os.register_at_fork(after_in_child=_after_fork)
