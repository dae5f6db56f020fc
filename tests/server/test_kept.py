"""What is kept of jobs and requests for those who come back, and for how long."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from dslkit.server import jobs as module
from dslkit.server.jobs import CUT_OFF, FINISHED_KEPT_S, Job, Jobs
from dslkit.server.worker import STALE_S, RequestAnswers
from tests.batch.model_server import serving as model
from tests.server.test_lifecycle import POST, WISH, settled, slow_model, with_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.conftest import Served


def test_a_job_that_was_promised_is_found_after_a_restart(serve: Callable[..., Served]) -> None:
    first = serve()
    where = first.ask("POST", f"{POST}?wait=false", json=WISH).headers["Location"]
    assert first.end() == 0, "what runs is finished"
    then = serve(DSLKIT_HOME=str(first.home))
    state = then.ask("GET", where).json()
    assert (state["status"], state["result"]["verdict"]) == ("done", "clean")
    assert '"result": {' in then.ask("GET", f"{where}/events").text
    assert then.ask("DELETE", where).status_code == 409


def test_a_job_whose_server_was_killed_has_failed(serve: Callable[..., Served]) -> None:
    release = threading.Event()
    with model(slow_model(release)) as server:
        killed = with_model(serve, server)
        where = killed.ask("POST", f"{POST}?wait=false", json=WISH).headers["Location"]
        settled(lambda: bool(server.asked))
        killed.end(signal.SIGKILL)
        release.set()
        state = with_model(serve, server, DSLKIT_HOME=str(killed.home)).ask("GET", where).json()
    assert (state["status"], state["problem"]["detail"]) == ("failed", CUT_OFF)


def kept(folder: Path, count: int) -> list[Job]:
    """Jobs that are done, and their files."""

    async def keep() -> list[Job]:
        jobs, made = Jobs(folder), [Job(asked={}) for _ in range(count)]
        for job in made:
            jobs.keep(job)
            job.tell("done")
        await jobs.settled()
        return made

    return asyncio.run(keep())


def test_files_of_jobs_go_after_an_hour(tmp_path: Path) -> None:
    old, new = kept(tmp_path, 2)
    written = (tmp_path / old.id).stat().st_mtime
    os.utime(tmp_path / new.id, (written + 10, written + 10))
    jobs = Jobs(tmp_path)
    jobs.drop_stale(written + FINISHED_KEPT_S + 1)
    assert jobs.get(old.id) is None
    found = jobs.get(new.id)
    assert found is not None
    assert (found.status, found.finished) == ("done", True)


def test_files_of_jobs_are_bounded_in_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path, 5)
    monkeypatch.setattr(module, "FILES_KEPT", 2)
    Jobs(tmp_path).drop_stale(time.time())
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["../secret", "..", "", "3fa85f64-5717-4562-b3fc-2c963f66afa6", "secret"])
def test_no_other_file_is_taken_for_a_job(name: str, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "jobs"):
        place.mkdir(exist_ok=True)
        (place / "secret").write_text('{"id": "x", "status": "done", "events": [], "result": "1", "problem": null}')
    assert Jobs(tmp_path / "jobs").get(name) is None


def test_a_folder_that_cannot_be_written_costs_the_file_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    [job] = kept(tmp_path / "file" / "jobs", 1)
    assert job.status == "done"
    assert "in memory only" in caplog.text


def test_answers_of_requests_that_are_not_sent_again_go_after_a_day(tmp_path: Path) -> None:
    answers = RequestAnswers(tmp_path)
    for name in ("cancelled", "again"):
        (tmp_path / name / "0").mkdir(parents=True)
    left = (tmp_path / "cancelled").stat().st_mtime
    os.utime(tmp_path / "again", (left + 10, left + 10))
    answers.drop_stale(left + STALE_S - 1)
    assert len(list(tmp_path.iterdir())) == 2
    answers.drop_stale(left + STALE_S + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_a_server_that_starts_clears_away_what_was_left(serve: Callable[..., Served], tmp_path: Path) -> None:
    folder = tmp_path / "home" / "answers" / "requests" / "cancelled-before"
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    serve(DSLKIT_HOME=str(tmp_path / "home"))
    settled(lambda: not folder.exists())
