"""Exact sliding windows over a flat table of numbers: pure arithmetic on passed-in time.

A lane is what one API key may do with one model.  It has windows (so many requests or tokens within so many seconds); a
request is reserved in all of them, enters their rings when its bytes leave, and is settled when its real size is known.
The table is a memoryview of doubles: over private memory, or over a file that several processes map.  This code cannot
tell which; whoever calls it holds the table's lock.

A window never holds more than its limit: entries stay for the window's length plus a guard, which covers what requests
differ in on their way to the server, and which grows when the server proves it too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dslkit.llm.cadence import Cadence, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

Unit = Literal["requests", "tokens"]

DEFAULT_WINDOW_S = 60.0
DEFAULT_GUARD_S = 0.004
GUARD_SHARE = 0.005  # of the window, besides: longer windows meet slower networks, and lose no more by it
MAX_GUARD_S = 0.3  # refusals that were earlier than that have another cause
MAX_GUARD_SHARE = 0.01  # of the window: a machine that was stalled for a moment must not slow down all that follows
POLL_S = 0.02  # when to look again if what must end first is unknown: an unsent permit of another process

FORMAT = 2.0
MAX_WINDOWS = 6
MAX_SLOTS = 128
RING = 16_384  # entries of a window; beyond half of them, neighbours are merged into the later one

_FORMAT, _BOOT, _HOLD_UNTIL, _GUARD, _WINDOWS, _REFUSED, _SENT = range(7)
_HEADER = 16
_UNIT, _LENGTH, _HEAD, _TAIL, _USED, _PENDING, _SERVER_LIMIT, _LOWERED_AT, _MERGE_SINCE, _LEARNED, _STATED = range(11)
_WINDOW = 16
_SLOT = 2 + MAX_WINDOWS  # in flight, waiting, then what is pending in each window
_SLOTS_AT = _HEADER + MAX_WINDOWS * _WINDOW
_RINGS_AT = _SLOTS_AT + MAX_SLOTS * _SLOT
_UNIT_CODE: dict[Unit, float] = {"requests": 1.0, "tokens": 2.0}
_UNIT_NAME: dict[float, Unit] = {1.0: "requests", 2.0: "tokens"}
_FEEDBACK_SCAN = 4096


def table_cells(ring: int = RING) -> int:
    """Numbers (of 8 bytes) in a lane's table."""
    return _RINGS_AT + MAX_WINDOWS * ring * 2


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` of ``unit`` within any ``window_s`` seconds; without an amount the server's word counts."""

    unit: Unit
    amount: float | None = None
    window_s: float = DEFAULT_WINDOW_S

    def __post_init__(self) -> None:
        if self.unit not in _UNIT_CODE:
            raise ValueError(f"a limit is of requests or tokens, not of {self.unit!r}")
        if self.amount is not None and not (math.isfinite(self.amount) and self.amount > 0):
            raise ValueError(f"a limit of {self.unit} must be above 0, not {self.amount}")
        if not (math.isfinite(self.window_s) and self.window_s > 0):
            raise ValueError(f"a window must be longer than 0 s, not {self.window_s}")


@dataclass(frozen=True, slots=True)
class WindowUse:
    """How full a window is: ``used`` was sent, ``pending`` is reserved but not sent."""

    unit: Unit
    window_s: float
    limit: float
    used: float
    pending: float


class Window:
    """One sliding window in a lane's table.  Weights of the unit ``requests`` are 1 each."""

    __slots__ = ("_at", "_cells", "_index", "_ring", "_ring_at", "unit")

    def __init__(self, cells: memoryview[float], index: int, ring: int) -> None:
        self._cells = cells
        self._index = index
        self._at = _HEADER + index * _WINDOW
        self._ring = ring
        self._ring_at = _RINGS_AT + index * ring * 2
        self.unit: Unit = _UNIT_NAME[cells[self._at + _UNIT]]

    @property
    def length(self) -> float:
        """Seconds."""
        return self._cells[self._at + _LENGTH]

    @property
    def learned(self) -> bool:
        """Whether nobody stated it, and its length is what the server's words amount to."""
        return self._cells[self._at + _LEARNED] == 1.0

    @property
    def stay(self) -> float:
        """Seconds for which an entry counts."""
        return self.length * (1 + GUARD_SHARE) + self._cells[_GUARD]

    def weight(self, tokens: float) -> float:
        """What a request of so many tokens weighs here."""
        return 1.0 if self.unit == "requests" else tokens

    def amount(self, given: float | None) -> float:
        """The limit in force: the smaller of what was given and what the server said."""
        server = self._cells[self._at + _SERVER_LIMIT]
        known = given if given is not None else math.inf
        return min(known, server) if server else known

    @property
    def widest_guard(self) -> float:
        """Seconds by which the server's clock may run behind our stamps."""
        return min(MAX_GUARD_S, 5 * DEFAULT_GUARD_S + MAX_GUARD_SHARE * self.length)

    def delay(self, now: float, weight: float, amount: float) -> float:
        """Seconds until ``weight`` more would fit; 0 when it fits now."""
        cells, at = self._cells, self._at
        stay = self.stay
        self._expire(now - stay)
        free = amount - cells[at + _USED] - cells[at + _PENDING]
        if weight <= free:
            return 0.0
        need = weight - free
        for seq in range(int(cells[at + _HEAD]), int(cells[at + _TAIL])):
            entry = self._ring_at + seq % self._ring * 2
            need -= cells[entry + 1]
            if need <= 0:
                return max(cells[entry] + stay - now, 1e-4)
        return POLL_S

    def reserve(self, slot: int, weight: float) -> None:
        """Count ``weight`` before it is sent."""
        self._cells[self._at + _PENDING] += weight
        self._cells[self._slot_cell(slot)] += weight

    def unreserve(self, slot: int, weight: float) -> None:
        """Take back what was not sent after all."""
        self._cells[self._at + _PENDING] -= weight
        self._cells[self._slot_cell(slot)] -= weight

    def append(self, now: float, weight: float) -> int:
        """Enter ``weight`` as sent now; returns the entry's mark."""
        cells, at = self._cells, self._at
        head, tail = int(cells[at + _HEAD]), int(cells[at + _TAIL])
        newest = self._ring_at + (tail - 1) % self._ring * 2
        if tail > head:
            now = max(now, cells[newest])
            crowded = (tail - head) * 2 >= self._ring
            if crowded and now - cells[at + _MERGE_SINCE] < 2 * self.length / self._ring:
                cells[newest], cells[newest + 1] = now, cells[newest + 1] + weight
                cells[at + _USED] += weight
                return tail - 1
        if tail - head >= self._ring:
            self._drop_oldest()
        entry = self._ring_at + tail % self._ring * 2
        cells[entry], cells[entry + 1] = now, weight
        cells[at + _TAIL] = tail + 1
        cells[at + _USED] += weight
        cells[at + _MERGE_SINCE] = now
        return tail

    def adjust(self, mark: int, difference: float) -> None:
        """Change the weight of an entry, if it is still inside the window."""
        cells, at = self._cells, self._at
        if cells[at + _HEAD] <= mark < cells[at + _TAIL]:
            entry = self._ring_at + mark % self._ring * 2
            difference = max(difference, -cells[entry + 1])
            cells[entry + 1] += difference
            cells[at + _USED] += difference

    def adopt(self, slot: int, now: float) -> None:
        """Enter what a dead process had reserved as sent now: it may have been, and is whole after one window."""
        weight = self._cells[self._slot_cell(slot)]
        self.unreserve(slot, weight)
        if weight > 0:
            self.append(now, weight)

    def recount(self) -> None:
        """Make the sums agree with ring and slots again, after a process died between two writes."""
        cells, at = self._cells, self._at
        span = range(int(cells[at + _HEAD]), int(cells[at + _TAIL]))
        cells[at + _USED] = math.fsum(cells[self._ring_at + seq % self._ring * 2 + 1] for seq in span)
        cells[at + _PENDING] = math.fsum(cells[self._slot_cell(slot)] for slot in range(MAX_SLOTS))

    def follow(self, now: float, sent_at: float, limit: float, given: float | None) -> None:
        """Take the server's limit: down at once, up again only on the word of a request sent after that."""
        cells, at = self._cells, self._at
        known = cells[at + _SERVER_LIMIT]
        if limit < self.amount(given) and (known or given is not None):
            cells[at + _LOWERED_AT] = now
        if not known or limit < known or sent_at > cells[at + _LOWERED_AT]:
            cells[at + _SERVER_LIMIT] = limit

    def lowered_lately(self, now: float) -> bool:
        """Whether the server cut its limit less than one window ago, so that refusals are no wonder."""
        lowered_at = self._cells[self._at + _LOWERED_AT]
        return lowered_at > 0 and now - lowered_at < self.length + MAX_GUARD_S

    def cap(self, now: float, sent_at: float, amount: float, left: float) -> None:
        """Leave no more room than the server said was left, when it answered a request sent at ``sent_at``.

        What others spend on the same key shows here and is entered as spent now.  Counted in our favour is all that the
        server may have counted of ours: also what has left our window since or just before, and what it has yet to see.
        """
        cells, at = self._cells, self._at
        surplus = amount - left - cells[at + _USED] - cells[at + _PENDING]
        if not 0 < surplus < math.inf:
            return
        surplus -= self._expired_since(sent_at - self.stay - self.widest_guard)
        if surplus > 0:
            self.append(now, surplus)

    def stretch(self, length: float) -> None:
        """Learn another length."""
        self._cells[self._at + _LENGTH] = length

    def take_over(self, other: Window) -> None:
        """Hold what the server says from here on, instead of ``other``."""
        cells, at, before = self._cells, self._at, other._at
        cells[at + _LEARNED] = 1.0
        for word in (_SERVER_LIMIT, _LOWERED_AT):
            cells[at + word], cells[before + word] = cells[before + word], 0.0
        for seq in range(int(cells[before + _HEAD]), int(cells[before + _TAIL])):
            entry = other._ring_at + seq % other._ring * 2
            self.append(cells[entry], cells[entry + 1])

    def use(self, now: float, given: float | None) -> WindowUse:
        """How full it is now; where this process was given no limit, of what another has stated."""
        cells, at = self._cells, self._at
        self._expire(now - self.stay)
        amount = self.amount(given if given is not None else cells[at + _STATED] or None)
        return WindowUse(self.unit, self.length, amount, cells[at + _USED], cells[at + _PENDING])

    @property
    def entries(self) -> memoryview[float]:
        """Stamp and weight of each entry, oldest first, where they lie; for a ring that has not come round."""
        head, tail = int(self._cells[self._at + _HEAD]), int(self._cells[self._at + _TAIL])
        return self._cells[self._ring_at + head * 2 : self._ring_at + tail * 2]

    def refill(self, entries: memoryview[float], used: float) -> None:
        """Hold these entries, which weigh ``used``, and no others."""
        cells, at = self._cells, self._at
        cells[self._ring_at : self._ring_at + len(entries)] = entries
        cells[at + _HEAD], cells[at + _TAIL], cells[at + _USED] = 0.0, len(entries) // 2, used

    def _slot_cell(self, slot: int) -> int:
        return _SLOTS_AT + slot * _SLOT + 2 + self._index

    def _expire(self, until: float) -> None:
        cells, at = self._cells, self._at
        head, tail = int(cells[at + _HEAD]), int(cells[at + _TAIL])
        first = head
        while head < tail and cells[self._ring_at + head % self._ring * 2] <= until:
            cells[at + _USED] -= cells[self._ring_at + head % self._ring * 2 + 1]
            head += 1
        if head != first:
            cells[at + _HEAD] = head

    def _drop_oldest(self) -> None:
        """Make room in a full ring by moving the oldest weight onto the next: it stays longer, never shorter."""
        cells, at = self._cells, self._at
        head = int(cells[at + _HEAD])
        oldest, following = self._ring_at + head % self._ring * 2, self._ring_at + (head + 1) % self._ring * 2
        cells[following + 1] += cells[oldest + 1]
        cells[at + _HEAD] = head + 1

    def _expired_since(self, moment: float) -> float:
        """Weight of entries that left the window but were sent after ``moment``."""
        cells, at = self._cells, self._at
        head, tail = int(cells[at + _HEAD]), int(cells[at + _TAIL])
        oldest = max(0, tail - self._ring, head - _FEEDBACK_SCAN)
        weight = 0.0
        for seq in range(head - 1, oldest - 1, -1):
            entry = self._ring_at + seq % self._ring * 2
            if cells[entry] <= moment:
                break
            weight += cells[entry + 1]
        return weight


class Lane:
    """The windows of one key and model, and the gate before them."""

    __slots__ = ("_cadences", "_cells", "_limits", "_ring", "_windows")

    def __init__(self, cells: memoryview[float], *, ring: int = RING) -> None:
        self._cells = cells
        self._ring = ring
        self._cadences: dict[Unit, Cadence] = {}
        self._limits: tuple[Limit, ...] = ()
        self._windows: list[tuple[Window, Limit | None]] = []
        if cells[_FORMAT] != FORMAT:
            self.reset(0.0)

    @property
    def boot(self) -> float:
        """Which boot of the machine the stamps belong to."""
        return self._cells[_BOOT]

    def reset(self, boot: float) -> None:
        """Forget everything: a new table, or stamps from before a reboot."""
        for cell in range(_RINGS_AT):
            self._cells[cell] = 0.0
        self._cells[_GUARD] = DEFAULT_GUARD_S
        self._cells[_BOOT] = boot
        self._cells[_FORMAT] = FORMAT
        self._windows = []
        self.bind(self._limits)

    def bind(self, limits: Sequence[Limit]) -> None:
        """Hold these limits from here on; windows that other processes limit are kept in step all the same."""
        self._limits = tuple(limits)
        for limit in self._limits:
            self._ensure(limit)
        self._windows = []
        self._refresh()

    def admit(self, now: float, slot: int, tokens: float) -> float:
        """Reserve a request of ``tokens`` and return 0.0, or the seconds after which to ask again."""
        hold = self._cells[_HOLD_UNTIL] - now
        if hold > 0:
            return hold
        if self._cells[_WINDOWS] != len(self._windows):
            self._refresh()
        delay = 0.0
        for window, limit in self._windows:
            amount = window.amount(limit.amount if limit else None)
            delay = max(delay, window.delay(now, window.weight(tokens), amount))
        if delay > 0:
            return delay
        for window, _ in self._windows:
            window.reserve(slot, window.weight(tokens))
        return 0.0

    @property
    def width(self) -> int:
        """How many windows a request just admitted was reserved in."""
        return len(self._windows)

    @property
    def guard(self) -> float:
        """Seconds that entries outstay their window."""
        return self._cells[_GUARD]

    def sent(self, now: float, slot: int, tokens: float, width: int) -> tuple[int, ...]:
        """The bytes of a request reserved in ``width`` windows leave now; returns its marks in the windows."""
        marks = []
        for index, (window, _) in enumerate(self._windows):
            weight = window.weight(tokens)
            if index < width:
                window.unreserve(slot, weight)
            marks.append(window.append(now, weight))
        self._cells[_SENT] += 1
        return tuple(marks)

    def cancel(self, slot: int, tokens: float, width: int) -> None:
        """A request reserved in ``width`` windows was not sent."""
        for window, _ in self._windows[:width]:
            window.unreserve(slot, window.weight(tokens))

    def settle(self, marks: Sequence[int], reserved: float, actual: float) -> None:
        """A sent request turned out to have ``actual`` tokens."""
        for (window, _), mark in zip(self._windows, marks, strict=False):
            if window.unit == "tokens":
                window.adjust(mark, actual - reserved)

    def refused(
        self, now: float, marks: Sequence[int], tokens: float, guard: float, retry_after_s: float | None
    ) -> None:
        """The server said 429: it did not count the request, and nobody need ask before ``retry_after_s`` is over.

        A refusal by a hair, while our own count with ``guard`` allowed the request, means that this is too small.
        """
        for (window, _), mark in zip(self._windows, marks, strict=False):
            window.adjust(mark, -window.weight(tokens))
        self._cells[_REFUSED] += 1
        if retry_after_s is None:
            return
        if retry_after_s < MAX_GUARD_S and not any(window.lowered_lately(now) for window, _ in self._windows):
            widest = min((window.widest_guard for window, _ in self._windows), default=MAX_GUARD_S)
            self._cells[_GUARD] = max(self._cells[_GUARD], min(widest, guard + retry_after_s))
        self.hold(now + retry_after_s)

    def hold(self, until: float) -> None:
        """Let nobody pass before ``until``."""
        self._cells[_HOLD_UNTIL] = max(self._cells[_HOLD_UNTIL], until)

    def told(self, now: float, sent_at: float, unit: Unit, word: Word) -> None:
        """The response to a request sent at ``sent_at`` told of the server's limit."""
        found = self._servers_window(unit)
        if found is None:
            return
        window, given = found
        if word.limit is not None:
            window.follow(now, sent_at, word.limit, given)
        if word.left is not None:
            window.cap(now, sent_at, window.amount(given), word.left)
            if word.limit is not None and word.reset_s is not None:
                cadence = self._cadences.setdefault(unit, Cadence())
                cadence.heard(word.limit, word.left, word.reset_s, now - sent_at)
                self._keep_pace(window, cadence.length(window.length))

    def _servers_window(self, unit: Unit) -> tuple[Window, float | None] | None:
        """The window that the server speaks of, and what was stated for it: the learned one, else the first."""
        self._refresh()
        found = None
        for window, limit in self._windows:
            if window.unit == unit and (found is None or window.learned):
                found = window, limit.amount if limit else None
        return found

    def _keep_pace(self, window: Window, length: float) -> None:
        """The server's window is ``length`` long: what was stated stays, so that makes a window of its own."""
        if length == window.length:
            return
        if window.learned:
            window.stretch(length)
        elif self._cells[_WINDOWS] < MAX_WINDOWS:
            self._add(window.unit, length)
            self._refresh()
            self._windows[-1][0].take_over(window)

    def ceiling(self, unit: Unit) -> float:
        """The most that a single request may weigh."""
        amounts = (
            window.amount(limit.amount if limit else None) for window, limit in self._windows if window.unit == unit
        )
        return min(amounts, default=math.inf)

    def bury(self, now: float, slot: int) -> None:
        """A process is dead: what it had reserved counts as sent, its slot is free."""
        self._refresh()
        for window, _ in self._windows:
            window.adopt(slot, now)
            window.recount()
        self.presence(slot, 0, 0)

    def in_slot(self, slot: int) -> bool:
        """Whether a slot holds anything that its process must free."""
        at = _SLOTS_AT + slot * _SLOT
        return any(self._cells[cell] for cell in range(at, at + _SLOT))

    def presence(self, slot: int, in_flight: int, waiting: int) -> None:
        """Show other processes how many of this one's requests are in flight and waiting."""
        at = _SLOTS_AT + slot * _SLOT
        self._cells[at], self._cells[at + 1] = in_flight, waiting

    def totals(self) -> tuple[int, int, int, int]:
        """In flight, waiting, sent and refused, over all processes."""
        cells, slots = self._cells, range(_SLOTS_AT, _RINGS_AT, _SLOT)
        in_flight, waiting = sum(cells[at] for at in slots), sum(cells[at + 1] for at in slots)
        return int(in_flight), int(waiting), int(cells[_SENT]), int(cells[_REFUSED])

    def use(self, now: float) -> tuple[WindowUse, ...]:
        """How full each window is."""
        self._refresh()
        return tuple(window.use(now, limit.amount if limit else None) for window, limit in self._windows)

    def held_s(self, now: float) -> float:
        """Seconds for which the gate stays shut; 0 when it is open."""
        return max(0.0, self._cells[_HOLD_UNTIL] - now)

    def _ensure(self, limit: Limit) -> None:
        """Find or make the window of a limit in the table, and state the amount there, for others to see."""
        count = int(self._cells[_WINDOWS])
        for index in range(count):
            at = _HEADER + index * _WINDOW
            same = self._cells[at + _UNIT] == _UNIT_CODE[limit.unit] and self._cells[at + _LENGTH] == limit.window_s
            if same and not self._cells[at + _LEARNED]:
                self._cells[at + _STATED] = limit.amount or 0.0
                return
        if count == MAX_WINDOWS:
            raise ValueError(f"a key and model has at most {MAX_WINDOWS} different windows")
        self._add(limit.unit, limit.window_s)
        self._cells[_HEADER + count * _WINDOW + _STATED] = limit.amount or 0.0

    def _add(self, unit: Unit, length: float) -> None:
        count = int(self._cells[_WINDOWS])
        at = _HEADER + count * _WINDOW
        self._cells[at + _UNIT], self._cells[at + _LENGTH] = _UNIT_CODE[unit], length
        self._cells[_WINDOWS] = count + 1

    def _refresh(self) -> None:
        """See windows that other processes have added; ours keep their places."""
        for index in range(len(self._windows), int(self._cells[_WINDOWS])):
            window = Window(self._cells, index, self._ring)
            stated = () if window.learned else self._limits
            own = (x for x in stated if x.unit == window.unit and x.window_s == window.length)
            self._windows.append((window, min(own, key=lambda x: x.amount or math.inf, default=None)))
