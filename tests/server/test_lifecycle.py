"""What happens when clients leave, processes die, and the server is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dslkit.agents.offline_author import answer
from dslkit.ledger import Ledger
from tests.batch.model_server import serving as model
from tests.server.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.batch.model_server import ModelServer
    from tests.server.conftest import Served

WISH = {"description": "Summarise a document (variable document) into (variable summary).", "engine": False}
POST = "/api/v1/generate/simple"


def settled(held: Callable[[], bool], seconds: float = 200) -> None:
    """Wait until it holds."""
    until = time.monotonic() + seconds
    while not held():
        assert time.monotonic() < until
        time.sleep(0.02)


def slow_model(release: threading.Event) -> Callable[[list[dict[str, Any]]], str]:
    def reply(messages: list[dict[str, Any]]) -> str:
        release.wait(60)
        return answer(messages)

    return reply


def with_model(serve: Callable[..., Served], server: ModelServer, **more: str) -> Served:
    return serve(DSLKIT_MODEL="gpt-4o-mini", OPENAI_API_KEY="any", OPENAI_BASE_URL=server.url, **more)


def workers_of(served: Served) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(None, 2) for line in listed]
    return [int(pid) for pid, parent, words in rows if int(parent) == served.process.pid and "server.worker" in words]


def test_who_goes_away_stops_paying(serve: Callable[..., Served]) -> None:
    release = threading.Event()
    with model(slow_model(release)) as server:
        served = with_model(serve, server)
        body = b'{"description": "Summarise a document (variable document).", "engine": false}'
        head = f"POST {POST} HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {TOKEN}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", served.port)) as line:
            line.sendall(head.encode() + body)
            settled(lambda: bool(server.asked))
        ledger = Ledger(served.home)
        settled(lambda: ledger.sql("SELECT outcome FROM calls").fetchall() == [("cancelled",)])
        assert "→ 499" in served.log
        assert ledger.sql("SELECT status FROM runs").fetchall() == [("interrupted",)]
        release.set()
        assert served.ask("POST", POST, json=WISH).json()["verdict"] == "clean"


def test_a_job_is_cancelled_on_request(serve: Callable[..., Served]) -> None:
    release = threading.Event()
    with model(slow_model(release)) as server:
        served = with_model(serve, server)
        where = served.ask("POST", f"{POST}?wait=false", json=WISH).headers["Location"]
        settled(lambda: bool(server.asked))
        assert served.ask("DELETE", where).status_code == 200
        assert served.ask("GET", where).json()["status"] == "cancelled"
        assert served.ask("DELETE", where).status_code == 409
        settled(lambda: Ledger(served.home).sql("SELECT outcome FROM calls").fetchall() == [("cancelled",)])
        release.set()


def test_equal_requests_do_not_wait_for_each_other(serve: Callable[..., Served]) -> None:
    """Each is answered by the model itself, however long another takes."""
    release = threading.Event()
    with model(slow_model(release)) as server:
        served = with_model(serve, server)
        places = [served.ask("POST", f"{POST}?wait=false", json=WISH).headers["Location"] for _ in range(3)]
        settled(lambda: len(server.asked) == 3)
        release.set()
        for where in places:
            settled(lambda where=where: served.ask("GET", where).json()["status"] == "done")  # type: ignore[misc]  # a lambda with a default
    assert not list((served.home / "answers" / "requests").glob("*")), "nothing stays of what is done"


def test_a_job_outlives_its_process_and_ends_with_the_second(serve: Callable[..., Served]) -> None:
    release = threading.Event()
    with model(slow_model(release)) as server:
        served = with_model(serve, server, DSLKIT_WORKERS="1")
        wishes = [
            WISH | {"description": f"Translate a text (variable text) into {word}."} for word in ("Greek", "Welsh")
        ]
        once, twice = (served.ask("POST", f"{POST}?wait=false", json=one).headers["Location"] for one in wishes)
        settled(lambda: len(server.asked) >= 2)
        os.kill(workers_of(served)[0], signal.SIGKILL)
        settled(lambda: len(server.asked) >= 4)
        assert [one["event"] for one in served.ask("GET", once).json()["events"]][-2:] == ["started", "stage"]
        os.kill(workers_of(served)[0], signal.SIGKILL)
        settled(lambda: served.ask("GET", twice).json()["status"] == "failed")
        assert "died" in served.ask("GET", once).json()["problem"]["detail"]
        release.set()
        assert served.ask("POST", POST, json=WISH).status_code == 200


def test_sigterm_finishes_what_runs_and_exits_0(serve: Callable[..., Served]) -> None:
    release = threading.Event()
    with model(slow_model(release)) as server:
        served = with_model(serve, server)
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(served.ask("POST", POST, json=WISH)))
        asking.start()
        settled(lambda: bool(server.asked))
        workers = workers_of(served)
        served.process.send_signal(signal.SIGTERM)
        settled(lambda: "Shutting down" in served.log)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{served.url}/health")
        release.set()
        asking.join()
        assert served.process.wait(200) == 0
    assert answers[0].status_code == 200
    assert answers[0].json()["workflow"]
    assert Ledger(served.home).sql("SELECT outcome FROM calls").fetchall() == [("ok",)]
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_model_that_refuses_the_key_is_the_gateways_problem(serve: Callable[..., Served]) -> None:
    from tests.batch.model_server import RefusalError

    def refuse(_: list[dict[str, Any]]) -> str:
        raise RefusalError(401, "invalid_api_key", "Incorrect API key provided: sk-abcdefgh12345678")

    with model(refuse) as server:
        served = with_model(serve, server)
        problem = served.ask("POST", POST, json=WISH)
    assert (problem.status_code, problem.headers["Content-Type"]) == (502, "application/problem+json")
    assert "sk-abcdefgh12345678" not in problem.text + served.log


def test_what_takes_too_long_is_given_up(serve: Callable[..., Served]) -> None:
    release = threading.Event()
    with model(slow_model(release)) as server:
        served = with_model(serve, server, DSLKIT_GENERATE_TIMEOUT="0.5")
        assert served.ask("POST", POST, json=WISH).status_code == 504
        settled(lambda: ("running",) not in Ledger(served.home).sql("SELECT status FROM runs").fetchall())
        release.set()
        assert served.end() == 0, "what was given up holds up nothing"


def test_usage_shows_what_another_process_writes_while_it_lives(served: Served) -> None:
    """How soon is a matter of the clock (test_board), and measured by the benchmark."""
    before = usage_of(served)
    script = (
        "import dslkit; from dslkit.agents.offline_author import answer\n"
        "client = dslkit.openai_client(answer=answer)\n"
        "client.chat.completions.create(model='offline', messages=[{'role': 'user', 'content': 'Hello'}])\n"
        "print('written', flush=True); input()"
    )
    environment = os.environ | {"DSLKIT_HOME": str(served.home)}
    words = [sys.executable, "-c", script]
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "written\n"
        settled(lambda: usage_of(served) == before + 1)
        other.communicate("\n")


def usage_of(served: Served) -> int:
    total: int = served.ask("GET", "/api/v1/generate/usage").json()["usage_stats"]["total_requests"]
    return total
