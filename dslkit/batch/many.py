"""Many requirements: a few at a time, each for itself, resumed where an earlier run got to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.batch.answers import ItemAnswers
from dslkit.batch.artefact import clear_remains, require_writable
from dslkit.batch.crew import Crew
from dslkit.batch.maker import Job, Maker, made_log
from dslkit.batch.recipe import MAX_ROUNDS, Recipe
from dslkit.batch.resume import Earlier, items_of_run, patterns_of
from dslkit.batch.runs import recorded_run, with_budget
from dslkit.errors import UsageError
from dslkit.ledger import Ledger
from dslkit.settings import OFFLINE_MODEL, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from decimal import Decimal

    from dslkit.batch.resume import Redo
    from dslkit.records import AppMode, Complexity, Item, Mode, Requirement, Verdict
    from dslkit.settings import Settings

    Progress = Callable[[Item], object]

CONCURRENCY = 8
_UNFINISHED: tuple[Verdict, ...] = ("errors", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What came of a batch: one item a requirement, in their order.

    The items are read from the ledger in ``home`` when they are asked for: a batch may have more than memory likes.
    """

    run_id: str
    seconds: float
    verdicts: Mapping[Verdict, int]
    ids: tuple[str, ...]
    home: Path

    @property
    def items(self) -> tuple[Item, ...]:
        """All items."""
        return self._with()

    @property
    def unfinished(self) -> tuple[Item, ...]:
        """The items that have error findings or failed."""
        return self._with(*_UNFINISHED) if any(self.verdicts.get(name) for name in _UNFINISHED) else ()

    def _with(self, *verdicts: Verdict) -> tuple[Item, ...]:
        """Those with one of the verdicts; all where none is named."""
        found = {item.item_id: item for item in items_of_run(Ledger(self.home), self.run_id, verdicts)}
        return tuple(found[name] for name in self.ids if name in found)


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
    workers: int = 1,
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
        concurrency: items in the making at once, by all workers together.
        workers: processes that make them; one makes them in this process.
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
    if workers < 1 or concurrency < 1:
        raise ValueError("workers and concurrency must be at least 1")
    require_writable(Path(out))
    settings = with_budget(settings or load_settings(), budget_usd)
    recipe = Recipe(model=model, mode=mode, max_rounds=max_rounds, app_mode=app_mode, complexity=complexity)
    ledger = Ledger(settings.home)
    parameters = {"out": str(out), "concurrency": concurrency, "workers": workers, **asdict(recipe)}
    with recorded_run(ledger.recorder(), parameters) as run_id, closing(made_log(settings.home)) as made:
        job = Job(
            run_id=run_id,
            recipe=recipe,
            settings=settings,
            out=Path(out),
            engine=engine,
            redo=redo,
            patterns=patterns_of(recipe, settings.home),
            made_since=made.since,
        )
        batch = _Batch(job, Earlier.of(ledger, redo), progress or _ignore)
        await batch.work(requirements, concurrency=max(concurrency, workers), workers=workers)
    ledger.recorder().flush()
    return BatchResult(
        run_id=run_id,
        seconds=time.monotonic() - began,
        verdicts=batch.verdicts,
        ids=tuple(batch.ids),
        home=settings.home,
    )


class _Batch:
    """The course of one batch: what is done is passed over, the rest made here or by workers."""

    def __init__(self, job: Job, earlier: Earlier, progress: Progress) -> None:
        self._job = job
        self._earlier = earlier
        self._progress = progress
        self.ids: dict[str, None] = {}
        self.verdicts: Counter[Verdict] = Counter()

    async def work(self, requirements: Iterable[Requirement], *, concurrency: int, workers: int) -> None:
        """Make all items; the first error that concerns all stops all."""
        queue = self._each_once(requirements)
        self._clear()
        here = Maker(self._job)
        async with here, nullcontext(here) if workers == 1 else Crew(self._job, workers) as maker:
            stopping: BaseException | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(concurrency):
                        group.create_task(self._pull(queue, here, maker))
            except BaseExceptionGroup as errors:
                stopping = errors.exceptions[0]
            if stopping is not None:  # raised out here, or the group that holds it would become its own context
                raise stopping

    def _clear(self) -> None:
        """Remove what batches that were killed have left."""
        with contextlib.suppress(OSError):  # a folder where nothing can be removed takes no files either
            clear_remains(self._job.out)
            ItemAnswers.below(self._job.settings.home).clear_claims()

    def _each_once(self, requirements: Iterable[Requirement]) -> Iterator[Requirement]:
        for requirement in requirements:
            if requirement.id in self.ids:
                raise UsageError(f"The id {requirement.id!r} stands twice: each requirement needs its own.")
            self.ids[requirement.id] = None
            yield requirement

    async def _pull(self, queue: Iterator[Requirement], here: Maker, maker: Maker | Crew) -> None:
        for requirement in queue:
            item = await here.found(requirement, self._earlier) or await maker.make(requirement)
            self.verdicts[item.verdict] += 1
            self._progress(item)


def _ignore(_item: Item) -> None:
    """Nobody watches."""
