"""A real model: real HTTP, limits that bite, faults, retries; every attempt in the ledger, and no secret anywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from model_server import RefusalError, serving

from dslkit.agents import offline_author
from dslkit.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

WISHES = "".join(f"Sort a ticket (variable ticket) of team {n} and answer it (variable answer).\n" for n in range(8))
KEY = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz0123456789"
DIRECT = ("--no-engine", "--no-notebook", "--no-report")
RUN = "from dslkit.cli import main; main()"


def dslkit(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with a key and a server."""
    return subprocess.run(
        [sys.executable, "-c", RUN, *words],
        env={**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url, "DSLKIT_REQUESTS_PER_MINUTE": "10000"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def wishes(tmp_path: Path) -> str:
    path = tmp_path / "wishes.txt"
    path.write_text(WISHES)
    return str(path)


@contextmanager
def fake_openai(shared: Path, **config: Any) -> Iterator[str]:
    """The loopback server of the test data, on a free port, with the faults asked for."""
    script = shared / "bench" / "fake_openai.py"
    server = subprocess.Popen([sys.executable, str(script), "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"ready (\d+)", server.stdout.readline())
        assert found is not None
        root = f"http://127.0.0.1:{found[1]}"
        ask(f"{root}/reset", config)
        yield root
    finally:
        server.kill()
        server.communicate()


def ask(url: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if config is None else json.dumps(config).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data)) as answer:
        return dict(json.load(answer))


@pytest.mark.shared
def test_every_attempt_is_in_the_ledger(shared: Path, wishes: str) -> None:
    """A limit that bites, a server that errs, replies that are no plan: what the server counted, the ledger counts."""
    # Without rate limit headers the client learns of the limit by being refused.
    faults = {"window": 1.0, "requests": 6, "p500": 0.15, "lat_median": 0.02, "seed": 3, "rl_headers": False}
    with fake_openai(shared, **faults) as root:
        done = dslkit(f"{root}/v1", "batch", wishes, "--model", "gpt-4o-mini", "--max-rounds", "1", *DIRECT)
        stats = ask(f"{root}/stats")
    assert done.returncode == 1, done.stderr
    assert "8 items: 8 errors" in done.stdout
    ledger = Ledger(os.environ["DSLKIT_HOME"])
    counted = dict(ledger.sql("SELECT http_status, count(*) FROM calls GROUP BY http_status").fetchall())
    assert counted == {200: stats["ok"], 429: stats["refused"], 500: stats["f500"]}
    assert stats["ok"] == 16
    assert stats["refused"] > 0
    assert stats["f500"] > 0
    answered = "SELECT count(*) FROM (SELECT call_id FROM calls GROUP BY call_id HAVING bool_or(outcome = 'ok'))"
    assert ledger.sql(answered).fetchall() == [(16,)]
    assert not list(Path().glob("out/*"))


def test_the_same_job_with_a_real_model(wishes: str) -> None:
    """One change: a key and a model's name.  The answers come over HTTP, priced, and compile."""
    with serving(offline_author.answer) as server:
        done = dslkit(server.url, "batch", wishes, "--model", "gpt-4o-mini", *DIRECT)
        assert done.returncode == 0, done.stderr
        assert len(server.asked) == 8
    ledger = Ledger(os.environ["DSLKIT_HOME"])
    assert ledger.sql("SELECT count(*), count(cost_usd), sum(cost_usd) > 0 FROM calls").fetchall() == [(8, 8, True)]
    assert "8 clean" in done.stdout


def test_no_secret_is_printed_or_kept(wishes: str, tmp_path: Path) -> None:
    """Not even when the server's refusal repeats the key; the message says what to do."""

    def refuse(_: list[dict[str, Any]]) -> str:
        raise RefusalError(401, "invalid_api_key", f"Incorrect API key provided: {KEY}.")

    with serving(refuse) as server:
        done = dslkit(server.url, "batch", wishes, "--model", "m", *DIRECT)
    assert done.returncode == 1
    assert "check OPENAI_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert kept == []
