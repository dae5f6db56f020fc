"""Kills, damage and busy readers: is any acknowledged record lost, counted twice, or any sum wrong?

``python benchmarks/ledger_chaos.py`` takes a minute; ``--minutes 10`` is for a release.  Writers record calls and runs,
and note each acknowledged one (after ``flush``) in a log of their own; compactors compact; readers sum.  All are
killed at random moments, segments get torn and zero-filled tails, manifest copies and ``ledger.duckdb`` are damaged,
a foreign process holds ``ledger.duckdb`` open all the time.  In the end every acknowledged call is there once.
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
import sys
import tempfile
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb

from dslkit.errors import LedgerError
from dslkit.ledger import Ledger, LedgerRecorder
from dslkit.ledger.folder import Folder
from dslkit.ledger.manifest import is_whole
from dslkit.records import Attribution, CallEnd, CallStart, Run, Usage

COST = Decimal("0.000210000")


def record(home: str, log: str, seed: int) -> None:
    """Write calls until killed, through small segments; fork now and then."""
    chance = random.Random(seed)
    folder = Folder(Path(home).resolve())
    folder.create()
    recorder = LedgerRecorder(folder, segment_bytes=chance.choice([3000, 40_000, 10**7]))
    acknowledged = open(log, "a", buffering=1)  # noqa: PTH123, SIM115 - closed by the kill
    recorder.run(Run(run_id=f"run-{os.getpid()}-{seed}", started_at=datetime.now(UTC)))
    waiting: list[CallStart] = []
    while True:
        one = started(f"run-{os.getpid()}-{seed}")
        recorder.reserve(one)
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


def started(run_id: str) -> CallStart:
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
        started_at=datetime.now(UTC),
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
        other = duckdb.connect(f"{home}/ledger.duckdb", read_only=True) if seed % 3 == 0 else None
    while True:
        try:
            row = other.execute(SUMS).fetchone() if other else Ledger(home).sql(SUMS).fetchall()[0]
        except duckdb.IOException:
            if other is None:
                raise
            continue  # another tool is told loudly that a file went away under it, and asks again
        rows, distinct, ok, cost, tokens = row
        if rows != distinct or cost != ok * COST or tokens != ok * 1000 or ok < last:
            with open(log, "a") as file:  # noqa: PTH123
                file.write(f"{'other tool' if other else 'reader'}: {row}, before {last} ok\n")
        last = ok


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    root = Path(tempfile.mkdtemp(prefix="dslkit-chaos-", dir=options.folder))
    home = root / "home"
    Ledger(home).recorder().close()
    held = duckdb.connect(str(home / "ledger.duckdb"), read_only=True)
    chance = random.Random(options.seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dslkit.ledger", "dslkit.ledger.recorder"])  # else most are killed while importing
    jobs = [
        (record, "writer"),
        (record, "writer"),
        (record, "writer"),
        (compact, "compactor"),
        (compact, "compactor"),
        (read, "reader"),
        (read, "reader"),
    ]
    running: list[tuple[multiprocessing.Process, int]] = []
    kills: Counter[str] = Counter()
    accidents: Counter[str] = Counter()
    crashes: list[str] = []
    number = 0

    def begin(index: int) -> tuple[multiprocessing.Process, int]:
        nonlocal number
        number += 1
        target, name = jobs[index]
        log = root / (f"ack-{number}" if name == "writer" else "wrong")
        process = context.Process(target=target, args=(str(home), str(log), options.seed * 1000 + number))
        process.start()
        return process, index

    running = [begin(index) for index in range(len(jobs))]
    until = time.monotonic() + options.minutes * 60
    while time.monotonic() < until:
        time.sleep(chance.random() * 0.5)
        slot = chance.randrange(len(running))
        process, index = running[slot]
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills[jobs[index][1]] += 1
        elif process.exitcode not in (0, -signal.SIGKILL):
            crashes.append(f"{jobs[index][1]} ended with {process.exitcode}")
        process.join()
        accidents[damage(home, chance)] += 1
        running[slot] = begin(index)
    for process, _ in running:
        process.kill()
        process.join()
    time.sleep(0.5)  # children of killed writers finish
    problems = [*crashes, *judge(root, home)]
    seen = held.execute(SUMS).fetchone()
    if seen != Ledger(home).sql(SUMS).fetchall()[0]:
        problems.append(f"who held ledger.duckdb open all the time sees {seen}")
    print(f"kills {dict(kills)}, accidents {dict(accidents)}")
    for problem in problems:
        print("WRONG", problem)
    print("0 lost, 0 twice, 0 wrong sums" if not problems else f"kept for a look: {root}")
    if not problems:
        shutil.rmtree(root)
    return 1 if problems else 0


def judge(root: Path, home: Path) -> list[str]:
    ledger = Ledger(home)
    problems = (root / "wrong").read_text().splitlines() if (root / "wrong").exists() else []
    wanted = {line for path in root.glob("ack-*") for line in path.read_text().splitlines() if len(line) == 36}
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
