"""A batch made by several processes: the same results, and no death of any of them loses or doubles an item."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from model_server import RefusalError, serving

from dslkit.agents import offline_author
from dslkit.batch import generate_batch
from dslkit.batch.answers import ItemAnswers
from dslkit.batch.made import MadeLog
from dslkit.errors import AccountError, UsageError
from dslkit.ledger import Ledger
from dslkit.records import Requirement
from dslkit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from dslkit.batch import BatchResult
    from dslkit.records import Item
    from tests.batch.model_server import ModelServer

WANTED = tuple(
    Requirement(
        id=f"r{number}",
        messages=(f"Sort a ticket (variable ticket{number}) into fault or question. Return it (variable kind).",),
        inputs=(f"ticket{number}",),
        tags={"team": "desk"},
    )
    for number in range(8)
)


@pytest.fixture
def home() -> Path:
    return Path(os.environ["DSLKIT_HOME"])


def run(*requirements: Requirement, **choices: Any) -> BatchResult:
    made = generate_batch(requirements, **{"out": "out", "engine": False, "workers": 2, **choices})
    return asyncio.run(asyncio.wait_for(made, 120))


def real(server: ModelServer) -> Settings:
    return Settings(openai_api_key="sk-test", openai_base_url=server.url, requests_per_minute=10_000, model="m")


def workers(of: int | None = None) -> list[psutil.Process]:
    """The workers of a batch in the process ``of``, by default this one."""
    children = psutil.Process(of).children()
    return [each for each in children if "dslkit.batch.worker" in " ".join(each.cmdline())]


def paid(home: Path) -> dict[str, int]:
    """Paid answers by item."""
    query = "SELECT item_id, count(*) FROM calls WHERE outcome = 'ok' AND NOT cache_hit GROUP BY item_id"
    return dict(Ledger(home).sql(query).fetchall())


def test_workers_make_what_one_process_makes(home: Path) -> None:
    """Equal files, verdicts and judgements, in order; all on one run; nobody is left."""
    alone = run(*WANTED, workers=1, out="alone")
    seen: list[Item] = []
    together = run(*WANTED, redo="all", progress=seen.append)
    assert [item.item_id for item in together.items] == [requirement.id for requirement in WANTED]
    assert [item.artefact_sha256 for item in together.items] == [item.artefact_sha256 for item in alone.items]
    assert [item.judgement for item in together.items] == [item.judgement for item in alone.items]
    assert sorted(item.item_id for item in seen) == sorted(requirement.id for requirement in WANTED)
    assert together.verdicts == alone.verdicts == {"clean": 8}
    rows = Ledger(home).sql(f"SELECT DISTINCT tags['team'], pid FROM calls WHERE run_id = '{together.run_id}'")
    teams, pids = zip(*rows.fetchall(), strict=True)
    assert set(teams) == {"desk"}
    assert len(set(pids)) == 2
    assert os.getpid() not in pids
    assert workers() == []
    assert not Ledger(home).verify().lost


def test_what_is_done_starts_no_worker(home: Path) -> None:
    first = run(*WANTED, workers=1)
    seen: list[int] = []
    second = run(*WANTED, progress=lambda _: seen.append(len(workers())))
    assert {item.reused_from for item in second.items} == {first.run_id}
    assert seen == [0] * 8


def test_equal_requirements_are_asked_once(home: Path) -> None:
    """Whichever worker comes to them, at once or later."""
    twins = [replace(WANTED[0], id=name) for name in "abcdefgh"]
    with serving(offline_author.answer, latency_s=0.05) as server:
        result = run(*twins, settings=real(server), model="m", concurrency=4)
        assert len(server.asked) == 1
    assert result.verdicts == {"clean": 8}


def test_a_worker_that_is_killed_loses_no_item(home: Path) -> None:
    """At the first item both are killed; what they were at is made by others, and paid for once."""
    killed: list[int] = []

    def kill(_: Item) -> None:
        if not killed:
            for worker in workers():
                killed.append(worker.pid)
                worker.kill()

    with serving(offline_author.answer, latency_s=0.05) as server:
        result = run(*WANTED, settings=real(server), model="m", concurrency=4, progress=kill)
    assert len(killed) == 2
    assert result.verdicts == {"clean": 8}
    assert paid(home).keys() <= {requirement.id for requirement in WANTED}
    assert max(paid(home).values()) == 1
    assert workers() == []
    assert not Ledger(home).verify().lost


def test_an_item_that_kills_its_worker_fails_alone(home: Path) -> None:
    """After three tries; those beside it are made, before it kills, as only its own worker is to be struck."""
    ledger = Ledger(home)

    def answer(messages: list[dict[str, Any]]) -> str:
        if "ticket0" in json.dumps(messages):
            until = time.monotonic() + 30
            while ledger.sql("SELECT count(*) FROM items").fetchall() != [(2,)] and time.monotonic() < until:
                time.sleep(0.02)
            for worker in workers():
                worker.kill()
        return offline_author.answer(messages)

    with serving(answer) as server:
        result = run(*WANTED[:3], settings=real(server), model="m", concurrency=1)
    first, *others = result.items
    assert (first.verdict, first.error_type) == ("failed", "WorkerGoneError")
    assert "killed by signal 9" in str(first.error_message)
    assert [item.verdict for item in others] == ["clean", "clean"]


def test_a_refused_account_stops_all_workers(home: Path) -> None:
    def refuse(_: list[dict[str, Any]]) -> str:
        raise RefusalError(401, "invalid_api_key")

    with serving(refuse) as server, pytest.raises(AccountError, match="OPENAI_API_KEY") as caught:
        run(*WANTED, settings=real(server), model="m")
    assert caught.value.http_status == 401
    assert workers() == []
    assert Ledger(home).sql("SELECT status, error_type FROM runs").fetchall() == [("failed", "AccountError")]


def test_workers_that_never_come_up_are_told(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "sitecustomize.py").write_text("import os; os._exit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "early"))
    with pytest.raises(Exception, match="left with exit code 3"):
        run(*WANTED)


@pytest.mark.parametrize("choice", [{"workers": 0}, {"concurrency": 0}])
def test_there_must_be_somebody_to_work(choice: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        run(*WANTED, **choice)


def test_twins_are_refused() -> None:
    with pytest.raises(UsageError, match="stands twice"):
        run(WANTED[0], WANTED[0])


BATCH = """
import asyncio, json, sys
from dslkit.batch import generate_batch
from tests.batch.test_workers import WANTED
asyncio.run(generate_batch(WANTED, out="out", model="m", engine=False, workers=2))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_batch(home: Path, number: signal.Signals) -> None:
    """Killed, or stopped by Ctrl-C, in the middle; the next batch pays for what was not answered."""
    root = Path(__file__).resolve().parents[2]
    with serving(offline_author.answer, latency_s=0.2) as server:
        environment = {**os.environ, "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.url}
        environment |= {"PYTHONPATH": os.pathsep.join((str(root), str(Path(__file__).parent)))}
        with subprocess.Popen([sys.executable, "-c", BATCH], env=environment, stderr=subprocess.DEVNULL) as batch:
            assert eventually(lambda: server.answered >= 2)
            left = workers(batch.pid)
            assert len(left) == 2
            batch.send_signal(number)
            batch.wait(30)
        assert eventually(lambda: not any(alive(worker) for worker in left)), "an orphan worker"
        result = run(*WANTED, settings=real(server), model="m")
    assert result.verdicts == {"clean": 8}
    assert max(paid(home).values()) == 1
    assert not list((home / "answers").rglob("*.asking"))
    assert not Ledger(home).verify().lost


def test_claims_of_the_dead_are_cleared_away(home: Path) -> None:
    """The living keep theirs."""
    answers = ItemAnswers.below(home)
    left = home / "answers" / "claims" / "ab" / f"{'c' * 38}.asking"
    left.parent.mkdir(parents=True)
    left.touch()
    held = answers._claims.lock("d" * 40)
    answers.clear_claims()
    assert [path.name for path in left.parents[1].rglob("*.asking")] == [f"{'d' * 38}.asking"]
    assert held is not None
    answers._claims.unlock("d" * 40, held)


def test_the_log_of_what_is_made(tmp_path: Path) -> None:
    """Seen from where each batch began; begun anew by who comes when nobody is at work."""
    first = MadeLog(tmp_path / "made")
    first.add("a" * 40)
    second = MadeLog(tmp_path / "made")
    first.add("b" * 40)
    assert (first.has("a" * 40), first.has("b" * 40), first.has("c" * 40)) == (True, True, False)
    assert (second.has("a" * 40), second.has("b" * 40)) == (False, True)
    worker = MadeLog(tmp_path / "made", since=first.since)
    assert worker.has("a" * 40)
    for log in (first, second, worker):
        log.close()
    MadeLog(tmp_path / "made").close()
    assert (tmp_path / "made").stat().st_size == 0


def eventually(condition: Callable[[], bool], patience_s: float = 60.0) -> bool:
    """Whether it becomes true; other processes are at work, so real time must pass."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
