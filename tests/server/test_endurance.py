"""Many clients for a while, then a stop in the middle of work: nothing is lost, nothing fails, nothing grows."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dslkit.ledger import Ledger
from tests.server.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.server.conftest import Served

CLIENTS = 6
ROUNDS = 12
LOOKS = 10
SLACK_MB = 15  # 2 were seen
SEARCH = "/api/v1/patterns/search?query=translate"


def wish(number: int) -> dict[str, object]:
    text = f"Summarise a document (variable document) in at most {number} words (variable summary)."
    return {"description": text, "engine": False}


def visit(served: Served, number: int, seen: list[int]) -> list[str]:
    """The run of each workflow that one client got; all statuses go to ``seen``."""
    runs = []
    with served.client() as client:
        for turn in range(ROUNDS):
            made = client.post("/api/v1/generate/simple", json=wish(number * ROUNDS + turn + 20))
            runs.append(made.json()["run_id"])
            others = [client.get(path) for path in ("/api/v1/generate/usage", "/health", "/api/v1/info", SEARCH)]
            seen += [made.status_code, *(answer.status_code for answer in others)]
    return runs


def crowd(served: Served, seen: list[int], first: int) -> list[str]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = pool.map(lambda number: visit(served, number, seen), range(first, first + CLIENTS))
        return [run for runs in found for run in runs]


def resident(served: Served) -> tuple[float, float]:
    """MB of the server, and of the processes that generate; the least of a few looks, for DuckDB gives back late."""
    return tuple(map(min, zip(*(_resident(served) for _ in range(LOOKS)), strict=True)))  # type: ignore[return-value]  # two of them


def _resident(served: Served) -> tuple[float, float]:
    served.ask("GET", "/api/v1/generate/usage")
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()]
    own = served.process.pid
    return tuple(sum(size for *who, size in rows if who[at] == own) / 1000 for at in (0, 1))  # type: ignore[return-value]  # two of them


def test_a_crowd_loses_nothing_and_a_stop_finishes_what_runs(serve: Callable[..., Served]) -> None:
    served = serve(DSLKIT_RATE_LIMIT_REQUESTS="10000")
    seen: list[int] = []
    runs = crowd(served, seen, 0)
    runs += crowd(served, seen, CLIENTS)
    server, workers = resident(served)
    runs += crowd(served, seen, 2 * CLIENTS)
    server_then, workers_then = resident(served)
    answers: list[httpx.Response] = []
    last = threading.Thread(
        target=lambda: answers.append(served.ask("POST", "/api/v1/generate/multi-agent", json=wish(7)))
    )
    last.start()
    while "multi-agent" not in served.log:  # it is under way
        last.join(0.01)
    assert served.end() == 0
    last.join(PATIENCE_S)
    runs.append(answers[0].json()["run_id"])

    assert set(seen) == {200}
    assert answers[0].status_code == 200
    assert " → 5" not in served.log
    ledger = Ledger(served.home)
    kept = ledger.sql("SELECT run_id, count(*) FROM items GROUP BY ALL").fetchall()
    assert sorted(kept) == sorted((run, 1) for run in runs)
    assert ledger.sql("SELECT DISTINCT outcome FROM calls").fetchall() == [("ok",)]
    called = ledger.sql("SELECT count(DISTINCT run_id), count(*) FROM calls").fetchall()[0]
    assert called == (len(runs), len(runs) + 2), "one each, and three for the last, whose agents ask in turn"
    assert workers_then - workers < SLACK_MB, "the processes that generate keep nothing of a request"
    assert server_then - server < SLACK_MB, "the server keeps nothing of a look at the ledger, either"
