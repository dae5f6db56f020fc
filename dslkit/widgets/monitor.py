"""What calls a model right now, in whatever process: rate against the limit, spend against the budget, latency."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from markupsafe import Markup

from dslkit.ledger import Ledger
from dslkit.report import formats
from dslkit.settings import load_settings
from dslkit.widgets import markup

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from dslkit.settings import Settings

WINDOW = timedelta(minutes=1)
SHOWN = timedelta(minutes=10)
COLUMNS = 60
INTERVAL_S = 1.0

# One row of figures; the columns of the chart in another query over the same moment.
_FIGURES = """
  SELECT count(*) FILTER (started_at > $minute) AS attempts,
    coalesce(sum(coalesce(input_tokens, estimated_input_tokens) + coalesce(output_tokens, estimated_output_tokens))
      FILTER (started_at > $minute), 0)::BIGINT AS tokens,
    count(*) FILTER (started_at > $minute AND outcome = 'error') AS errors,
    count(*) FILTER (outcome = 'unknown' AND ended_at IS NULL AND started_at > $shown) AS open,
    coalesce(sum(cost_usd) FILTER (started_at >= $today), 0) AS spent_today,
    quantile_cont(latency_s, 0.5) FILTER (outcome = 'ok' AND NOT cache_hit AND started_at > $shown) AS p50,
    quantile_cont(latency_s, 0.95) FILTER (outcome = 'ok' AND NOT cache_hit AND started_at > $shown) AS p95,
    coalesce(avg(throttle_wait_s) FILTER (started_at > $minute), 0)::DOUBLE AS waited,
    max(started_at) AS latest
  FROM calls WHERE NOT cache_hit AND started_at >= least($today, $shown)
"""
_COLUMNS = """
  SELECT floor(epoch(started_at - $shown) / $width)::INTEGER AS place, count(*) AS attempts
  FROM calls WHERE NOT cache_hit AND started_at > $shown GROUP BY ALL
"""
_RUN = """
  SELECT run_id, coalesce(notebook, 'batch') AS notebook, status, started_at,
    (SELECT coalesce(sum(cost_usd), 0) FROM calls WHERE calls.run_id = runs.run_id) AS spent,
    (SELECT count(*) FROM items WHERE items.run_id = runs.run_id) AS items
  FROM runs ORDER BY started_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The ledger as of one moment.  ``columns`` counts attempts in the last ten minutes, the oldest first."""

    at: datetime
    attempts: int
    tokens: int
    errors: int
    open: int
    spent_today: Decimal
    p50: float | None
    p95: float | None
    waited: float
    latest: datetime | None
    columns: tuple[int, ...]
    run: Mapping[str, Any] | None


def read_status(ledger: Ledger, now: datetime) -> Status:
    """What the ledger says at ``now`` (aware, UTC): three small queries over one snapshot."""
    cursor = ledger.snapshot()
    shown = now - SHOWN
    moments = {"minute": now - WINDOW, "shown": shown}
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    figures = _row(cursor.execute(_FIGURES, moments | {"today": midnight}))
    width = SHOWN.total_seconds() / COLUMNS
    counted = dict(cursor.execute(_COLUMNS, {"shown": shown, "width": width}).fetchall())
    columns = tuple(counted.get(place, 0) for place in range(COLUMNS))
    return Status(at=now, columns=columns, run=_row(cursor.execute(_RUN)), **(figures or {}))


def drawn(status: Status, settings: Settings) -> Markup:
    """The status as HTML."""
    figures = [
        ("Attempts a minute", formats.count(status.attempts), f"of {settings.requests_per_minute:,} allowed"),
        ("Tokens a minute", formats.compact(status.tokens), _of(settings.tokens_per_minute)),
        ("In flight", formats.count(status.open), f"{formats.seconds(status.waited)} in the queue"),
        ("Spent today", formats.usd(status.spent_today), _budget(settings.budget_per_day_usd)),
        ("Latency", formats.seconds(status.p50), f"95 % under {formats.seconds(status.p95)}"),
        ("Errors a minute", _errors(status), "each attempt counts"),
    ]
    highest = max(*status.columns, 1)
    limit = settings.requests_per_minute * SHOWN.total_seconds() / COLUMNS / WINDOW.total_seconds()
    chart = markup.columns(status.columns, label="attempts in the last ten minutes", whole=max(highest, limit))
    caption = Markup('<p class="quiet">Attempts in the last ten minutes; full height is {:,.0f} in 10 s. {}</p>')
    return markup.figures(figures) + chart + caption.format(max(highest, limit), _latest_run(status))


class Monitor(w.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """Reads the ledger once a second while it runs, and shows it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ledger = Ledger(settings.home)
        self._task: asyncio.Task[None] | None = None
        self._view = w.HTML(layout={"width": "auto"})
        self._switch = w.ToggleButton(value=False, description="Watch", icon="play", tooltip="Read once a second")
        self._switch.observe(self._switched, "value")
        super().__init__([self._switch, self._view], layout={"max_width": "62rem"})
        self.add_class("dslkit-monitor")
        self.refresh(self.read())

    def _repr_mimebundle_(self, **options: Any) -> Mapping[str, Any]:
        """The live monitor, and its present state for pages without a kernel."""
        live: dict[str, Any] = dict(super()._repr_mimebundle_(**options) or {})
        return {**live, "text/html": self._view.value, "text/plain": "A monitor: run this cell in JupyterLab."}

    def read(self) -> Status:
        """The status now."""
        return read_status(self._ledger, datetime.now(UTC))

    def refresh(self, status: Status) -> None:
        """Show a status."""
        self._view.value = markup.framed(drawn(status, self._settings))

    async def watch(self) -> None:
        """Read and show, until cancelled; a ledger that cannot be read is said and tried again."""
        while True:
            try:
                self.refresh(await asyncio.to_thread(self.read))
            except Exception as error:  # noqa: BLE001 - a monitor outlives what it watches
                self._view.value = markup.framed(markup.notice(f"{type(error).__name__}: {error}", "bad"))
            await asyncio.sleep(INTERVAL_S)

    def close(self) -> None:
        """Stop reading, and leave the page."""
        self._switch.value = False
        super().close()

    def _switched(self, change: Mapping[str, Any]) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.ensure_future(self.watch()) if change["new"] else None
        self._switch.icon, self._switch.description = ("pause", "Watching") if change["new"] else ("play", "Watch")


def live_monitor(*, watching: bool = True) -> Monitor:
    """A monitor of the ledger in DSLKIT_HOME; it starts at once unless told not to (or where no event loop runs)."""
    monitor = Monitor(load_settings())
    monitor._switch.value = watching and _loop_runs()  # noqa: SLF001 - this module's own
    return monitor


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _of(limit: int | None) -> str:
    return f"of {formats.compact(limit)} allowed" if limit else "no limit set"


def _budget(budget: Decimal | None) -> str:
    return f"of {formats.usd(budget)} a day" if budget else "no budget set"


def _errors(status: Status) -> Markup:
    tone = "bad" if status.errors else "good"
    return Markup('<span class="{}">{}</span>').format(tone, status.errors)


def _latest_run(status: Status) -> str:
    if not status.run:
        return "No run yet."
    run = status.run
    items = formats.plural(run["items"], "item")
    return f"Latest run: {run['notebook']}, {run['status']}, {items}, {formats.usd(run['spent'])}."


def _row(cursor: Any) -> dict[str, Any] | None:
    row = cursor.fetchone()
    return None if row is None else dict(zip((column[0] for column in cursor.description), row, strict=True))
