"""Makes the items of a batch, in its own process or in a worker: found, or claimed, made and recorded."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from dslkit.batch.answers import ItemAnswers
from dslkit.batch.artefact import SUFFIX, DiskFullError
from dslkit.batch.made import MadeLog
from dslkit.batch.recipe import Order, Recipe, Tools
from dslkit.batch.resume import Earlier, Redo, key_of
from dslkit.dify import engine as dify_engine
from dslkit.dify.engine import Engine
from dslkit.errors import AccountError, BudgetError, LedgerError
from dslkit.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from dslkit.records import Item, Requirement
    from dslkit.settings import Settings

# The same would happen to every further item.
STOPPING = (AccountError, BudgetError, DiskFullError, LedgerError)
_MADE = "made"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all items of a batch have in common; a worker is handed it as it is.

    ``patterns`` identifies the user's own patterns where the mode shows them, ``made_since`` says where in the log of
    what is made the batch began.
    """

    run_id: str
    recipe: Recipe
    settings: Settings
    out: Path
    engine: bool
    redo: Redo
    patterns: str
    made_since: int

    def order(self, requirement: Requirement) -> Order:
        """The piece of work that a requirement is."""
        return Order(
            run_id=self.run_id,
            item_id=requirement.id,
            key=key_of(requirement, self.recipe, self.patterns),
            recipe=self.recipe,
            path=self.out / f"{requirement.id}{SUFFIX}",
        )


class Maker:
    """One process's tools for a job, made ready when first needed.  Use it as an asynchronous context."""

    def __init__(self, job: Job, *, engines: int = dify_engine.WORKERS) -> None:
        self._job = job
        self._ledger = Ledger(job.settings.home)
        self._recorder = self._ledger.recorder()
        self._answers = ItemAnswers.below(job.settings.home)
        self._made = made_log(job.settings.home, since=job.made_since)
        self._engine = Engine.find(job.settings.engine_python, workers=engines) if job.engine else None
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._tools: Tools | None = None
        self._has_waited = False

    async def __aenter__(self) -> Self:
        self._stack.callback(self._made.close)
        if self._engine is not None:
            self._stack.callback(self._engine.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def found(self, requirement: Requirement, earlier: Earlier) -> Item | None:
        """The item of an earlier run, recorded for this one; None when there is work to do."""
        order = self._job.order(requirement)
        if not earlier.knows(order):
            return None
        item = await asyncio.to_thread(earlier.item_for, requirement, order, self._engine)
        if item is not None:
            self._recorder.item(item)
            self._answers.forget(order.work)
        return item

    async def make(self, requirement: Requirement) -> Item:
        """Made by us, unless another batch, or we for an equal requirement, have made it since this one began.

        An item that fails says why; what would fail every other item as well is raised.
        """
        order = self._job.order(requirement)
        async with self._answers.claimed(order.work, waiting=lambda: self._waiting(order)):
            return await self._made_meanwhile(requirement, order) or await self._make(requirement, order)

    async def _made_meanwhile(self, requirement: Requirement, order: Order) -> Item | None:
        if not self._made.has(order.work):
            return None
        run = self._job.run_id if self._job.redo == "all" else ""
        return await self.found(
            requirement, await asyncio.to_thread(Earlier.of, self._ledger, self._job.redo, order.work, run)
        )

    async def _make(self, requirement: Requirement, order: Order) -> Item:
        from dslkit.batch.one import make  # noqa: PLC0415 - takes a second that a batch with nothing to do need not wait

        generated = await make(requirement, order, await self._ready(), record=self._record)
        if generated.error is None:
            self._made.add(order.work)
            self._answers.forget(order.work)
            return generated.item
        self._recorder.item(generated.item)
        if isinstance(generated.error, STOPPING):
            raise generated.error
        await asyncio.to_thread(self._recorder.flush)
        return generated.item

    def _record(self, item: Item) -> None:
        """Write an item, and return when that is durable."""
        self._recorder.item(item)
        self._recorder.flush()

    async def _ready(self) -> Tools:
        from dslkit.batch.workshop import open_tools  # noqa: PLC0415 - loads openai, and Chroma where patterns are shown

        async with self._opening:
            if self._tools is None:
                job = self._job
                opening = open_tools(job.recipe, job.settings, self._engine, self._answers)
                self._tools = await self._stack.enter_async_context(opening)
        return self._tools

    def _waiting(self, order: Order) -> None:
        if not self._has_waited:
            self._has_waited = True
            _log.warning(
                "%s is being made already, by another batch or for an equal requirement: waiting for it instead of "
                "asking twice, and so with what follows.",
                order.item_id,
            )


def made_log(home: Path, *, since: int | None = None) -> MadeLog:
    """The log of what is made below a home."""
    return MadeLog(home / "answers" / _MADE, since=since)
