"""What all requests of one server share; each part is made when the first request needs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from dslkit.server import reporting
from dslkit.server.addresses import Client, client_of
from dslkit.server.health import readiness
from dslkit.server.jobs import Jobs
from dslkit.server.limiter import Limiter
from dslkit.server.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from dslkit.dify.engine import Engine
    from dslkit.knowledge import Knowledge
    from dslkit.ledger import Ledger
    from dslkit.server.board import Board
    from dslkit.server.models import UsageStats
    from dslkit.settings import Settings

_log = logging.getLogger(__name__)
_Value = TypeVar("_Value")
ANSWER_S = 10.0  # to take an answer that is ready; a client that is slower is cut off when we stop


class Service:
    """Settings and everything that stands behind the routes.  Heavy rooms load with the first request for them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pool = Pool(settings.workers, settings.generate_timeout, Jobs(settings.home / "jobs"), died=self._died)
        self.readiness = readiness(settings)
        self.limiter = (
            Limiter(settings.rate_limit_requests, settings.rate_limit_period) if settings.rate_limit_enabled else None
        )
        self._in_flight = 0
        self._answered = asyncio.Event()
        self._answered.set()
        self._observing = contextlib.ExitStack()
        self._reporting = ThreadPoolExecutor(1, "dslkit-sentry")
        self._searching = ThreadPoolExecutor(1, "dslkit-knowledge")  # Chroma is not asked from two threads at once

    def client(self, peer: str, header: Callable[[str], str | None]) -> Client:
        """Who asks."""
        return client_of(peer, header, self.settings.trusted_proxies)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of the home."""
        from dslkit.ledger import Ledger  # noqa: PLC0415 - loads duckdb

        return Ledger(self.settings.home, prices=self.settings.prices)

    @cached_property
    def usage(self) -> Board[UsageStats]:
        """Totals of tokens and money."""
        from dslkit.server.usage import usage  # noqa: PLC0415 - with the ledger

        return usage(self.ledger)

    @cached_property
    def engine(self) -> Engine | None:
        """Dify's engine, where it is installed."""
        from dslkit.dify.engine import Engine  # noqa: PLC0415 - who never asks for a run need not load it

        return Engine.find(self.settings.engine_python, workers=self.settings.workers)

    async def knowing(self, ask: Callable[[Knowledge], _Value]) -> _Value:
        """Ask the patterns something, in their own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._searching, partial(self._known, ask))

    def _known(self, ask: Callable[[Knowledge], _Value]) -> _Value:
        return ask(self._knowledge)

    @cached_property
    def _knowledge(self) -> Knowledge:
        from dslkit.knowledge import Knowledge  # noqa: PLC0415 - Chroma takes over a second to load

        return Knowledge(self.settings.home)

    def observe(self) -> None:
        """Export traces from now on, where the environment names a collector."""
        if any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ):
            from dslkit.telemetry.exporting import exporting  # noqa: PLC0415 - with the ledger

            self._observing.enter_context(exporting(self.settings.home, _log.warning))

    def report(self, error: BaseException, request_id: str) -> None:
        """Tell Sentry of an error of ours; nobody waits for that."""
        self._reporting.submit(reporting.crash, self.settings, error, request_id)

    def _died(self, code: int | None, jobs: int) -> None:
        self._reporting.submit(reporting.death, self.settings, code, jobs)

    def entered(self) -> None:
        """A request is under way."""
        self._in_flight += 1
        self._answered.clear()

    def left(self) -> None:
        """A request was answered, or nobody waits for that any more."""
        self._in_flight -= 1
        if not self._in_flight:
            self._answered.set()

    async def stop(self) -> None:
        """Finish what is under way, answers included, and let everything go."""
        await self.pool.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), ANSWER_S)
        if "_knowledge" in vars(self):
            await self.knowing(lambda known: known.close())
        self._searching.shutdown(wait=False)
        engine: Any = vars(self).get("engine")
        if engine is not None:
            engine.close()
        await asyncio.to_thread(self._observing.close)
        await asyncio.to_thread(self._reporting.shutdown)
