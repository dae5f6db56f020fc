"""How fast a batch is with one process and with two, and whether its memory stays flat.

``python -m benchmarks.batch speed [ITEMS] [PAIRS]`` runs ``dslkit batch`` offline and without engine runs, by one
process and by two in turn, and prints the medians: from start to end, and without start-up (from the tenth part of the
items on).  ``python -m benchmarks.batch memory [ITEMS] [WORKERS]`` prints what each process grew by since item 1,000.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from dslkit.ledger import Ledger

ITEMS = 1_000
PAIRS = 3
MANY = 100_000
FIRST = 1_000  # items after which a process has loaded what it needs
SHIPPED = Path(__file__).resolve().parents[1] / "notebooks" / "requirements.jsonl"
KINDS = ("dslkit.batch.worker", "ipykernel_launcher", "dslkit.cli")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS")
ENDS = "SELECT epoch(ended_at) FROM items ORDER BY ended_at"
BATCH = (sys.executable, "-c", "from dslkit.cli import main; main()", "batch")


def main() -> None:
    what, *numbers = sys.argv[1:] or ["speed"]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        {"speed": speed, "memory": memory}[what](*map(int, numbers))


def speed(items: int = ITEMS, pairs: int = PAIRS) -> None:
    """Items a second by one process and by two, and the ratio of each pair."""
    wishes = write_requirements(items)
    timed("warm", write_requirements(20), 1)  # compiled files
    found = [(timed(f"one{pair}", wishes, 1), timed(f"two{pair}", wishes, 2)) for pair in range(pairs)]
    for which, name in enumerate(("from start to end", "without start-up")):
        ones, twos = ([speeds[which] for speeds in side] for side in zip(*found, strict=True))
        ratios = [two / one for one, two in zip(ones, twos, strict=True)]
        one, two, ratio = map(statistics.median, (ones, twos, ratios))
        told = (
            f"one process {one:.0f} items/s, two {two:.0f}: {ratio:.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"
        )
        print(f"{items:,} items {name}: {told}, {pairs} pairs")


def timed(name: str, wishes: Path, workers: int) -> tuple[float, float]:
    """Items a second: from start to end, and without start-up."""
    began = time.perf_counter()
    assert start(name, wishes, workers).wait() == 0
    seconds = time.perf_counter() - began
    ends = [row[0] for row in Ledger(Path(name, "home")).sql(ENDS).fetchall()]
    first = len(ends) // 10
    return len(ends) / seconds, (len(ends) - first) / (ends[-1] - ends[first])


def memory(items: int = MANY, workers: int = 1) -> None:
    """Resident megabytes of each process at item 1,000 and at the last one, and its peak when all is summed up."""
    began = time.monotonic()
    process = start("long", write_requirements(items), workers)
    seen: dict[int, list[tuple[int, float]]] = {}
    names: dict[int, str] = {}
    while process.poll() is None:
        time.sleep(1.0)
        done = sum(1 for _ in Path("long/out").glob("*.yml"))
        for pid, name, size in family(process.pid) if done >= FIRST else ():
            names[pid] = name
            seen.setdefault(pid, []).append((done, size))
    assert process.returncode == 0
    print(f"{items:,} items in {time.monotonic() - began:.0f} s")
    for pid, sizes in seen.items():
        print(f"{names[pid]}: {course(sizes)}")


def course(sizes: list[tuple[int, float]]) -> str:
    """How a process grew: at item 1,000, in eighths of the work, and afterwards."""
    last = sizes[-1][0]
    at_work = [(done, size) for done, size in sizes if done < last] or sizes
    eighths = [at_work[len(at_work) * part // 8] for part in range(8)] + [at_work[-1]]
    told = ", ".join(f"{size:.0f} at {done:,}" for done, size in eighths)
    first, size = sizes[0][1], at_work[-1][1]
    peak = max(size for done, size in sizes if done == last)
    return f"MB {told}; grown by {size - first:.0f} at work; peak at the end {peak:.0f}, {peak - first:+.0f}"


def family(pid: int) -> list[tuple[int, str, float]]:
    """Pid, kind and resident megabytes of a batch's processes."""
    found = []
    for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            words = " ".join(each.cmdline())
            kind = next((name for name in KINDS if name in words), None)
            if kind:
                found.append((each.pid, kind, each.memory_info().rss / 1e6))
        except psutil.Error:  # it has just ended
            continue
    return found


def write_requirements(items: int) -> Path:
    """The shipped requirements over and over, each with a number, so that no two are equal."""
    shipped = [json.loads(line)["requirement"] for line in SHIPPED.read_text().splitlines()]
    path = Path(f"{items}.jsonl")
    with path.open("w") as file:
        for number in range(items):
            given = shipped[number % len(shipped)]
            rounds = [given] if isinstance(given, str) else given
            wish = {"id": f"r{number:06}", "requirement": [*rounds[:-1], f"{rounds[-1]} This is variant {number}."]}
            file.write(json.dumps(wish) + "\n")
    return path.resolve()


def start(name: str, wishes: Path, workers: int) -> subprocess.Popen[bytes]:
    """A batch in a folder and a home of its own."""
    Path(name).mkdir()
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "DSLKIT_HOME": "home"}
    command = [*BATCH, str(wishes), "--workers", str(workers), "--no-engine", "--no-report"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=name, env=environment, stdout=quiet, stderr=quiet)


if __name__ == "__main__":
    main()
