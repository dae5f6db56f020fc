"""What the HTTP service costs and bears: ``python -m benchmarks.service`` (``--minutes 10`` looks for leaks).

Everything that is compared runs in one server in one run: our routes, and a bare handler as Jupyter Server's own are.
Each line prints what was measured, the target and whether it is met.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from benchmarks.ledger import end, fill, missed, report, start

TOKEN = "benchmark"
HEADERS = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
WISH = {"description": "Summarise a document (variable document) and return (variable summary).", "engine": False}


def wish(number: int) -> dict[str, object]:
    """Equal requests made at once would share one answer."""
    return WISH | {"description": f"{WISH['description']} At most {number + 20} words."}


def serve_with_a_bare_handler(port: int) -> None:
    """As ``dslkit serve``, and besides it a handler that does nothing but what Jupyter's own do."""
    from jupyter_server.base.handlers import APIHandler
    from jupyter_server.serverapp import ServerApp
    from tornado import web

    class Bare(APIHandler):
        @web.authenticated
        def get(self):
            self.finish(json.dumps({"status": "healthy"}))

    class Server(ServerApp):
        def init_webapp(self):
            super().init_webapp()
            self.web_app.add_handlers(".*$", [("/bare", Bare)])

    Server.launch_instance(
        [
            f"--ServerApp.port={port}",
            "--ServerApp.open_browser=False",
            "--ServerApp.jpserver_extensions={'dslkit.server': True, 'jupyterlab': False, 'jupyter_lsp': False}",
            "--DslkitService.warm=True",
            "--allow-root",
        ]
    )


@contextmanager
def serving(home: Path, log: Path, **settings: str):
    """The port of a server and its process; it is told to stop at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"DSLKIT_HOME": str(home), "JUPYTER_TOKEN": TOKEN, **settings}
    words = [sys.executable, "-m", "benchmarks.service", "--serve", str(port)]
    with log.open("wb") as file, subprocess.Popen(words, env=environment, stdout=file, stderr=file) as process:
        try:
            while not answers(port):
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield port, process
        finally:
            process.send_signal(signal.SIGTERM)


def answers(port: int) -> bool:
    try:
        return ask(http.client.HTTPConnection("127.0.0.1", port), "/health")[0] == 200
    except OSError:
        return False


def ask(line: http.client.HTTPConnection, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    line.request("POST" if body is not None else "GET", path, json.dumps(body) if body else None, HEADERS | headers)
    answer = line.getresponse()
    return answer.status, answer.read()


def turns(port: int, path: str, count: int, base: int) -> float:
    """Seconds a request takes over one connection, one after the other; each from another address.

    The client does next to nothing: what http.client needs to take the headers apart is not the server's cost.
    """
    fixed = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.perf_counter()
        for number in range(base, base + count):
            address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            line.sendall(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fixed}X-Forwarded-For: {address}\r\n\r\n".encode()
            )
            head = line.recv(65_536)  # one packet: head and body are written together
            assert (head[:12], head[-1:]) == (b"HTTP/1.1 200", b"}"), head
        return (time.perf_counter() - begun) / count


def overhead(folder: Path) -> None:
    settings = {"DSLKIT_TRUSTED_PROXIES": "127.0.0.1"}
    with serving(folder / "overhead", folder / "overhead.log", **settings) as (port, _):
        rounds = []
        for number in range(12):
            bare = turns(port, "/bare", 400, number * 400)
            ours = turns(port, "/api/v1/info", 400, number * 400)
            rounds.append((bare, ours - bare))
        bare, more = (statistics.median(values) * 1e6 for values in zip(*rounds[2:], strict=True))
    report("a request to Jupyter's bare handler", bare, "µs", "-", met=True)
    report("limit, log, ids and the route on top of it", more, "µs", "< 150", met=more < 150)


def limiter_of_a_million() -> None:
    """Resident memory and time in a process of its own."""
    code = """
import time
from dslkit.server.limiter import Limiter
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
limiter, before, begun = Limiter(100, 60.0), resident(), time.perf_counter()
for address in range(1_000_000):
    limiter.admit((1 << 64) | address * 977)
print(resident() - before, (time.perf_counter() - begun))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size, seconds = map(float, done.stdout.split())
    report("1,000,000 addresses in the limiter", size, "MB", "< 200", met=size < 200)
    report("one admission", seconds, "µs", "-", met=True)


class Load(threading.Thread):
    """Asks over and over until told to stop: ``rate`` a second, or as fast as it is answered."""

    def __init__(self, port: int, path: str, *, body: object = None, rate: float | None = None, spread: bool = False):
        super().__init__(daemon=True)
        self.port, self.path, self.body, self.rate, self.spread = port, path, body, rate, spread
        self.took: list[float] = []
        self.seen: list[tuple[float, int, bytes]] = []
        self.ending = threading.Event()

    def run(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        due = time.perf_counter()
        while not self.ending.is_set():
            if self.rate:
                time.sleep(max(0.0, due - time.perf_counter()))
            begun = due if self.rate else time.perf_counter()  # late counts as slow, also when we are late ourselves
            headers = {"X-Forwarded-For": f"10.0.{os.urandom(1)[0]}.{os.urandom(1)[0]}"} if self.spread else {}
            status, text = ask(line, self.path, self.body, **headers)
            self.took.append(time.perf_counter() - begun)
            self.seen.append((time.time(), status, text))
            due += 1 / self.rate if self.rate else 0

    def stop(self) -> Load:
        self.ending.set()
        self.join()
        return self


def share(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def write_slowly(home: str, seconds: float, written: multiprocessing.Queue) -> None:
    """Another process that records a call now and then, and says when it was durable."""
    from dslkit.ledger import Ledger

    recorder = Ledger(home).recorder()
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        call = start(number)
        recorder.reserve(call)
        recorder.settle(end(call, number))
        recorder.flush()
        number += 1
        written.put((number, time.time()))
        time.sleep(0.7)


def usage_of_a_million(folder: Path, seconds: float, calls: int) -> None:
    home = folder / "million"
    fill(home, calls)
    with serving(home, folder / "usage.log", DSLKIT_RATE_LIMIT_ENABLED="false") as (port, _):
        first = http.client.HTTPConnection("127.0.0.1", port)
        before = json.loads(ask(first, "/api/v1/generate/usage")[1])["usage_stats"]["total_requests"]
        spawn = multiprocessing.get_context("spawn")
        written = spawn.Queue()
        writer = spawn.Process(target=write_slowly, args=(str(home), seconds, written))
        writer.start()
        moments = [written.get()]
        loads = [Load(port, "/api/v1/generate/usage", rate=25.0) for _ in range(4)]
        for load in loads:
            load.start()
        while writer.is_alive() or not written.empty():
            moments.append(written.get()) if not written.empty() else time.sleep(0.05)
        time.sleep(1.2)
        took = [value for load in loads for value in load.stop().took]
        seen = sorted(
            (at, json.loads(text)["usage_stats"]["total_requests"] - before)
            for load in loads
            for at, _, text in load.seen
        )
    late = [next(at for at, count in seen if count >= number) - moment for number, moment in moments[1:]]
    p95 = share(took, 0.95) * 1000
    report(f"usage over {before:,} calls, 100 a second, p95", p95, "ms", "< 100", met=p95 < 100)
    report("usage shows another process's write after at most", max(late), "s", "< 1", met=max(late) < 1)


def generating(folder: Path, seconds: float) -> None:
    from dslkit.ledger import Ledger

    home = folder / "generate"
    with serving(home, folder / "generate.log", DSLKIT_RATE_LIMIT_ENABLED="false") as (port, _):
        ask(http.client.HTTPConnection("127.0.0.1", port), "/api/v1/generate/simple", WISH)
        health = Load(port, "/health", rate=50.0)
        loads = [Load(port, "/api/v1/generate/simple", body=wish(number)) for number in range(8)]
        for one in (*loads, health):
            one.start()
        time.sleep(seconds)
        done = [status for load in loads for _, status, _ in load.stop().seen]
        p99 = share(health.stop().took, 0.99) * 1000
    rate = len(done) / seconds
    report("workflows generated (simple, offline, no engine run)", rate, "a second", ">= 20", met=rate >= 20)
    report("GET /health beside that, p99", p99, "ms", "< 100", met=p99 < 100)
    kept = Ledger(home).sql("SELECT count(*) FROM items").fetchall()[0][0]
    whole = set(done) == {200} and kept == len(done) + 1
    report("answers that are in the ledger as items", kept - 1, f"of {len(done)}", "all", met=whole)


def admitted_under_load(folder: Path) -> None:
    """Nobody may see more than the limit in any window, however many connections ask."""
    limit, period = 100, 3.0
    settings = {"DSLKIT_RATE_LIMIT_REQUESTS": str(limit), "DSLKIT_RATE_LIMIT_PERIOD": str(period)}
    with serving(folder / "limit", folder / "limit.log", **settings) as (port, _):
        loads = [Load(port, "/api/v1/info") for _ in range(4)]
        begun = time.perf_counter()
        for load in loads:
            load.start()
        time.sleep(4 * period + 1.0)
        statuses = [status for load in loads for _, status, _ in load.stop().seen]
        windows = int((time.perf_counter() - begun) / period) + 1
    admitted = statuses.count(200)
    exact = admitted == windows * limit and set(statuses) == {200, 429}
    report(
        f"admitted in {windows} windows of {limit}", admitted, f"of {len(statuses):,}", f"{windows * limit}", met=exact
    )


def resident(pid: int) -> tuple[float, float]:
    """MB of the server, and of the processes that generate."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    return tuple(sum(row[2] for row in rows if row[at] == pid) / 1000 for at in (0, 1))


def grown(who: str, sizes: list[float]) -> None:
    """The mean of the last quarter against that of the one before: a peak while the ledger is read is no growth."""
    quarter = max(1, len(sizes) // 4)
    growth = statistics.mean(sizes[-quarter:]) - statistics.mean(sizes[-2 * quarter : -quarter])
    report(f"memory of {who}, mean of the last quarter", statistics.mean(sizes[-quarter:]), "MB", "-", met=True)
    report(f"memory of {who}, at most", max(sizes), "MB", "-", met=True)
    report(f"memory of {who}, last quarter against the third", growth, "MB", "< 10", met=growth < 10)


def enduring(folder: Path, minutes: float) -> None:
    """A mixed load: no leak, no 5xx, everything in the ledger, and a stop that finishes what runs."""
    from dslkit.ledger import Ledger

    home = folder / "enduring"
    settings = {"DSLKIT_TRUSTED_PROXIES": "127.0.0.1", "DSLKIT_RATE_LIMIT_REQUESTS": "10000"}
    with serving(home, folder / "enduring.log", **settings) as (port, process):
        loads = [Load(port, "/api/v1/generate/simple", body=wish(n), spread=True) for n in range(3)]
        loads += [
            Load(port, path, rate=10.0, spread=True) for path in ("/api/v1/generate/usage", "/health", "/api/v1/info")
        ]
        loads.append(Load(port, "/api/v1/patterns/search?query=translate", rate=2.0, spread=True))
        for load in loads:
            load.start()
        sizes = []
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            time.sleep(min(5.0, minutes * 6))
            sizes.append(resident(process.pid))
        seen = [(load.path, status) for load in loads for _, status, _ in load.stop().seen]
        last = Load(port, "/api/v1/generate/multi-agent", body=WISH)
        last.start()
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        last.ending.set()
        last.join()
        code = process.wait(60)
    report(f"requests in {minutes:g} minutes", len(seen), "", "-", met=True)
    report("answers of 5xx", sum(status >= 500 for _, status in seen), "", "0", met=all(s < 500 for _, s in seen))
    for who, which in zip(("the server", "the generating processes"), zip(*sizes, strict=True), strict=True):
        grown(who, list(which))
    made = sum("generate/simple" in path and status == 200 for path, status in seen) + len(last.seen)
    kept = Ledger(home).sql("SELECT count(*), count(DISTINCT run_id) FROM items").fetchall()[0]
    report("workflows in the ledger", kept[0], f"of {made}", "all", met=kept == (made, made))
    stopped = code == 0 and [status for _, status, _ in last.seen] == [200]
    report("SIGTERM: what ran was answered, exit code", code, "", "0", met=stopped)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=float, default=0.3, help="of mixed load")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each other load")
    parser.add_argument("--calls", type=int, default=1_000_000, help="in the ledger that usage is asked of")
    parser.add_argument("--only", default="", help="overhead, limiter, limit, usage, generate, enduring")
    options = parser.parse_args()
    if options.serve:
        serve_with_a_bare_handler(options.serve)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {
            "overhead": lambda: overhead(folder),
            "limiter": limiter_of_a_million,
            "limit": lambda: admitted_under_load(folder),
            "usage": lambda: usage_of_a_million(folder, options.seconds, options.calls),
            "generate": lambda: generating(folder, options.seconds),
            "enduring": lambda: enduring(folder, options.minutes),
        }
        for part, measure in parts.items():
            if options.only in {"", part}:
                measure()
    print(f"missed: {', '.join(missed) or 'nothing'}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
