"""Many at once, for long: 512 calls in flight, then 10,000 answers streamed by 200 readers; what is left of them after.

    python benchmarks/crowd.py

Needs the fake server of the third-party data (DSLKIT_SHARED, default ../shared): loopback only.  The server counts what
is in flight; connections, tasks and memory are counted here, after a first thousand streams and after all of them.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dslkit.connect import async_openai_client, throttle_status
from dslkit.llm.limits import Limits
from dslkit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import AsyncOpenAI

SHARED = Path(os.environ.get("DSLKIT_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))
IN_FLIGHT, CALLS = 512, 2048
READERS, STREAMS, WARM_UP = 200, 10_000, 1_000
UNHURRIED = {"lat_median": 1.5}  # so that readers wait for the server, not it for them
FILES_OF_THE_LEDGER = 6
GROWTH_KB = 0.2  # of memory for each streamed answer, at most


class Held(NamedTuple):
    """What this process holds."""

    files: int
    tasks: int
    memory_kb: float

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
        return cls(files, len(asyncio.all_tasks()), pages * os.sysconf("SC_PAGE_SIZE") / 1024)


def main() -> int:
    with fake_server() as url:
        rows = asyncio.run(measure(url))
    print("| what | measured | target | |\n|---|---|---|---|")
    for name, measured, most, good in rows:
        print(f"| {name} | {measured} | {most} | {'met' if good else 'MISSED'} |")
    return 0 if all(row[-1] for row in rows) else 1


async def measure(url: str) -> list[tuple[str, str, str, bool]]:
    at_first = Held.now()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), openai_api_key="sk-x", openai_base_url=url, _env_file=None)
        limits = Limits(requests=10**7, concurrency=IN_FLIGHT)
        async with async_openai_client(settings=settings, limits=limits) as client:
            in_flight = await crowd(client, url)
            call(url, "/reset", UNHURRIED)
            await stream(client, WARM_UP)
            warm = Held.now()
            call(url, "/reset", UNHURRIED)
            chunks = await stream(client, STREAMS)
            done = Held.now()
            stats, gate = call(url, "/stats"), throttle_status(client)[0].gate
        await asyncio.sleep(0.1)
        closed = Held.now()
    grown = (done.memory_kb - warm.memory_kb) / STREAMS
    left = gate.in_flight + gate.waiting
    return [
        ("in flight at the server, at most", str(in_flight), f"= {IN_FLIGHT}", in_flight == IN_FLIGHT),
        ("streams read to their end", str(chunks), f"= {STREAMS}", chunks == STREAMS),
        ("streams in flight at the server, at most", str(stats["in_flight_max"]), f"= {READERS}",
         stats["in_flight_max"] == READERS),
        ("refused, answered twice", f"{stats.get('refused', 0)}, {stats['dup_ok']}", "0, 0",
         not stats.get("refused") and not stats["dup_ok"]),
        ("files open, warm and after", f"{warm.files}, {done.files}", "no more", done.files <= warm.files),
        ("tasks, warm and after", f"{warm.tasks}, {done.tasks}", "no more", done.tasks <= warm.tasks),
        ("kB of memory for each stream", f"{grown:.3f}", f"<= {GROWTH_KB}", grown <= GROWTH_KB),
        ("in flight or waiting after", str(left), "0", left == 0),
        ("connections open once closed", str(closed.files - at_first.files), "few: the ledger's",
         closed.files - at_first.files <= FILES_OF_THE_LEDGER),
        ("tasks once closed", str(closed.tasks), f"= {at_first.tasks}", closed.tasks == at_first.tasks),
    ]  # fmt: skip


async def crowd(client: AsyncOpenAI, url: str) -> int:
    """Most in flight at the server while far more are gathered."""
    call(url, "/reset", {"lat_median": 2.0, "lat_sigma": 0.1})
    await asyncio.gather(*[client.chat.completions.create(**question(number)) for number in range(CALLS)])
    most: int = call(url, "/stats")["in_flight_max"]
    return most


async def stream(client: AsyncOpenAI, count: int) -> int:
    """Read so many streams, ``READERS`` at a time; returns how many came to their end."""
    numbers, finished = iter(range(count)), 0

    async def read() -> None:
        nonlocal finished
        for number in numbers:
            last: Any = None
            async for chunk in await client.chat.completions.create(stream=True, **question(number)):
                last = chunk
            finished += last.choices[0].finish_reason == "stop"

    await asyncio.gather(*[read() for _ in range(READERS)])
    return finished


def question(number: int) -> dict[str, Any]:
    message = {"role": "user", "content": f"[rid:{number}] say it"}
    return {"model": "gpt-4o-mini", "messages": [message], "max_tokens": 20}


def call(url: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url.removesuffix("/v1") + path, data), timeout=10) as reply:
        return json.load(reply)


@contextmanager
def fake_server() -> Iterator[str]:
    command = [sys.executable, str(SHARED / "bench" / "fake_openai.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}/v1"
        finally:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
