"""The report over one scope of a ledger, section by section; `cost_report.ipynb` calls its methods in order."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.analysis import schedules
from dslkit.analysis.scope import Scope, instant
from dslkit.analysis.whatif import used
from dslkit.ledger import Ledger
from dslkit.pricing import Prices
from dslkit.report import figures, key_figures, outcomes, outlook, runs, spending, summary, throughput, timing, trend
from dslkit.report.facts import gather
from dslkit.report.markup import Block, block, shorten, style_element
from dslkit.report.pace import pace
from dslkit.report.savings import Suggestion, cache_saving, cached_answers_saving, section, suggestions
from dslkit.report.timeline import timeline
from dslkit.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dslkit.analysis.schedules import Missed
    from dslkit.analysis.scope import Views
    from dslkit.llm.throttle import Unit
    from dslkit.report.facts import Facts
    from dslkit.report.figures import Dimension, Timing
    from dslkit.report.timeline import Timeline
    from dslkit.report.values import Sums

LISTED_ITEMS = 24
LISTED_CALLS = 8
_TIMINGS: tuple[Timing, ...] = ("latency_s", "time_to_first_chunk_s", "throttle_wait_s")


class Report:
    """Sections of a cost report.  Each method queries the ledger and returns a block that Jupyter shows as HTML.

    What there is nothing to say about is an empty block.
    """

    def __init__(
        self,
        views: Views,
        scope: Scope,
        *,
        now: datetime | None = None,
        prices: Prices | None = None,
        limits: throughput.Limits | None = None,
        allowed: Mapping[Unit, float] | None = None,
        budgets: throughput.Budgets | None = None,
        missed: Callable[[datetime, datetime], Sequence[Missed]] | None = None,
    ) -> None:
        self.views = views
        self.scope = scope
        self.prices = prices or Prices()
        self.limits = limits or {}
        self.allowed = allowed or {}
        self.budgets = budgets or throughput.Budgets()
        self.now = now or datetime.now(UTC)
        self.end = min(scope.until or self.now, self.now)
        self._missed = missed

    @cached_property
    def facts(self) -> Facts:
        """The scope's calls and items, gathered when first needed."""
        return gather(self.views, self.scope)

    @cached_property
    def overview(self) -> summary.Overview:
        """The figures that several sections share."""
        return summary.Overview(
            scope=self.scope,
            sums=figures.sums(self.facts),
            items=figures.item_sums(self.facts),
            latency=figures.quantiles(self.facts, "latency_s")[0],
            before=self._before(),
            pace=None if self.scope.run or self.end < self.now else pace(self.views, self.end),
            unpriced_models=[shorten(row.name or "unknown model", 60) for row in self._models if row.unpriced],
        )

    def _before(self) -> summary.Totals | None:
        """Totals of the period of the same length before this one; None where there is no period or no call in it."""
        since = self.scope.since
        if self.scope.run or since is None or since >= self.end:
            return None
        facts = gather(self.views, Scope(since=since - (self.end - since), until=since), "before")
        sums = figures.sums(facts)
        if not sums.attempts:
            return None
        latency = figures.quantiles(facts, "latency_s")[0]
        return summary.Totals(sums=sums, items=figures.item_sums(facts), latency=latency)

    def heading(self, title: str) -> Block:
        """Title, the answer in a sentence, period and scope; on what, whether it is getting worse, what is cheaper."""
        return block([style_element(), summary.heading(self.overview, title, list(self._answers()))])

    def _answers(self) -> Iterator[tuple[str, str]]:
        if self.overview.sums.cost_usd:
            stages = figures.sums_by(self.facts, "stage")
            yield "On what", summary.on_what(self.overview.sums.cost_usd, self._models, stages)
        if self.runs.broken:
            yield "Runs", runs.told(self.runs)
        if self.trend:
            yield "Is it getting worse", trend.answer(self.trend)
        if self.overview.sums.cost_usd:
            yield "What would be cheaper", summary.cheaper(self._suggestions)

    @cached_property
    def _models(self) -> list[Sums]:
        return figures.sums_by(self.facts, "model")

    @cached_property
    def _suggestions(self) -> list[Suggestion]:
        return suggestions(self.facts, self.prices, self.end)

    @cached_property
    def trend(self) -> trend.Trend | None:
        """This period or run, or the last days, against what came before; None where there is nothing to compare."""
        if self.overview.sums.attempts == self.overview.sums.offline:
            return None
        return trend.trend(self.facts, self.overview.sums, self.end)

    @cached_property
    def runs(self) -> runs.Runs:
        """How runs ended, and which did not begin though a schedule wanted them."""
        first = self.scope.since or self.overview.sums.first
        if self._missed is None or self.scope.run or first is None:
            return runs.runs(self.views, self.scope)
        missed = [one for one in self._missed(self.now, first) if one.expected < self.end]
        return runs.runs(self.views, self.scope, missed)

    @cached_property
    def _timeline(self) -> Timeline | None:
        first, last = self.overview.sums.first, self.overview.sums.last
        return timeline(self.facts, first, last) if first and last else None

    def key_figures(self) -> Block:
        """Spend, working workflows, calls, tokens, latency, waits and failures; what is unknown is named."""
        return block([key_figures.key_figures(self.overview)])

    def spend_over_time(self) -> Block:
        """Spend in buckets that suit the period, by model."""
        return block([spending.over_time(self._timeline)] if self._timeline else [])

    def breakdown(self) -> Block:
        """Spend by model, stage, run and tag."""
        dimensions: tuple[tuple[Dimension, str, str], ...] = (
            ("model", "Model", "unknown model"),
            ("stage", "Stage", "no stage"),
            ("run", "Run", "outside a run"),
            ("tag", "Tag", "no tag"),
        )
        parts = [spending.breakdown(self._by(dimension), what, missing) for dimension, what, missing in dimensions]
        sums = self.overview.sums
        saved = cache_saving(self.facts, self.prices, self.end) if sums.cached_tokens and sums.cost_usd else None
        answers = cached_answers_saving(self.facts) if sums.cached_answers and sums.cost_usd else None
        parts.append(spending.tokens(sums, saved, answers))
        return block(parts)

    def _by(self, dimension: Dimension) -> list[Sums]:
        return self._models if dimension == "model" else figures.sums_by(self.facts, dimension)

    def suggestions(self) -> Block:
        """What would have been cheaper, with the saving and its grounds."""
        return block([section(self._suggestions)] if self.overview.sums.cost_usd else [])

    def otherwise(self) -> Block:
        """The same calls on other models, in batches, with more cached input."""
        if self.overview.sums.offline == self.overview.sums.attempts:
            return block([])
        return block([outlook.alternatives(used(self.views, self.scope), self.prices, self.end)])

    def expectations(self) -> Block:
        """Forecast against fact, for the latest runs."""
        if not self.overview.items.items:
            return block([])
        found = outlook.outlooks(self.views, self.scope, self.prices, self.end)
        return block([outlook.expectations(found)] if found else [])

    def limits_used(self) -> Block:
        """Requests and tokens a minute, over time and by model, against their limits; spend against its budgets."""
        sums = self.overview.sums
        if sums.first is None or sums.last is None or self._timeline is None:
            return block([])
        bucket = throughput.bucket_of_minutes(sums.first, sums.last)
        found = throughput.peaks(self.facts, bucket, self._timeline.series)
        if not found:
            return block([])
        units = throughput.drawn(found)
        limits = throughput.in_force(found, self.limits, self.allowed)
        charts = [throughput.over_time(found, unit, bucket, limits) for unit in units]
        budgets = throughput.budgets(self.facts, self.budgets)
        return block([*charts, throughput.by_model(found, limits), budgets])

    def timing(self) -> Block:
        """Latency, time to first chunk and throttle wait: distributions and percentiles."""
        if not self.overview.sums.attempts:
            return block([])
        measured = [
            timing.Distribution(
                name,
                self.overview.latency if name == "latency_s" else figures.quantiles(self.facts, name)[0],
                figures.histogram(self.facts, name),
            )
            for name in _TIMINGS
        ]
        by_model = timing.by_model(figures.quantiles(self.facts, "latency_s", by_model=True))
        return block([*timing.distributions(measured), timing.percentiles(measured), by_model])

    def failures(self) -> Block:
        """Errors and retries by kind."""
        if not self.overview.sums.attempts:
            return block([])
        return block(outcomes.failures(figures.failures(self.facts), self.overview.sums))

    def items(self) -> Block:
        """Items of batches: verdicts, findings, tokens, cost, seconds."""
        sums = self.overview.items
        if not sums.items and not self.overview.sums.attempts:
            return block([])
        rows = figures.items(self.facts, LISTED_ITEMS)
        return block([outcomes.verdicts(sums), outcomes.items(rows, sums)])

    def runs_ended(self) -> Block:
        """Runs that failed, were interrupted or missed."""
        return block(runs.section(self.runs) if self.runs else [])

    def changes(self) -> Block:
        """What came lately against what came before."""
        return block(trend.section(self.trend) if self.trend else [])

    def notable_calls(self) -> Block:
        """The dearest, slowest and most retried calls."""
        dearest = figures.top_calls(self.facts, "cost_usd", LISTED_CALLS)
        slowest = figures.top_calls(self.facts, "latency_s", LISTED_CALLS)
        retried = figures.top_calls(self.facts, "attempts", LISTED_CALLS)
        parts = [
            outcomes.calls(dearest, "Dearest calls"),
            outcomes.calls(slowest, "Slowest calls"),
            outcomes.calls(retried, "Most retried calls"),
        ]
        return block(parts)


def read(home: str | Path, *, run: str = "", since: str = "", until: str = "") -> Report:
    """The report over a ledger's folder.

    ``run`` narrows it to one run; ``since`` and ``until`` to a period: ISO dates or instants (``2026-09-01``,
    ``2026-09-01T12:00``, taken as UTC when they name no zone), or an age such as ``30d`` or ``12h``.
    Raises UsageError for an instant that cannot be read.
    """
    scope = Scope(run or None, instant(since), instant(until))
    settings = load_settings()
    home = Path(home)
    allowed: dict[Unit, int | None] = {"requests": settings.requests_per_minute, "tokens": settings.tokens_per_minute}
    return Report(
        Ledger(home).snapshot(),
        scope,
        prices=Prices(settings.prices),
        limits=throughput.limits_of(home / "throttle"),
        allowed={unit: limit for unit, limit in allowed.items() if limit is not None},
        budgets=throughput.Budgets(settings.budget_per_day_usd, settings.budget_per_run_usd),
        missed=lambda now, first: schedules.missed(home, now, since=first),
    )
