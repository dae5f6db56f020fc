"""A sliding window whose entries are kept elsewhere between two questions: one table serves a million of them.

The arithmetic is the throttle's.  Here the requests come to us, so nothing is lost on a way and an entry stays for the
window's length exactly.
"""

from __future__ import annotations

from dslkit.llm.throttle import Lane, Limit, Window, table_cells

ENTRY_BYTES = 16


class PackedWindow(Window):
    """A window of requests, without a guard; ``unpack`` what was kept, ask, and keep what ``pack`` gives."""

    __slots__ = ("_requests",)

    def __init__(self, requests: int, window_s: float) -> None:
        ring = 2 * requests + 2  # never half full, so that entries are not merged
        cells = memoryview(bytearray(8 * table_cells(ring))).cast("d")
        Lane(cells, ring=ring).bind([Limit("requests", requests, window_s)])
        super().__init__(cells, 0, ring)
        self._requests = requests

    @property
    def stay(self) -> float:
        """Seconds for which an entry counts."""
        return self.length

    def ask(self, now: float) -> float:
        """Enter a request and return 0.0, or the seconds until one would be admitted."""
        delay = self.delay(now, 1.0, self._requests)
        if delay == 0.0:
            self.append(now, 1.0)
        return delay

    def room_in(self, now: float) -> tuple[int, float]:
        """How many requests more would be admitted, and in how many seconds there is room for another one."""
        entries = self.entries
        return self._requests - len(entries) // 2, entries[0] + self.stay - now if entries else 0.0

    def pack(self) -> bytes:
        """The entries, oldest first, of 16 bytes each."""
        return bytes(self.entries)

    def unpack(self, packed: bytes) -> None:
        """Hold these entries and no others; at most as many as requests are admitted."""
        self.refill(memoryview(packed).cast("d"), len(packed) // ENTRY_BYTES)
