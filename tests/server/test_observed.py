"""What other systems are told of the service: its traces, and its own errors without anybody's words."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import SecretStr
from tornado import httpserver, testing, web
from tornado.routing import AnyMatches, Rule

from dslkit.server.handlers import SETTING, NothingHere, RouteHandler
from dslkit.server.models import Health
from dslkit.server.paths import Paths
from dslkit.server.routes import Request, Route
from dslkit.server.service import Service
from dslkit.settings import Settings
from tests.analysis.receivers import receiving
from tests.server.test_lifecycle import settled, workers_of
from tests.telemetry.collector import OtlpReceiver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.analysis.receivers import Received
    from tests.server.conftest import Served

WISH = {"description": "Summarise a document (variable document) into (variable summary).", "engine": False}


async def _crash(_: Request) -> Health:
    raise ZeroDivisionError("what nobody may see")


async def crashed(settings: Settings) -> httpx.Response:
    """The answer of a service whose one route fails."""
    service = Service(settings)
    application = web.Application([], **{SETTING: service, "base_url": "/"})
    paths = Paths(application, "/", 1000, NothingHere)
    paths.add("/crash", RouteHandler, {"routes": {"get": Route("get", "/crash", _crash, "", Health, public=True)}})
    application.add_handlers(".*$", [Rule(AnyMatches(), paths)])
    server = httpserver.HTTPServer(application)
    socket, port = testing.bind_unused_port()
    server.add_sockets([socket])
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/crash")
    server.stop()
    await server.close_all_connections()
    await service.stop()
    return answer


def test_a_crash_is_reported_with_the_requests_id_and_no_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving() as sentry:
        answer = asyncio.run(crashed(Settings(home=tmp_path, sentry_dsn=SecretStr(dsn_of(sentry)))))
    assert (answer.status_code, "nobody may see" in answer.text) == (500, False)
    assert "ZeroDivisionError" in caplog.text
    event = events_of(sentry)[0]
    assert event["exception"]["values"][0]["type"] == "ZeroDivisionError"
    assert event["tags"] == {"request_id": answer.headers["X-Request-ID"]}
    assert "nobody may see" not in json.dumps(event)


def test_a_generation_that_breaks_is_reported_without_words(serve: Callable[..., Served]) -> None:
    with receiving() as sentry:
        served = serve(SENTRY_DSN=dsn_of(sentry), DSLKIT_LOG_FORMAT="json")
        served.home.mkdir(exist_ok=True)
        (served.home / "ledger").write_text("here should be a folder")
        answer = served.ask("POST", "/api/v1/generate/simple", json=WISH, headers={"X-Request-ID": "request-77"})
        assert served.end() == 0
    assert (answer.status_code, answer.json()["request_id"]) == (500, "request-77")
    event = events_of(sentry)[0]
    assert event["exception"]["values"][-1]["type"] == "LedgerError"
    assert event["tags"] == {"request_id": "request-77"}
    assert "Summarise" not in json.dumps(event)
    broken = [json.loads(line) for line in served.log.splitlines() if '"event": "broken"' in line]
    assert [(one["id"], "LedgerError" in one["trace"]) for one in broken] == [("request-77", True)]


def test_the_death_of_a_generating_process_is_reported(serve: Callable[..., Served]) -> None:
    with receiving() as sentry:
        served = serve(SENTRY_DSN=dsn_of(sentry), DSLKIT_WORKERS="1")
        settled(lambda: bool(workers_of(served)))
        os.kill(workers_of(served)[0], signal.SIGKILL)
        settled(lambda: bool(sentry.bodies))
    event = events_of(sentry)[0]
    assert event["exception"]["values"][0]["type"] == "GeneratingProcessDied"
    assert event["tags"] == {"exit_code": "-9", "jobs": "0"}


def dsn_of(sentry: Received) -> str:
    return f"{sentry.url.replace('http://', 'http://public@')}/7"


def events_of(sentry: Received) -> list[dict[str, Any]]:
    envelopes = [_plain(*one).split(b"\n") for one in zip(sentry.bodies, sentry.headers, strict=True)]
    return [json.loads(lines[2]) for lines in envelopes]


def _plain(body: bytes, headers: dict[str, str]) -> bytes:
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def test_a_service_that_ends_has_sent_the_traces_of_what_it_made(serve: Callable[..., Served]) -> None:
    with receiving() as collector:
        server = serve(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        run_id = server.ask("POST", "/api/v1/generate/simple", json=WISH).json()["run_id"]
        assert server.end() == 0
    spans = OtlpReceiver(collector).spans
    assert run_id in {span.attributes.get("dslkit.run.id") for span in spans}
    assert "chat offline" in {span.name for span in spans}
