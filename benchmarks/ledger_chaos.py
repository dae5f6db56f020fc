"""Kills, damage and busy readers: is any acknowledged record lost, counted twice, or any sum wrong?

``python benchmarks/ledger_chaos.py`` takes a minute; ``--minutes 10`` is for a release.  Writers record calls and runs,
and note each acknowledged one (after ``flush``) in a log of their own; compactors compact; readers sum.  All are
killed at random moments, segments get torn and zero-filled tails, manifest copies and ``ledger.duckdb`` are damaged,
clocks jump back, a foreign process holds ``ledger.duckdb`` open all the time, and the ledger begins as one of an
earlier schema version.  In the end every acknowledged call is there once.  Before that: a disk that is full (a small
tmpfs, where mounting is allowed), parts cut off and deleted, a folder that is read-only.  ``--keep`` leaves the ledger
for a look with ``dslkit ledger verify``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

from dslkit.errors import LedgerError
from dslkit.ledger import Ledger, LedgerRecorder
from dslkit.ledger.folder import Folder
from dslkit.ledger.manifest import is_whole
from dslkit.records import Attribution, CallEnd, CallStart, Run, Usage

COST = Decimal("0.000210000")
BEFORE = Decimal("0.5") - COST  # one of the calls that the ledger begins with was priced again
EARLIER = Path(__file__).parent.parent / "tests" / "ledger" / "version_1.tar.gz"
MAY_MOUNT = os.geteuid() == 0 and sys.platform == "linux"  # only there a small disk can be made


def record(home: str, log: str, seed: int) -> None:
    """Write calls until killed, through small segments; fork now and then."""
    chance = random.Random(seed)
    folder = Folder(Path(home).resolve())
    folder.create()
    back = timedelta(days=chance.choice([0, 0, 1, 400]))  # a clock set back
    recorder = LedgerRecorder(
        folder, segment_bytes=chance.choice([3000, 40_000, 10**7]), now=lambda: datetime.now(UTC) - back
    )
    acknowledged = open(log, "a", buffering=1)  # noqa: PTH123, SIM115 - closed by the kill
    recorder.run(Run(run_id=f"run-{os.getpid()}-{seed}", started_at=datetime.now(UTC)))
    waiting: list[CallStart] = []
    waits: list[float] = []
    while True:
        one = started(f"run-{os.getpid()}-{seed}", back)
        begun = time.perf_counter()
        recorder.reserve(one)
        waits.append(time.perf_counter() - begun)
        if len(waits) == 200:
            with open(f"{log}-waits", "a") as file:  # noqa: PTH123
                file.write(f"{sorted(waits)[198]} {max(waits)}\n")
            waits.clear()
        waiting.append(one)
        if chance.random() < 0.002 and os.fork() == 0:
            recorder.forked()
            done(recorder, (child := started("child")), reserve=True)
            recorder.flush()
            acknowledged.write(child.call_id + "\n")
            os._exit(0)
        if chance.random() < 0.5:
            recorder.settle(ended(waiting.pop(chance.randrange(len(waiting)))))
        if chance.random() < 0.2:
            settled = [waiting.pop() for _ in range(min(len(waiting), chance.randrange(6)))]
            for call in settled:
                done(recorder, call)
            recorder.flush()
            acknowledged.write("".join(call.call_id + "\n" for call in settled))
            time.sleep(0.002)


def done(recorder: LedgerRecorder, call: CallStart, *, reserve: bool = False) -> None:
    if reserve:
        recorder.reserve(call)
    recorder.settle(ended(call))


def started(run_id: str, back: timedelta = timedelta()) -> CallStart:
    return CallStart(
        call_id=str(uuid.uuid4()),
        attempt=1,
        attribution=Attribution(run_id=run_id, stage="configuration"),
        provider_name="openai",
        operation_name="chat",
        request_model="gpt-4o-mini",
        estimated_input_tokens=1000,
        estimated_output_tokens=100,
        request_bytes=100,
        stream=False,
        throttle_wait_s=0.0,
        started_at=datetime.now(UTC) - back,
    )


def ended(of: CallStart) -> CallEnd:
    return CallEnd(
        call_id=of.call_id,
        attempt=1,
        outcome="ok",
        ended_at=datetime.now(UTC),
        latency_s=0.1,
        usage=Usage(input_tokens=1000, output_tokens=100),
    )


def compact(home: str, _log: str, seed: int) -> None:
    chance = random.Random(seed)
    while True:
        try:
            Ledger(home).compact(wait_s=1)
        except LedgerError as error:
            if "Another process" not in str(error):
                raise
        time.sleep(chance.random() * 0.1)


SUMS = """SELECT count(*), count(DISTINCT (call_id, attempt)), count(*) FILTER (outcome = 'ok'),
          coalesce(sum(cost_usd), 0), coalesce(sum(input_tokens), 0) FROM calls"""


def read(home: str, log: str, seed: int) -> None:
    """Every sum must be consistent in itself, and none may shrink."""
    last = 0
    other = None
    with contextlib.suppress(duckdb.IOException):  # deleted a moment ago, until the next compaction
        if seed % 3 == 0:
            other = duckdb.connect(f"{home}/ledger.duckdb", read_only=True)
            other.execute("SET enable_progress_bar = false")
    while True:
        try:
            row = other.execute(SUMS).fetchone() if other else Ledger(home).sql(SUMS).fetchall()[0]
        except duckdb.IOException:
            if other is None:
                raise
            continue  # another tool is told loudly that a file went away under it, and asks again
        rows, distinct, ok, cost, tokens = row
        if rows != distinct or cost != ok * COST + BEFORE or tokens != ok * 1000 or ok < last:
            with open(log, "a") as file:  # noqa: PTH123
                file.write(f"{'other tool' if other else 'reader'}: {row}, before {last} ok\n")
        last = ok


def fill(home: Path, calls: int) -> None:
    recorder = Ledger(home).recorder()
    for _ in range(calls):
        done(recorder, started("filled"), reserve=True)
    recorder.close()


def total(home: Path) -> int | str:
    """What a reader sees: a sum, or that it cannot be told."""
    try:
        return Ledger(home).usage().total_requests
    except (LedgerError, duckdb.Error) as error:
        return type(error).__name__


def full_disk(root: Path) -> list[str]:
    """Write until a disk of two megabytes is full, compact on it, then make it larger."""
    if not MAY_MOUNT:
        print("full disk: not tried, a small tmpfs needs root")
        return []
    home = root / "small"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", home], check=True)
    problems = []
    try:
        recorder = Ledger(home).recorder()
        acknowledged, refusals = 0, 0
        while not refusals:
            for _ in range(50):
                done(recorder, started("full"), reserve=True)
            try:
                recorder.flush()
                acknowledged += 50
            except LedgerError:
                refusals += 1
        for upkeep in (Ledger(home).compact, Ledger(home).rebuild):
            with contextlib.suppress(LedgerError):
                upkeep()
        if total(home) < acknowledged:
            problems.append(f"full disk: {total(home)} of {acknowledged} acknowledged calls")
        subprocess.run(["mount", "-o", "remount,size=64m", "none", home], check=True)
        recorder.flush()  # what waited in memory
        Ledger(home).compact()
        if total(home) != acknowledged + 50 or Ledger(home).verify().lost:
            problems.append(f"after a full disk: {total(home)} of {acknowledged + 50} calls")
        print(f"full disk: {acknowledged} acknowledged, refused with a LedgerError, {total(home)} there in the end")
        recorder.finish()
    finally:
        subprocess.run(["umount", "-l", home], check=True)
    return problems


def damaged_parts(root: Path) -> list[str]:
    """A part cut off, zeroed or deleted: no reader sees a smaller sum, verify tells, rebuild heals."""
    problems = []
    for name, accident in {
        "cut off": lambda path: path.write_bytes(path.read_bytes()[:-100]),
        "zeroed": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
        "deleted": lambda path: path.unlink(),
    }.items():
        home = root / f"part-{name}"
        fill(home, 500)
        Ledger(home).compact()
        accident(next(Folder(home).parts.glob("calls-*.parquet")))
        seen, lost = total(home), Ledger(home).verify().lost
        Ledger(home).rebuild()
        if isinstance(seen, int) or not lost or total(home) != 500 or Ledger(home).verify().lost:
            problems.append(f"part {name}: read as {seen}, lost {lost}, then {total(home)}")
        print(f"a part {name}: readers get {seen}, rebuilt to {total(home)} of 500")
    return problems


def read_only(root: Path) -> list[str]:
    """Reads as ever, and refuses to be written."""
    home = root / "read-only"
    fill(home, 100)
    if MAY_MOUNT:
        subprocess.run(["mount", "--bind", "-o", "ro", home, home], check=True)
    else:
        for path in (home, home / "ledger", home / "ledger/journal"):
            path.chmod(0o555)
    try:
        seen, refused = total(home), False
        try:
            Ledger(home).compact()
        except LedgerError:
            refused = True
        print(f"a read-only folder: {seen} of 100 read, compaction {'refused' if refused else 'NOT refused'}")
        return [] if seen == 100 and refused else [f"read-only: {seen}, refused {refused}"]
    finally:
        if MAY_MOUNT:
            subprocess.run(["umount", "-l", home], check=True)


TRIALS = (full_disk, damaged_parts, read_only)


def another_tool(home: Path) -> subprocess.Popen[bytes]:
    """A process without dslkit that holds ``ledger.duckdb`` open, as a shell that somebody forgot."""
    program = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1], read_only=True); time.sleep(86400)"
    return subprocess.Popen([sys.executable, "-c", program, str(home / "ledger.duckdb")])


def waits_of(root: Path) -> str:
    """How long a writer waited to reserve, amid all this; each file has p99 and the longest of 200."""
    lines = [line.split() for path in root.glob("ack-*-waits") for line in path.read_text().splitlines()]
    pairs = sorted((float(p99), float(longest)) for p99, longest in (line for line in lines if len(line) == 2))
    if not pairs:
        return "no writer lived long enough to tell how long it waited"
    longest = max(one for _, one in pairs)
    p99 = pairs[len(pairs) // 2][0]
    return f"writers waited for a reservation: p99 {p99 * 1e6:.0f} us, at most {longest * 1e3:.0f} ms"


def damage(home: Path, chance: random.Random) -> str:
    """One accident to a file; nothing that was acknowledged lies in what it hits."""
    folder = Folder(home)
    kind = chance.choice(["tail", "zeros", "views", "manifest", "copy", "aside", "unborn"])
    dead = [path for path in folder.segments().values() if path.suffix == ".jsonl"]
    if kind in ("tail", "zeros") and dead:
        try:
            with chance.choice(dead).open("r+b") as file:
                file.seek(0, 2)
                file.write(b'{"k":"end","call_id":"torn' if kind == "tail" else b"\0" * 4096)
        except FileNotFoundError:
            return "none"
    elif kind == "views":
        (home / "ledger.duckdb").unlink(missing_ok=True)
    elif kind in ("manifest", "copy"):
        path, other = (folder.manifest, folder.manifest_copy)[:: 1 if kind == "manifest" else -1]
        if is_whole(other):  # an accident hits one of the two; without both there is an error that says so
            path.unlink(missing_ok=True)
    elif kind == "aside":
        (folder.parts / f".calls-2026-11-{chance.randrange(10**9)}.parquet").write_bytes(b"x" * 100)
    else:
        (folder.journal / f"{chance.randrange(16**16):016x}-000001.new").write_bytes(b"")
    return kind


class Crowd:
    """Writers, compactors and readers at work on one home, killed and started again at random."""

    JOBS = (*[(record, "writer")] * 3, *[(compact, "compactor")] * 2, *[(read, "reader")] * 2)

    def __init__(self, root: Path, home: Path, seed: int) -> None:
        self.kills: Counter[str] = Counter()
        self.accidents: Counter[str] = Counter()
        self.crashes: list[str] = []
        self._root, self._home, self._seed = root, home, seed
        self._chance = random.Random(seed)
        self._context = multiprocessing.get_context("forkserver")
        # Else most are killed while importing.
        self._context.set_forkserver_preload(["dslkit.ledger", "dslkit.ledger.recorder"])
        self._number = 0
        self._running = [self._begin(index) for index in range(len(self.JOBS))]

    def _begin(self, index: int) -> multiprocessing.Process:
        self._number += 1
        target, name = self.JOBS[index]
        log = self._root / (f"ack-{self._number}" if name == "writer" else "wrong")
        process = self._context.Process(
            target=target, args=(str(self._home), str(log), self._seed * 1000 + self._number)
        )
        process.start()
        return process

    def disturb(self, minutes: float) -> None:
        """Kill one after another, and damage files in between, for so long; then end all."""
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            time.sleep(self._chance.random() * 0.5)
            index = self._chance.randrange(len(self.JOBS))
            process, name = self._running[index], self.JOBS[index][1]
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                self.kills[name] += 1
            elif process.exitcode not in (0, -signal.SIGKILL):
                self.crashes.append(f"{name} ended with {process.exitcode}")
            process.join()
            self.accidents[damage(self._home, self._chance)] += 1
            self._running[index] = self._begin(index)
        for process in self._running:
            process.kill()
            process.join()
        time.sleep(0.5)  # children of killed writers finish


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    root = Path(tempfile.mkdtemp(prefix="dslkit-chaos-", dir=options.folder))
    home = root / "home"
    problems = [problem for trial in TRIALS for problem in trial(root)]
    with tarfile.open(EARLIER) as archive:
        archive.extractall(home, filter="data")
    Ledger(home).recorder().close()
    foreign = another_tool(home)
    held = duckdb.connect(str(home / "ledger.duckdb"), read_only=True)
    held.execute("SET enable_progress_bar = false")
    crowd = Crowd(root, home, options.seed)
    crowd.disturb(options.minutes)
    problems += [*crowd.crashes, *judge(root, home)]
    print(waits_of(root))
    if foreign.poll() is not None:
        problems.append("the process that held ledger.duckdb open came to an end")
    foreign.kill()
    foreign.wait()
    seen = held.execute(SUMS).fetchone()
    if seen != Ledger(home).sql(SUMS).fetchall()[0]:
        problems.append(f"who held ledger.duckdb open all the time sees {seen}")
    print(f"kills {dict(crowd.kills)}, accidents {dict(crowd.accidents)}")
    for problem in problems:
        print("WRONG", problem)
    print("0 lost, 0 twice, 0 wrong sums" if not problems else "see above")
    if problems or options.keep:
        print(f"kept for a look: {root}")
    else:
        shutil.rmtree(root)
    return 1 if problems else 0


def judge(root: Path, home: Path) -> list[str]:
    ledger = Ledger(home)
    problems = (root / "wrong").read_text().splitlines() if (root / "wrong").exists() else []
    wanted = {line for path in root.glob("ack-*[0-9]") for line in path.read_text().splitlines() if len(line) == 36}
    for moment in ("before", "after", "rebuilt"):
        if moment == "after":
            ledger.compact()
        elif moment == "rebuilt":
            ledger.rebuild()
        counts = Counter(call_id for (call_id,) in ledger.sql("SELECT call_id FROM calls").fetchall())
        known = {call_id for (call_id,) in ledger.sql("SELECT call_id FROM calls WHERE outcome = 'ok'").fetchall()}
        lost, twice = wanted - known, [call_id for call_id, count in counts.items() if count > 1]
        problems += [f"{moment}: {len(lost)} lost, such as {min(lost)}"] if lost else []
        problems += [f"{moment}: {len(twice)} twice, such as {twice[0]}"] if twice else []
        found = ledger.verify()
        problems += [
            f"{moment}: verify: {finding.message}" for finding in found.findings if finding.severity == "error"
        ]
        statuses = dict(ledger.sql("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
        counted = f"{len(wanted):,} acknowledged, {found.calls:,} calls, {found.unknown_outcome:,} unknown"
        print(f"{moment}: {counted}, runs {json.dumps(statuses)}, {found.parts} parts")
    return problems


if __name__ == "__main__":
    sys.exit(main())
