"""Many requirements: a few at a time, each for itself, resumed where an earlier run got to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.batch.answers import ItemAnswers
from dslkit.batch.artefact import SUFFIX, DiskFullError, clear_remains, require_writable
from dslkit.batch.recipe import MAX_ROUNDS, Order, Recipe
from dslkit.batch.resume import Earlier, key_of, patterns_of
from dslkit.batch.runs import recorded_run, with_budget
from dslkit.dify.engine import Engine
from dslkit.errors import AccountError, BudgetError, LedgerError, UsageError
from dslkit.ledger import Ledger
from dslkit.settings import OFFLINE_MODEL, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from decimal import Decimal

    from dslkit.batch.recipe import Tools
    from dslkit.batch.resume import Redo
    from dslkit.records import AppMode, Complexity, Item, Mode, Requirement
    from dslkit.settings import Settings

    Progress = Callable[[Item], object]

CONCURRENCY = 8

# The same would happen to every further item.
STOPPING = (AccountError, BudgetError, DiskFullError, LedgerError)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What came of a batch: one item a requirement, in their order."""

    run_id: str
    items: tuple[Item, ...]
    seconds: float

    @property
    def unfinished(self) -> tuple[Item, ...]:
        """The items that have error findings or failed."""
        return tuple(item for item in self.items if item.verdict in {"errors", "failed"})


async def generate_batch(  # noqa: PLR0913 - each is a choice of its own, named by whoever starts a batch
    requirements: Iterable[Requirement],
    *,
    out: str | Path,
    model: str = OFFLINE_MODEL,
    mode: Mode = "simple",
    app_mode: AppMode = "workflow",
    complexity: Complexity | None = None,
    max_rounds: int = MAX_ROUNDS,
    concurrency: int = CONCURRENCY,
    budget_usd: Decimal | float | None = None,
    engine: bool = True,
    redo: Redo = "none",
    progress: Progress | None = None,
    settings: Settings | None = None,
) -> BatchResult:
    """Make one workflow a requirement, write each to ``out/<id>.yml``, record items and calls in the ledger.

    What an earlier run finished is not asked again: see `resume`.  One failed item does not keep the others from being
    made; it has the verdict ``failed`` and says why.

    Args:
        requirements: pulled one by one, so they may come from a generator; their ids must differ.
        out: folder for the workflows; made when missing.
        model: name of the model, ``offline`` for the one that needs no network.
        mode: ``simple`` (one call), ``rag`` (shown the nearest patterns), ``multi_agent`` (three agents).
            In every mode a fourth, the quality agent, betters what has errors.
        app_mode: ``workflow``, or ``advanced-chat`` for chatflows.
        complexity: how elaborate they may be; the model judges when None.
        max_rounds: how often the quality agent may better a workflow that has error findings.
        concurrency: items in the making at once.
        budget_usd: the run stops before its calls would cost more; the setting counts when None.
        engine: run each workflow on Dify's engine, where that is installed.
        redo: ``errors`` makes items with error findings again, ``all`` makes all again.
        progress: called with each item when it is done.
        settings: environment and ``.env`` by default.

    Raises:
        UsageError: nothing can be written to ``out``, or two requirements have one id.
        AccountError: the provider refused key, model or account; the rest was not tried.
        BudgetError: the budget is spent; the rest was not tried.
        DiskFullError, LedgerError: nothing more can be written.
    """
    began = time.monotonic()
    require_writable(Path(out))
    settings = with_budget(settings or load_settings(), budget_usd)
    recipe = Recipe(model=model, mode=mode, max_rounds=max_rounds, app_mode=app_mode, complexity=complexity)
    ledger = Ledger(settings.home)
    parameters = {"out": str(out), "concurrency": concurrency, **asdict(recipe)}
    with recorded_run(ledger.recorder(), parameters) as run_id:
        batch = _Batch(ledger, recipe, settings, run_id=run_id, out=Path(out), engine=engine, redo=redo)
        items = await batch.work(requirements, concurrency, progress or _ignore)
    ledger.recorder().flush()
    return BatchResult(run_id=run_id, items=items, seconds=time.monotonic() - began)


class _Batch:
    """The state of one batch: what is done, what is open, and the tools, made ready when first needed."""

    def __init__(
        self, ledger: Ledger, recipe: Recipe, settings: Settings, *, run_id: str, out: Path, engine: bool, redo: Redo
    ) -> None:
        self._began = time.time()
        self._ledger = ledger
        self._recorder = ledger.recorder()
        self._redo = redo
        self._earlier = Earlier.of(ledger, redo)
        self._recipe = recipe
        self._settings = settings
        self._run_id = run_id
        self._out = out
        self._patterns = patterns_of(recipe, settings.home)
        self._engine = Engine.find(settings.engine_python) if engine else None
        self._answers = ItemAnswers.below(settings.home)
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._tools: Tools | None = None
        self._items: dict[str, Item | None] = {}
        self._made_here: set[str] = set()

    async def work(self, requirements: Iterable[Requirement], concurrency: int, progress: Progress) -> tuple[Item, ...]:
        """All items, in the order of their requirements; the first error that concerns all stops all."""
        queue = self._each_once(requirements)
        with contextlib.suppress(OSError):  # a folder where nothing can be removed takes no files either
            clear_remains(self._out)
        async with self._stack:
            if self._engine is not None:
                self._stack.callback(self._engine.close)
            stopping: BaseException | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(concurrency):
                        group.create_task(self._worker(queue, progress))
            except BaseExceptionGroup as errors:
                stopping = errors.exceptions[0]
            if stopping is not None:  # raised out here, or the group that holds it would become its own context
                raise stopping
        return tuple(item for item in self._items.values() if item is not None)

    def _each_once(self, requirements: Iterable[Requirement]) -> Iterator[Requirement]:
        for requirement in requirements:
            if requirement.id in self._items:
                raise UsageError(f"The id {requirement.id!r} stands twice: each requirement needs its own.")
            self._items[requirement.id] = None
            yield requirement

    async def _worker(self, queue: Iterator[Requirement], progress: Progress) -> None:
        for requirement in queue:
            order = self._order(requirement)
            item = await self._found(self._earlier, requirement, order) or await self._claimed(requirement, order)
            self._items[requirement.id] = item
            progress(item)

    async def _found(self, earlier: Earlier, requirement: Requirement, order: Order) -> Item | None:
        """The item of an earlier run, recorded for this one."""
        item = await asyncio.to_thread(earlier.item_for, requirement, order, self._engine)
        if item is not None:
            self._recorder.item(item)
            self._answers.forget(order.work)
        return item

    async def _claimed(self, requirement: Requirement, order: Order) -> Item:
        """Made by us, unless another batch, or we for an equal requirement, have made it since this one began."""
        async with self._answers.claimed(order.work) as waited:
            if waited or order.work in self._made_here or _written_since(order.path, self._began):
                run = self._run_id if self._redo == "all" else ""
                meanwhile = await asyncio.to_thread(Earlier.of, self._ledger, self._redo, order.work, run)
                item = await self._found(meanwhile, requirement, order)
                if item is not None:
                    return item
            return await self._made(requirement, order)

    def _order(self, requirement: Requirement) -> Order:
        return Order(
            run_id=self._run_id,
            item_id=requirement.id,
            key=key_of(requirement, self._recipe, self._patterns),
            recipe=self._recipe,
            path=self._out / f"{requirement.id}{SUFFIX}",
        )

    async def _made(self, requirement: Requirement, order: Order) -> Item:
        from dslkit.batch.one import make  # noqa: PLC0415 - takes a second that a batch with nothing to do need not wait

        generated = await make(requirement, order, await self._ready())
        self._recorder.item(generated.item)
        if isinstance(generated.error, STOPPING):
            raise generated.error
        await asyncio.to_thread(self._recorder.flush)
        if generated.error is None:
            self._made_here.add(order.work)
            self._answers.forget(order.work)
        return generated.item

    async def _ready(self) -> Tools:
        from dslkit.batch.workshop import open_tools  # noqa: PLC0415 - loads openai, and Chroma where patterns are shown

        async with self._opening:
            if self._tools is None:
                opening = open_tools(self._recipe, self._settings, self._engine, self._answers)
                self._tools = await self._stack.enter_async_context(opening)
        return self._tools


def _ignore(_item: Item) -> None:
    """Nobody watches."""


def _written_since(path: Path | None, instant: float) -> bool:
    """Whether a file was written after an instant, in seconds since the epoch; with a second's grace for its clock."""
    try:
        return path is not None and path.stat().st_mtime >= instant - 1
    except OSError:
        return False
