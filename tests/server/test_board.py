"""What is read now and then, by a clock of our own; and readiness, which must not carry the key anywhere else."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.server import usage
from dslkit.server.board import Board
from dslkit.server.health import readiness
from dslkit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Counted:
    """A reading that takes until it is let go; the value is how many came before it."""

    def __init__(self) -> None:
        self.begun = 0
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def read(self) -> int:
        self.begun += 1
        number = self.begun
        self.entered.set()
        self.free.wait()
        return number


def board(source: Counted, clock: list[float]) -> Board[int]:
    return Board(source.read, fresh_s=usage.FRESH_S, stale_s=usage.STALE_S, now=lambda: clock[0])


def test_a_fresh_value_is_shown_without_a_reading() -> None:
    async def course() -> None:
        source, clock = Counted(), [0.0]
        shown = board(source, clock)
        assert await asyncio.gather(*(shown.look() for _ in range(9))) == [1] * 9
        clock[0] += usage.FRESH_S * 0.9
        assert (await shown.look(), source.begun) == (1, 1)

    asyncio.run(course())


def test_an_older_value_is_shown_while_it_is_read_again_but_never_beyond_a_second() -> None:
    async def course() -> None:
        source, clock = Counted(), [0.0]
        shown = board(source, clock)
        assert await shown.look() == 1
        source.free.clear()
        clock[0] += usage.FRESH_S
        assert await shown.look() == 1, "nobody waits for a reading under way"
        clock[0] = usage.STALE_S
        waiting = [asyncio.ensure_future(shown.look()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting), "too old to be shown"
        source.free.set()
        assert await asyncio.gather(*waiting) == [2, 2, 2]
        assert usage.STALE_S < 1

    asyncio.run(course())


def test_what_was_being_read_when_it_changed_is_not_shown_afterwards() -> None:
    async def course() -> None:
        source, clock = Counted(), [0.0]
        shown = board(source, clock)
        source.free.clear()
        early = asyncio.ensure_future(shown.look())
        await asyncio.to_thread(source.entered.wait)
        shown.forget()
        source.free.set()
        assert (await shown.look(), await early, await shown.look()) == (2, 1, 2)

    asyncio.run(course())


def test_a_failed_reading_is_told_and_tried_again() -> None:
    def fail() -> int:
        raise OSError("no ledger")

    async def course() -> None:
        source = Counted()
        shown = board(source, [0.0])
        shown._read, kept = fail, shown._read
        with pytest.raises(OSError, match="no ledger"):
            await shown.look()
        shown._read = kept
        assert await shown.look() == 1

    asyncio.run(course())


@contextmanager
def answering(reply: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str | None]]]:
    """A server on loopback: its address, and the Authorization header of each request it has had."""
    heard: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers.get("Authorization"))
            reply(self)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()
        serving.join()


def no_models(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(b'{"data": []}')


def settings(home: Path, address: str) -> Settings:
    given: dict[str, Any] = {"home": home, "model": "gpt-4o", "openai_api_key": "sk-abc", "openai_base_url": address}
    return Settings(**given)


def test_a_server_that_points_elsewhere_is_not_followed_with_the_key(tmp_path: Path) -> None:
    with answering(no_models) as (elsewhere, leaked):

        def point(request: BaseHTTPRequestHandler) -> None:
            request.send_response(302)
            request.send_header("Location", f"{elsewhere}/v1/models")
            request.end_headers()

        with answering(point) as (address, heard):
            found = asyncio.run(readiness(settings(tmp_path, f"{address}/v1")).look())
    assert (heard, leaked) == (["Bearer sk-abc"], [])
    assert (found.status, found.checks["model"].ok) == ("not ready", False)


def test_all_is_ready_where_ledger_disk_and_model_are(tmp_path: Path) -> None:
    with answering(no_models) as (address, heard):
        board = readiness(settings(tmp_path, f"{address}/v1"))

        async def twice() -> list[str]:
            return [(await board.look()).status for _ in range(2)]

        assert asyncio.run(twice()) == ["ready", "ready"]
    assert len(heard) == 1, "kept for ten seconds"
