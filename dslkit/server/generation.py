"""Routes that make workflows and tell what that cost."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from dslkit.batch.recipe import MAX_ROUNDS
from dslkit.server.models import (
    Done,
    GenerateAnswer,
    GenerateQuery,
    GenerateRequest,
    JobAccepted,
    JobState,
    ServiceState,
    UsageAnswer,
)
from dslkit.server.pool import BusyError, StoppingError
from dslkit.server.problems import ProblemError, without_secrets
from dslkit.server.routes import Reply, Request, Route
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from dslkit.records import Mode
    from dslkit.server.jobs import Job

WAIT_S = 120.0  # longer than that a connection is better not held open: proxies cut it
RETRY_S = 5
_STATUS = "/api/v1/generate/status"
_MODES: dict[str, Mode] = {"simple": "simple", "full": "rag", "multi-agent": "multi_agent"}


async def _generate(request: Request, mode: Mode) -> Reply:
    """Answer when it is done; after two minutes, or at once when asked so, with where to look for it."""
    job = _taken_on(request, mode)
    if request.streams:
        return Reply(events_of=job, cancels=True)
    if request.query.wait:
        await _first(job.end(), request.gone.wait())
        if request.gone.is_set():
            request.service.pool.cancel(job)
            raise ProblemError(499, "The client left before the answer.")
        if job.finished:
            return _outcome(job, request)
    request.service.pool.jobs.keep(job)
    where = f"{request.base_url}{_STATUS}/{job.id}"
    accepted = JobAccepted(id=job.id, status=job.status, location=where, events=f"{where}/events")
    return Reply(content=accepted, status=202, headers={"Location": where})


def _taken_on(request: Request, mode: Mode) -> Job:
    body: GenerateRequest = request.body
    service = request.service
    model = body.model or service.settings.model
    if model != OFFLINE_MODEL and service.settings.openai_api_key is None:
        raise ProblemError(
            422, "A real model needs a key: set OPENAI_API_KEY where the server runs, or ask the model 'offline'."
        )
    wishes = body.preferences
    asked = {
        **body.model_dump(include={"description", "model", "app_mode", "engine", "name"}),
        "mode": "simple" if mode == "rag" and not body.use_rag else mode,
        "complexity": wishes.complexity if wishes else None,
        "max_rounds": MAX_ROUNDS if wishes is None or wishes.max_iterations is None else wishes.max_iterations,
        "request_id": request.request_id,
    }
    try:
        return service.pool.submit(asked)
    except BusyError:
        raise ProblemError(503, "Too much is waiting already.", headers={"Retry-After": str(RETRY_S)}) from None
    except StoppingError:
        raise ProblemError(503, "The server is stopping.", headers={"Retry-After": str(RETRY_S)}) from None


def _outcome(job: Job, request: Request) -> Reply:
    if job.result is not None:
        return Reply(content=job.result, headers={"Content-Location": f"{request.base_url}{_STATUS}/{job.id}"})
    problem = dict(job.problem or {"status": 409, "detail": "It was cancelled."})
    raise ProblemError(problem.pop("status"), problem.pop("detail"), more=problem)


async def _first(*waits: Any) -> None:
    """Return when one of them has, or after the longest time that a connection is held."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    _, pending = await asyncio.wait(tasks, timeout=WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


def _job(request: Request) -> Job:
    job = request.service.pool.jobs.get(request.path["job_id"])
    if job is None:
        raise ProblemError(404, "No such job. Results are kept for an hour.")
    return job


async def _state(request: Request) -> Reply:
    job = _job(request)
    if request.streams:
        return Reply(events_of=job)
    state: dict[str, Any] = {"id": job.id, "status": job.status, "events": job.events}
    if job.problem is not None:
        state["problem"] = without_secrets(job.problem)
    text = json.dumps(state)
    return Reply(content=text if job.result is None else f'{text[:-1]}, "result": {job.result}}}')


async def _events(request: Request) -> Reply:
    return Reply(events_of=_job(request))


async def _cancel(request: Request) -> Done:
    job = _job(request)
    if job.finished:
        raise ProblemError(409, f"It is {job.status} already.")
    request.service.pool.cancel(job)
    return Done(message="It is cancelled; what was asked of a model until now is in the ledger.")


async def _service_state(request: Request) -> ServiceState:
    pool = request.service.pool
    return ServiceState(
        workers=pool.size,
        running=pool.jobs.count("running"),
        queued=pool.jobs.count("queued"),
        finished=pool.jobs.count("done", "failed", "cancelled"),
        model=request.service.settings.model,
        modes=list(_MODES),
    )


async def _usage(request: Request) -> UsageAnswer:
    return UsageAnswer(usage_stats=await request.service.usage.look())


async def _reset(request: Request) -> Done:
    await asyncio.to_thread(request.service.ledger.reset_usage)
    request.service.usage.forget()
    return Done(message="Usage counts from now on; no row of the ledger is lost.")


ROUTES = (
    *(
        Route(
            "post",
            f"/api/v1/generate/{name}",
            partial(_generate, mode=mode),
            f"Make a workflow ({name})",
            GenerateAnswer,
            query=GenerateQuery,
            body=GenerateRequest,
            also={202: JobAccepted},
            streams=True,
            problems=(402, 409, 502, 503, 504),
        )
        for name, mode in _MODES.items()
    ),
    Route("get", _STATUS, _service_state, "What the generating processes are at", ServiceState),
    Route(
        "get",
        _STATUS + "/{job_id}",
        _state,
        "How far a job is, and its result",
        JobState,
        streams=True,
        problems=(404,),
    ),
    Route("delete", _STATUS + "/{job_id}", _cancel, "Cancel a job", Done, problems=(404, 409)),
    Route(
        "get",
        _STATUS + "/{job_id}/events",
        _events,
        "A job's progress as server-sent events",
        None,
        streams=True,
        problems=(404,),
    ),
    Route(
        "get", "/api/v1/generate/usage", _usage, "Tokens and money since the last reset, of all processes", UsageAnswer
    ),
    Route("post", "/api/v1/generate/usage/reset", _reset, "Count usage from now on; no row is lost", Done),
)
