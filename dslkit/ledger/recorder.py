"""The writing side of a ledger: what the transport, the batch and the notebook engine report to."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import socket
import threading
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from dslkit.errors import LedgerError
from dslkit.ledger import lines
from dslkit.ledger.compactor import compact_behind, compact_if_due
from dslkit.ledger.folder import Folder, network_filesystem, resolved
from dslkit.ledger.journal import SEGMENT_BYTES, Carried, Journal
from dslkit.pricing import Prices
from dslkit.records import Price

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dslkit.records import CallEnd, CallStart, Item, Run, Usage

_log = logging.getLogger(__name__)
_HOST = socket.gethostname()
_NOTHING = Decimal(0)


class LedgerRecorder:
    """Records attempts, runs and items; from any thread, over fork, one per process and home (see ``shared``).

    ``reserve`` and ``settle`` are quick and never raise into a call; what they wrote survives this process at once and
    a power cut a few milliseconds later.  ``flush`` returns when all of it is durable.

    Args:
        folder: of the ledger; it has been created.
        prices: books each attempt at the rates of its start.
        now: the clock; aware datetimes in UTC.
        segment_bytes: a segment that has grown so far is sealed and another begun.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        prices: Prices | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._prices = prices or Prices()
        self._now = now
        self._folder = folder
        self._journal = Journal(
            folder.journal, self._head, self._carry, sealed=partial(compact_behind, folder), segment_bytes=segment_bytes
        )
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._starts: dict[tuple[str, int], tuple[CallStart, bytes]] = {}
        self._open_calls: dict[tuple[str, int], bytes] = {}  # the starts in the present segment without an end in it
        self._open_runs: dict[str, bytes] = {}

    def forked(self) -> None:
        """In a child: what is open stays the parent's to settle."""
        self._forget()
        self._journal.forked()

    def reserve(self, start: CallStart) -> None:
        """Write that an attempt is about to leave."""
        try:
            text = lines.start_body(start, host=_HOST, pid=self._pid)
            key, written = (start.call_id, start.attempt), lines.line("start", text)
            self._starts[key] = (start, text)
            self._journal.append(written, lambda: self._open_calls.update({key: written}))
        except Exception:  # noqa: BLE001 - a defect here must not cost the caller a request
            _log.exception("Attempt %s of call %s is not in the ledger", start.attempt, start.call_id)

    def settle(self, end: CallEnd) -> None:
        """Write what became of an attempt, and book its price."""
        try:
            key = end.call_id, end.attempt
            known = self._starts.pop(key, None)
            text = known[1] if known else lines.orphan_body(end, host=_HOST, pid=self._pid)
            price = self._booked(known[0], end) if known else Price(cost_usd=None)
            if known and (known[0].content, end.content) != (None, None):
                self._journal.append(lines.content_line(known[0], end, at=self._now()))
            ended = lines.line("end", b"%b,%b" % (text, lines.end_body(end, price)))
            self._journal.append(ended, lambda: self._open_calls.pop(key, None))
        except Exception:  # noqa: BLE001 - a defect here must not cost the caller an answer already paid for
            _log.exception("The end of attempt %s of call %s is not in the ledger", end.attempt, end.call_id)

    def _booked(self, start: CallStart, end: CallEnd) -> Price:
        if end.cache_hit:
            return Price(cost_usd=_NOTHING, source="cache")
        models = (end.response_model or start.request_model, start.request_model)
        return self.price(end.usage, start.provider_name, models, start.started_at, start.service_tier)

    def price(
        self, usage: Usage | None, provider: str, models: tuple[str, str], at: datetime, tier: str | None
    ) -> Price:
        """What an attempt costs: by the model that answered, or by the one asked for where only that is known."""
        price = self._prices.price(usage, provider=provider, model=models[0], date=at, tier=tier)
        if price.cost_usd is None and models[1] != models[0]:
            return self._prices.price(usage, provider=provider, model=models[1], date=at, tier=tier)
        return price

    def reprice(self, call_id: str, attempt: int, price: Price) -> None:
        """Write another price for an attempt; the latest counts, what was booked stays."""
        self._journal.append(lines.price_line(call_id, attempt, price, at=self._now()))

    def run(self, run: Run) -> None:
        """Write a run as it is now: when it starts, and again when it ends."""
        written = lines.run_line(run, host=_HOST, pid=self._pid, at=self._now())
        self._journal.append(written, lambda: self._note_run(run, written))

    def _note_run(self, run: Run, written: bytes) -> None:
        if run.status == "running":
            self._open_runs[run.run_id] = written
        else:
            self._open_runs.pop(run.run_id, None)

    def item(self, item: Item) -> None:
        """Write what came of one requirement."""
        self._journal.append(lines.item_line(item, at=self._now()))

    def mark(self, name: str) -> None:
        """Write a point in time to count from (``reset``)."""
        self._journal.append(lines.mark_line(name, at=self._now()))

    def flush(self) -> None:
        """Return when everything recorded is durable; LedgerError when the disk refuses it."""
        self._journal.flush()

    def close(self) -> None:
        """Flush, and seal the segment unless something is still open in it.  Recording may go on afterwards."""
        self._journal.close()
        compact_if_due(self._folder)

    def finish(self) -> None:
        """At the end of the process: as ``close``, but leave compaction to others."""
        self._journal.close()

    def _head(self, segment: str, carried: Carried) -> bytes:
        return lines.head(segment, carried, host=_HOST, pid=self._pid, at=self._now())

    def _carry(self) -> Carried:
        calls = dict(self._open_calls)
        keys = [(lines.call_key(call_id), attempt) for call_id, attempt in calls]
        return Carried(keys=keys, lines=[*calls.values(), *dict(self._open_runs).values()])


_shared: dict[Path, LedgerRecorder] = {}
_shared_lock = threading.Lock()


def shared(home: Path, prices: Path | None = None) -> LedgerRecorder:
    """The recorder of this process for a home; the prices of the first call count.  LedgerError if it cannot write."""
    home = resolved(home)
    with _shared_lock:
        if home not in _shared:
            folder = Folder(home)
            folder.create()
            _warn_of_the_network(folder)
            _shared[home] = LedgerRecorder(folder, prices=Prices(prices))
        return _shared[home]


def _warn_of_the_network(folder: Folder) -> None:
    """Locks that other machines do not see cannot be told from good ones by one machine."""
    kind = network_filesystem(folder.home)
    if kind is not None:
        _log.warning("%s lies on a network filesystem (%s): let one machine alone write to it", folder.root, kind)


def _after_fork() -> None:
    global _shared_lock  # noqa: PLW0603 - the parent's lock may have been held by another of its threads
    _shared_lock = threading.Lock()
    for recorder in _shared.values():
        recorder.forked()


def _at_exit() -> None:
    for recorder in _shared.values():
        with contextlib.suppress(LedgerError):
            recorder.finish()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
