"""What the ledger costs, as ratios: ``python benchmarks/ledger.py`` (minutes; ``--large`` adds ten million calls).

Each line prints what was measured, the target and whether it is met.  Writers, rivals and readers of one comparison run
in the same run, on the same disk, one after the other.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from dslkit.ledger import Ledger, compaction, schema
from dslkit.ledger.folder import Folder
from dslkit.records import Attribution, CallEnd, CallStart, Run, Usage

WRITERS = 4
missed: list[str] = []


def report(name: str, value: float, unit: str, target: str, *, met: bool) -> None:
    if not met:
        missed.append(name)
    print(f"{'ok  ' if met else 'MISS'} {name:58} {value:>12,.2f} {unit:14} target {target}", flush=True)


def start(number: int) -> CallStart:
    return CallStart(
        call_id=str(uuid.uuid4()),
        attempt=1,
        attribution=Attribution(run_id="run-1", item_id=f"item-{number % 60}", stage="configuration"),
        provider_name="openai",
        operation_name="chat",
        request_model="gpt-4o-mini",
        estimated_input_tokens=900,
        estimated_output_tokens=300,
        request_bytes=4000 + number % 977,
        stream=False,
        throttle_wait_s=0.001 * (number % 71),
        started_at=datetime.now(UTC),
    )


def end(of: CallStart, number: int) -> CallEnd:
    return CallEnd(
        call_id=of.call_id,
        attempt=1,
        outcome="ok",
        ended_at=datetime.now(UTC),
        latency_s=0.4 + 0.0137 * (number % 97),
        usage=Usage(
            input_tokens=1000 + number % 313, output_tokens=100 + number % 101, cache_read_input_tokens=number % 512
        ),
        http_status=200,
        response_model="gpt-4o-mini-2024-07-18",
        response_id=f"chatcmpl-{uuid.uuid4().hex[:24]}",
        finish_reason="stop",
        server_request_id=f"req_{uuid.uuid4().hex}",
    )


def in_parallel(target, count: int, *args) -> list[float]:
    """Run a function in processes; each returns a number."""
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        return pool.starmap(target, [(*args, number) for number in range(count)])


def made_before(seconds: float) -> list[tuple[CallStart, CallEnd]]:
    """More calls than can be written in the time: what is measured is recording, not making them up."""
    starts = [start(number) for number in range(int(6_000 * seconds))]
    return [(one, end(one, number)) for number, one in enumerate(starts)]


def write_journal(home: str, seconds: float, _: int) -> float:
    """Durable each: a call is a reservation and an end, then a flush.  Returns records per second."""
    recorder = Ledger(home).recorder()
    calls = made_before(seconds)
    made, begun = 0, time.perf_counter()
    for one, ending in calls:
        recorder.reserve(one)
        recorder.settle(ending)
        recorder.flush()
        made += 2
        if time.perf_counter() - begun > seconds:
            break
    rate = made / (time.perf_counter() - begun)
    recorder.close()
    return rate


def write_sqlite(home: str, seconds: float, _: int) -> float:
    connection = sqlite3.connect(f"{home}/rival.sqlite", timeout=60, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS calls (id TEXT, attempt INT, started REAL, body TEXT)")
    rows = [(str(uuid.uuid4()), time.time(), "x" * 500) for _ in range(int(12_000 * seconds))]
    made, begun = 0, time.perf_counter()
    for row in rows:
        connection.execute("INSERT INTO calls VALUES (?, 1, ?, ?)", row)
        made += 1
        if time.perf_counter() - begun > seconds:
            break
    return made / (time.perf_counter() - begun)


def write_duckdb(home: str, seconds: float, _: int) -> float:
    made, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        try:
            with duckdb.connect(f"{home}/rival.duckdb") as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS calls (id VARCHAR, body VARCHAR)")
                connection.execute("INSERT INTO calls VALUES (?, ?)", [str(uuid.uuid4()), "x" * 500])
                made += 1
        except duckdb.IOException:  # another process has it
            time.sleep(0.001)
    return made / (time.perf_counter() - begun)


ROUNDS = 3  # in turn, so that a moment's noise on the disk strikes all alike


def writing(folder: Path, seconds: float) -> None:
    rates: dict[str, list[float]] = {}
    rivals = {"ours": write_journal, "sqlite": write_sqlite, "closing": write_duckdb}
    for turn in range(ROUNDS):
        for name, write in rivals.items():
            home = folder / f"{name}-{turn}"
            home.mkdir()
            rates.setdefault(name, []).append(sum(in_parallel(write, WRITERS, str(home), seconds)))
    ours, sqlite, closing = (statistics.median(rates[name]) for name in rivals)
    report("4 writers, durable each", ours, "records/s", ">= 8,000", met=ours >= 8000)
    report("  against open-insert-close of a DuckDB file", ours / closing, "times", ">= 100", met=ours >= 100 * closing)
    report("  against SQLite (WAL, synchronous=FULL)", ours / sqlite, "times", ">= 2", met=ours >= 2 * sqlite)


def read_busily(home: str, seconds: float, _: int) -> float:
    ledger = Ledger(home)
    asked, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        ledger.sql("SELECT request_model, count(*), sum(cost_usd) FROM calls GROUP BY ALL")
        asked += 1
    return asked


def reading_beside_writing(folder: Path, seconds: float) -> None:
    """On few cores readers take time from writers as any work does: compare with as many who merely compute."""
    home = folder / "beside"
    Ledger(home).recorder().close()
    rates = {}
    for name, beside in (("computing", compute_busily), ("reading", read_busily)):
        with multiprocessing.get_context("spawn").Pool(6 + 1) as pool:
            busy = [pool.apply_async(beside, (str(home), 2 * seconds + 1, number)) for number in range(6)]
            time.sleep(0.5)
            rates[name] = (
                pool.apply(write_journal, (str(home), seconds, 0)),
                pool.apply(compact_busily, (str(home), seconds, 0)),
            )
            for one in busy:
                one.get()
    for index, who in enumerate(("a writer", "a compactor")):
        kept = rates["reading"][index] / rates["computing"][index]
        title = f"{who} beside six readers, against six who compute"
        report(title, kept, "of its rate", ">= 0.8", met=kept >= 0.8)


def compact_busily(home: str, seconds: float, _: int) -> float:
    """Segments of a hundred calls taken in, a second of compaction."""
    spent, done = 0.0, 0
    until = time.perf_counter() + seconds
    recorder = Ledger(home).recorder()
    while time.perf_counter() < until:
        for number in range(100):
            one = start(number)
            recorder.reserve(one)
            recorder.settle(end(one, number))
        recorder.finish()
        begun = time.perf_counter()
        done += Ledger(home).compact().segments
        spent += time.perf_counter() - begun
    return done / spent


def compute_busily(_home: str, seconds: float, _: int) -> float:
    until = time.perf_counter() + seconds
    turns = 0
    while time.perf_counter() < until:
        turns += sum(range(1000)) > 0
    return turns


def cost_of_a_call(folder: Path) -> None:
    recorder = Ledger(folder / "cost").recorder()
    calls = [start(number) for number in range(20_000)]
    pairs = [(one, end(one, number)) for number, one in enumerate(calls)]
    for one, ending in pairs[:1000]:
        recorder.reserve(one)
        recorder.settle(ending)
    walls: list[float] = []
    used = time.process_time()
    for one, ending in pairs[1000:]:
        a = time.perf_counter()
        recorder.reserve(one)
        b = time.perf_counter()
        recorder.settle(ending)
        c = time.perf_counter()
        walls += (b - a, c - b)
    cpu = (time.process_time() - used) / (len(pairs) - 1000) * 1e6
    recorder.close()
    walls.sort()
    p50, p99 = (walls[int(len(walls) * share)] * 1e6 for share in (0.5, 0.99))
    report("recording a call (reserve and settle), CPU", cpu, "us", "< 60", met=cpu < 60)
    report("  on the event loop, p50 of a record", p50, "us", "<= 20", met=p50 <= 20)
    report("  on the event loop, p99 of a record", p99, "us", "<= 100", met=p99 <= 100)


MANY = """
SELECT uuid() AS call_id, 1 AS attempt, 'run-' || (i // 5000) AS run_id, 'item-' || (i % 60) AS item_id,
  ['requirements', 'architecture', 'configuration', 'quality'][1 + i % 4] AS stage, NULL AS tags,
  'openai' AS provider_name, 'chat' AS operation_name,
  ['gpt-4o-mini', 'gpt-4o', 'gpt-5', 'o3'][1 + (hash(i) % 4)::INT] AS request_model,
  ['gpt-4o-mini-2024-07-18', 'gpt-4o-2024-08-06', 'gpt-5-2025-08-07', 'o3-2025-04-16'][1 + (hash(i) % 4)::INT]
    AS response_model,
  'chatcmpl-' || md5(i::VARCHAR)[:24] AS response_id, 800 + (hash(i + 1) % 3000)::BIGINT AS input_tokens,
  (hash(i + 2) % 800)::BIGINT AS cache_read_input_tokens, NULL AS cache_creation_input_tokens,
  50 + (hash(i + 3) % 900)::BIGINT AS output_tokens, (hash(i + 4) % 50)::BIGINT AS reasoning_output_tokens,
  'reported' AS usage_source, ((hash(i + 5) % 9000000) / 1000000000)::DECIMAL(18, 9) AS cost_usd,
  'genai-prices' AS price_source, '0.2.3' AS price_version,
  TIMESTAMPTZ '2026-11-01 00:00:00+00' + to_microseconds(i * $step + (hash(i + 6) % 100000)::BIGINT) AS started_at,
  started_at + to_microseconds(400000 + (hash(i + 7) % 4000000)::BIGINT) AS ended_at,
  (epoch_us(ended_at) - epoch_us(started_at)) / 1e6 AS latency_s, NULL AS time_to_first_chunk_s,
  (hash(i + 8) % 30000) / 1e6 AS throttle_wait_s, 2000 + (hash(i + 9) % 9000)::BIGINT AS request_bytes, false AS stream,
  NULL AS cache_hit, NULL AS service_tier, 'ok' AS outcome, 200 AS http_status, 'stop' AS finish_reason,
  NULL AS error_type, NULL AS error_message, 'req_' || md5((i + 1)::VARCHAR) AS server_request_id,
  900 AS estimated_input_tokens, 300 AS estimated_output_tokens, 'host' AS host, 1000 + i // 100000 AS pid,
  printf('%016x-%06d', i // 10000, 1) AS segment
FROM range($low, $high) t(i)
"""

QUESTION = """SELECT request_model, date_trunc('hour', started_at) AS hour, count(*), sum(input_tokens),
  sum(output_tokens), sum(cost_usd), quantile_cont(latency_s, [0.5, 0.95, 0.99]) FROM {source} GROUP BY ALL"""


def fill(home: Path, calls: int) -> Path:
    """A ledger of that many calls in parts, written as compaction writes them; and the same rows as one plain file."""
    from dataclasses import replace

    from dslkit.ledger.manifest import Manifest, write_manifest
    from dslkit.ledger.parts import read_parts, write_part

    folder = Folder(home)
    folder.create()
    plain = home / "plain.parquet"
    step = 2_000_000_000_000 // calls  # over some 23 days of November
    parts = []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for low in range(0, calls, 1_000_000):
            query = (
                MANY.replace("$step", str(step))
                .replace("$low", str(low))
                .replace("$high", str(min(low + 1_000_000, calls)))
            )
            typed = ", ".join(
                f"{schema.quoted(name)}::{kind} AS {schema.quoted(name)}"
                for name, kind in schema.PARTS["calls"].items()
            )
            connection.execute(f"CREATE OR REPLACE TEMP TABLE made AS SELECT {typed} FROM ({query})")
            parts.append(write_part(connection, folder, "calls", "2026-11", "FROM made"))
        write_manifest(folder, replace(Manifest(), generation=1, parts=tuple(parts)))
        columns = schema.select_list(schema.CALLS)
        rows = read_parts(folder, parts, "calls")
        connection.execute(f"COPY (SELECT {columns} FROM ({rows})) TO '{plain}' (FORMAT parquet, COMPRESSION zstd)")
    return plain


ASK = """
import resource, sys, time
home, plain, source, question = sys.argv[1:]
if source == "ledger":
    from dslkit.ledger import Ledger
    cursor = Ledger(home).snapshot()
    table = "calls"
else:
    import duckdb
    cursor = duckdb.connect()
    cursor.execute("SET TimeZone = 'UTC'")
    cursor.execute("SET enable_progress_bar = false")
    table = f"read_parquet('{plain}')"
times = []
for _ in range(5):
    begun = time.perf_counter()
    cursor.execute(question.replace("{source}", table)).fetchall()
    times.append(time.perf_counter() - begun)
if sys.platform == "linux":  # ru_maxrss is inherited from the process that started this one
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print(sorted(times)[2], peak)
"""


def ask(home: Path, plain: Path, source: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", ASK, home, plain, source, QUESTION], capture_output=True, text=True, check=True
    )
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def analysing(folder: Path, calls: int) -> None:
    home = folder / f"many-{calls}"
    plain = fill(home, calls)
    rounds = [(ask(home, plain, "ledger"), ask(home, plain, "plain")) for _ in range(3)]
    ours = statistics.median(one[0][0] for one in rounds)
    theirs = statistics.median(one[1][0] for one in rounds)
    memory = max(one[0][1] for one in rounds)
    title = f"model x hour with p50, p95, p99 over {calls / 1e6:g} M calls"
    report(f"{title}: {ours * 1e3:,.0f} ms", ours / theirs, "times DuckDB", "<= 1.2", met=ours <= 1.2 * theirs)
    report("  memory", memory, "MB", "< 1,000", met=memory < 1000)
    parts = sum(path.stat().st_size for path in Folder(home).parts.glob("calls-*.parquet"))
    report("  disk in parts", parts / calls, "bytes/call", "< 70", met=parts < 70 * calls)
    if calls == 1_000_000:
        made_of(Folder(home))
        seconds = usage_in_a_new_process(home)
        report("  usage in a new process", seconds, "s", "< 0.5", met=seconds < 0.5)


def made_of(folder: Folder) -> None:
    files = str(folder.parts / "calls-*.parquet")
    rows = duckdb.execute(
        f"SELECT path_in_schema, sum(total_compressed_size) / 1e6 FROM parquet_metadata('{files}') "
        "GROUP BY 1 ORDER BY 2 DESC LIMIT 9"
    ).fetchall()
    print("     made of: " + ", ".join(f"{name} {size:.1f}" for name, size in rows) + " (bytes a call)")


def usage_in_a_new_process(home: Path) -> float:
    program = f"from dslkit.ledger import Ledger; print(Ledger({str(home)!r}).usage().as_dict())"
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def small_segments(folder: Path, count: int = 10_000) -> None:
    home = folder / "small"
    recorder = Ledger(home).recorder()
    for number in range(2):
        one = start(number)
        recorder.reserve(one)
        recorder.settle(end(one, number))
    recorder.close()
    (made,) = Folder(home).journal.glob("*-*.jsonl")
    content = made.read_bytes()
    for number in range(count - 1):
        (made.parent / f"{number:016x}-000001.jsonl").write_bytes(content)
    seconds = usage_in_a_new_process(home)
    report(f"usage with {count:,} segments of two calls lying about", seconds, "s", "< 2", met=seconds < 2)
    begun = time.perf_counter()
    compaction.compact(Folder(home))
    print(f"     compaction of them: {time.perf_counter() - begun:.1f} s", flush=True)


def archives(folder: Path) -> None:
    home = folder / "archived"
    recorder = Ledger(home).recorder()
    for number in range(10_000):
        one = start(number)
        recorder.reserve(one)
        recorder.settle(end(one, number))
    recorder.run(Run(run_id="run-1", started_at=datetime.now(UTC) - timedelta(hours=1), status="completed"))
    recorder.close()
    Ledger(home).compact()
    size = {
        name: sum(path.stat().st_size for path in (home / "ledger" / name).glob("*.*")) for name in ("parts", "archive")
    }
    parts, archive = (size[name] / 1e4 for name in ("parts", "archive"))
    print(f"     10,000 recorded calls: parts {parts:.0f}, archive (gzip) {archive:.0f} bytes a call")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="of writing, each")
    parser.add_argument("--large", action="store_true", help="also ten million calls (some minutes, 2 GB of disk)")
    parser.add_argument("--folder", type=Path, help="where to write; a real disk, not memory")
    parser.add_argument(
        "--only", help="names of parts, joined by commas: cost, write, beside, archives, small, analyse"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dslkit-bench-", dir=options.folder))
    parts = {
        "cost": lambda: cost_of_a_call(folder),
        "write": lambda: writing(folder, options.seconds),
        "beside": lambda: reading_beside_writing(folder, options.seconds),
        "archives": lambda: archives(folder),
        "small": lambda: small_segments(folder),
        "analyse": lambda: [
            analysing(folder, calls) for calls in ([1_000_000, 10_000_000] if options.large else [1_000_000])
        ],
    }
    try:
        for name in options.only.split(",") if options.only else parts:
            parts[name]()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(missed)} targets missed; load average {os.getloadavg()[0]:.1f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
