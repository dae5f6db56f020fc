"""The two lines of a request, for people and for programs."""

from __future__ import annotations

import json
import logging
import math
import sys
import uuid
from typing import TYPE_CHECKING, Literal

import pytest

from dslkit.server.request_log import LOGGER, Entry, broken, request_id_of, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRY = Entry("0f0e1d2c-id", "1.2.3.4", "GET", "/path")


@pytest.fixture(autouse=True)
def _no_handlers() -> Iterator[None]:
    yield
    for handler in list(LOGGER.handlers):
        LOGGER.removeHandler(handler)
    LOGGER.propagate = True


@pytest.mark.parametrize("given", ["3fa85f64-5717-4562-b3fc-2c963f66afa6", "trace.0001:a_b"])
def test_a_well_formed_id_is_taken_over(given: str) -> None:
    assert request_id_of(given) == given


@pytest.mark.parametrize("given", [None, "", "short", "x" * 65, "with space", "line\nbreak", "[forged] id", "é" * 10])
def test_anything_else_becomes_a_uuid(given: str | None) -> None:
    assert uuid.UUID(request_id_of(given)).version == 4


@pytest.mark.parametrize(
    ("status", "level", "line"),
    [
        (200, logging.INFO, "[0f0e1d2c-id] ✅ GET /path → 200 in 15.23s"),
        (302, logging.INFO, "[0f0e1d2c-id] ✅ GET /path → 302 in 15.23s"),
        (404, logging.WARNING, "[0f0e1d2c-id] ⚠️ GET /path → 404 in 15.23s"),
        (500, logging.ERROR, "[0f0e1d2c-id] ❌ GET /path → 500 in 15.23s"),
    ],
)
def test_lines_for_people(caplog: pytest.LogCaptureFixture, status: int, level: int, line: str) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    ENTRY.came("text")
    ENTRY.answered("text", status, 15.234)
    assert [record.getMessage() for record in caplog.records] == ["[0f0e1d2c-id] ➡️ GET /path from 1.2.3.4", line]
    assert caplog.records[1].levelno == level


def test_a_failure_carries_its_trace_and_a_refusal_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    try:
        math.sqrt(-1)
    except ValueError:
        for status in (500, 404):
            ENTRY.answered("text", status, 0.1, sys.exc_info())  # type: ignore[arg-type]
    assert caplog.records[0].exc_info
    assert not caplog.records[1].exc_info


def test_lines_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json")
    ENTRY.came("json")
    try:
        math.sqrt(-1)
    except ValueError:
        ENTRY.answered("json", 500, 0.0123, sys.exc_info())  # type: ignore[arg-type]
    came, answered = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert came.keys() == {"time", "level", "id", "client", "method", "path", "event"}
    assert answered | came == answered | {"event": "request", "level": "info", "time": came["time"]}
    assert (answered["status"], answered["ms"], answered["level"]) == (500, 12.3, "error")
    assert "ValueError" in answered["trace"]


def test_a_path_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    Entry("12345678", "1.2.3.4", "GET", "/a\n[x] ✅").came("text")
    assert "\n" not in caplog.records[0].getMessage()


def test_setting_up_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text")
    set_up("text")
    ENTRY.came("text")
    assert capsys.readouterr().err.count("➡️") == 1


def test_a_line_without_a_record_is_as_one_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text")
    ENTRY.answered("text", 404, 15.234)
    LOGGER.warning("[0f0e1d2c-id] ⚠️ GET /path → 404 in 15.23s")
    short, whole = capsys.readouterr().err.splitlines()
    assert short[23:] == whole[23:] == " WARNING [0f0e1d2c-id] ⚠️ GET /path → 404 in 15.23s"
    assert short[:19] <= whole[:19]
    assert short[19] == whole[19] == ","


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_stack_trace_shows_no_key(form: Literal["text", "json"], capsys: pytest.CaptureFixture[str]) -> None:
    set_up(form)
    broken(form, "0f0e1d2c-id", ValueError("the key sk-abcdefgh12345678 is wrong"))
    told = capsys.readouterr().err
    assert "0f0e1d2c-id" in told
    assert "ValueError: the key [removed] is wrong" in told
