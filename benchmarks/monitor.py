"""How far the live monitor is behind a batch in another process, and what it takes of a core.

Prints each figure against its target: ``python -m benchmarks.monitor [SECONDS]``, for each of an idle ledger and a busy
one.  The processor time is that of the whole process that watches: reading, DuckDB's threads, event loop and widget.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dslkit.widgets import live_monitor

if TYPE_CHECKING:
    from dslkit.analysis.live import Status

SECONDS = 60.0
BEHIND_S, CORE = 1.0, 0.05
# Five calls a second: so few that each is among the newest, which the monitor's reading names.
BATCH = """
import asyncio, itertools, dslkit
async def main():
    asks = ((n, {"model": "offline", "messages": [{"role": "user", "content": f"Say {n}"}]}) for n in itertools.count())
    async for done in dslkit.acomplete_many(asks, answer=lambda messages: "Said.", latency_s=1.5, at_once=8):
        assert done.error is None, done.error
asyncio.run(main())
"""


async def watched(seconds: float) -> tuple[float, list[float]]:
    """The share of a core that a monitor takes, and the seconds from each call's end to the moment it was shown."""
    monitor = live_monitor(watching=False)
    await asyncio.sleep(2)  # imports and the first reading are not the work of a second
    known = {call["call_id"] for call in monitor.read().calls}
    behind: list[float] = []
    show = monitor.refresh

    def refresh(status: Status) -> None:
        show(status)
        shown_at = datetime.now(UTC)
        fresh = [call for call in status.calls if call["call_id"] not in known]
        known.update(call["call_id"] for call in fresh)
        behind.extend((shown_at - call["ended_at"]).total_seconds() for call in fresh)

    monitor.refresh = refresh
    used, began = time.process_time(), time.monotonic()
    task = asyncio.ensure_future(monitor.watch())
    await asyncio.sleep(seconds)
    share = (time.process_time() - used) / (time.monotonic() - began)
    task.cancel()
    monitor.close()
    return share, behind


def told(what: str, share: float, behind: list[float]) -> bool:
    met = share < CORE
    print(f"{what}: {share:.2%} of a core (target < {CORE:.0%}: {'met' if met else 'MISSED'})")
    if behind:
        late = max(behind) > BEHIND_S
        middle = statistics.median(behind)
        print(
            f"{what}: {len(behind)} calls, shown {middle:.2f} s after their end (median), {max(behind):.2f} s at most "
            f"(target ≤ {BEHIND_S:g} s: {'MISSED' if late else 'met'})"
        )
        met = met and not late
    return met


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory() as home:
        os.environ["DSLKIT_HOME"] = home
        met = told("idle", *asyncio.run(watched(seconds)))
        with subprocess.Popen([sys.executable, "-c", BATCH]) as batch:
            try:
                time.sleep(3)
                met = told("busy", *asyncio.run(watched(seconds))) and met
            finally:
                batch.terminate()
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
