"""How long a cost report takes, what it needs and how large it is: over 1,000, 100,000 and a million calls.

``python -m benchmarks.report [--calls N …] [--keep FOLDER]`` records a made-up month of that many calls, compacts the
ledger, writes the report with the real notebook in a real kernel, and prints each figure with its share of the limit
(below 1.0 is good).  Queries are timed apart, in a process that draws nothing else.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import month
from dslkit.ledger import Ledger

CHUNK = 100_000  # calls made up and recorded at a time, to stay small
LIMIT_S = {1_000: 4.0, 100_000: 6.0, 1_000_000: 12.0}
LIMIT_BYTES = 1.5e9
LIMIT_QUERIES_S = 2.0
LIMIT_SIZE = 200_000
_WRITE = "import sys; from dslkit.report import write; write(sys.argv[1], sys.argv[2])"


class Timed:
    """Views that add up how long their queries take."""

    def __init__(self, views: Any) -> None:
        self.views = views
        self.seconds = 0.0

    def execute(self, query: str, parameters: Any = None) -> Any:
        began = time.perf_counter()
        try:
            return self.views.execute(query, parameters)
        finally:
            self.seconds += time.perf_counter() - began


def fill(home: Path, calls: int) -> None:
    """Record that many calls and compact them."""
    for number in range(max(1, calls // CHUNK)):
        month.record(month.make(min(calls, CHUNK), seed=number), str(home))
    Ledger(home).compact()


def written(home: Path, output: Path) -> tuple[float, int]:
    """Seconds and the bytes that the largest process needed, in a fresh interpreter."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _WRITE, str(home), str(output)], check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit


def queried(home: Path) -> float:
    """Seconds that all queries of the report take."""
    from dslkit.analysis import Scope
    from dslkit.report import Report

    views = Timed(Ledger(home).snapshot())
    report = Report(views, Scope())
    for section in (
        report.key_figures, report.spend_over_time, report.breakdown, report.items, report.runs_ended, report.changes,
        report.suggestions, report.otherwise, report.expectations, report.timing, report.limits_used, report.failures,
        report.notable_calls,
    ):  # fmt: skip
        section()
    return views.seconds


def measure(calls: int, keep: Path | None) -> None:
    with TemporaryDirectory() as folder:
        home = (keep or Path(folder)) / str(calls)
        if not home.exists():
            fill(home, calls)
        output = Path(folder) / "report.html"
        seconds, memory = written(home, output)
        limit = LIMIT_S.get(calls, LIMIT_S[1_000_000])
        queries = queried(home)
        size = output.stat().st_size
        if keep:
            shutil.copy(output, keep / f"{calls}.html")
    print(f"{calls:>9,} calls")
    for name, value, most, unit in (
        ("report", seconds, limit, "s"),
        ("of which queries", queries, LIMIT_QUERIES_S, "s"),
        ("memory", memory / 1e6, LIMIT_BYTES / 1e6, "MB"),
        ("size", size / 1e3, LIMIT_SIZE / 1e3, "KB"),
    ):
        print(f"  {name:<18}{value:>9.2f} {unit:<3} {value / most:>6.2f} of {most:g} {unit}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, nargs="+", default=list(LIMIT_S))
    parser.add_argument("--keep", type=Path, help="use ledgers of this folder, and leave the reports there")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    for calls in arguments.calls:
        measure(calls, arguments.keep)


if __name__ == "__main__":
    main()
