"""Cron for a container without root: starts the commands of a crontab when they are due, by UTC.

``python scheduler.py CRONTAB``.  A command that still runs when it is due again is left to finish; SIGTERM is passed
on, and the commands are waited for.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Callable

_FIELDS = 5
_LOG = logging.getLogger("scheduler")


@dataclass
class Entry:
    """A line of the crontab, when it is due next, and its process while that runs."""

    every: str
    command: str
    due: datetime
    process: subprocess.Popen[bytes] | None = None


def read(text: str, now: datetime) -> list[Entry]:
    """The entries of a crontab; ValueError names a line that is none."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=_FIELDS)
        if not words or words[0].startswith("#"):
            continue
        every = " ".join(words[:_FIELDS])
        try:
            entries.append(Entry(every, words[_FIELDS], next(CronSim(every, now))))
        except (CronSimError, IndexError):
            raise ValueError(f"line {number} is no entry of a crontab: {line}") from None
    return entries


def start_due(entries: list[Entry], now: datetime, start: Callable[[str], subprocess.Popen[bytes]]) -> None:
    """Start what is due; each once, however late we look."""
    for entry in entries:
        if entry.process is not None and entry.process.poll() is not None:
            _LOG.info("exit code %d: %s", entry.process.returncode, entry.command)
            entry.process = None
        if entry.due > now:
            continue
        entry.due = next(CronSim(entry.every, now))
        if entry.process is not None:
            _LOG.warning("still running, not started again: %s", entry.command)
        else:
            _LOG.info("starting: %s", entry.command)
            entry.process = start(entry.command)


def run(entries: list[Entry]) -> None:
    """Until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    while not stopping:
        start_due(entries, datetime.now(UTC), lambda command: subprocess.Popen(["/bin/sh", "-c", command]))
        time.sleep(1)
    running = [entry.process for entry in entries if entry.process is not None]
    for process in running:
        process.terminate()
    for process in running:
        process.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    run(read(Path(sys.argv[1]).read_text(encoding="utf-8"), datetime.now(UTC)))
