"""How often a client may ask: an exact sliding window for each, in bounded memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.llm.packed import ENTRY_BYTES, PackedWindow

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CLIENTS = 1_000_000
MAX_ENTRIES = 3_000_000
SHARED_WINDOWS = 4_096


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a request may pass.  ``reset_s`` is when the oldest request counted leaves the window: a place more."""

    admitted: bool
    limit: int
    remaining: int
    reset_s: float


class Limiter:
    """At most ``requests`` of each client within any ``period_s`` seconds; a refused request does not count.

    What a client did in the present period and in the one before lies in two dictionaries.  When a period ends the
    older one is dropped whole: nobody in it has asked since, so all it holds has left every window.

    Memory ends somewhere, and then we refuse rather than forget: clients that come when ``max_clients`` are known share
    one of 4,096 windows with others, and while ``max_entries`` requests are held nobody is admitted.
    """

    def __init__(
        self,
        requests: int,
        period_s: float,
        *,
        max_clients: int = MAX_CLIENTS,
        max_entries: int = MAX_ENTRIES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window = PackedWindow(requests, period_s)
        self._requests, self._period_s = requests, period_s
        self._max_clients, self._max_bytes = max_clients, max_entries * ENTRY_BYTES
        self._now = now
        self._young: dict[int, bytes] = {}
        self._old: dict[int, bytes] = {}
        self._young_bytes = self._old_bytes = 0
        self._turned = now()

    def __len__(self) -> int:
        """Clients that are remembered."""
        return len(self._young) + len(self._old)

    def admit(self, client: int) -> Admission:
        """Let a request of a client pass, or not.  Clients are numbers of 0 and more."""
        now = self._now()
        self._turn(now)
        client, kept = self._take(client)
        window = self._window
        window.unpack(kept)
        full = self._young_bytes + self._old_bytes + len(kept) + ENTRY_BYTES > self._max_bytes
        delay = self._turned + 2 * self._period_s - now if full else window.ask(now)
        packed = window.pack()
        self._young[client] = packed
        self._young_bytes += len(packed)
        if delay > 0:
            return Admission(admitted=False, limit=self._requests, remaining=0, reset_s=delay)
        remaining, reset_s = window.room_in(now)
        return Admission(admitted=True, limit=self._requests, remaining=remaining, reset_s=reset_s)

    def _take(self, client: int) -> tuple[int, bytes]:
        """What is kept of a client, taken out; a newcomer begins with what it may have done in a shared window."""
        kept = self._young.pop(client, None)
        if kept is not None:
            self._young_bytes -= len(kept)
            return client, kept
        kept = self._old.pop(client, None)
        if kept is not None:
            self._old_bytes -= len(kept)
            return client, kept
        if client < 0:
            return client, b""
        shared = -1 - client % SHARED_WINDOWS
        if len(self) >= self._max_clients:
            return self._take(shared)
        return client, self._young.get(shared) or self._old.get(shared, b"")

    def _turn(self, now: float) -> None:
        if now - self._turned < self._period_s:
            return
        idle = now - self._turned >= 2 * self._period_s
        self._old, self._old_bytes = ({}, 0) if idle else (self._young, self._young_bytes)
        self._young, self._young_bytes, self._turned = {}, 0, now
