"""What calls a model right now, in whatever process: rate against the limit, spend against the budget, latency."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from markupsafe import Markup

from dslkit.analysis.live import COLUMNS, SHOWN, WINDOW, Live
from dslkit.ledger import Ledger
from dslkit.report import formats
from dslkit.settings import load_settings
from dslkit.widgets import markup
from dslkit.widgets.still import LiveBox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from dslkit.analysis.live import Status
    from dslkit.settings import Settings

INTERVAL_S = 0.75  # with the writing and reading of a line, less than a second behind


def drawn(status: Status, settings: Settings) -> Markup:
    """The status as HTML."""
    requests, tokens = (status.allowed(limit) for limit in (settings.requests_per_minute, settings.tokens_per_minute))
    figures = [
        ("Attempts a minute", formats.count(status.attempts), _of(requests, formats.count)),
        ("Tokens a minute", formats.compact(status.tokens), _of(tokens, formats.compact)),
        ("In flight", formats.count(status.open), f"queued {formats.seconds(status.waited)}"),
        ("Spent today", formats.usd(status.spent_today), _budget(settings.budget_per_day_usd)),
        ("Latency", formats.seconds(status.p50), f"95 % in {formats.seconds(status.p95)}"),
        ("Errors a minute", _errors(status), "of all attempts"),
    ]
    highest = max(*status.columns, 1)
    limit = (requests or 0) * SHOWN.total_seconds() / COLUMNS / WINDOW.total_seconds()
    chart = markup.columns(status.columns, label="attempts in the last ten minutes", whole=max(highest, limit))
    caption = Markup(
        '<p class="quiet">Attempts in the last ten minutes, ten seconds a column; a full one is {:,.0f}. {}</p>'
    )
    return markup.figures(figures) + chart + caption.format(max(highest, limit), _latest_run(status))


class Monitor(LiveBox):
    """Reads the ledger while it runs, and shows it less than a second later."""

    what = "A monitor"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shown = Markup("")
        self._task: asyncio.Task[None] | None = None
        self._view = w.HTML(layout={"width": "auto"})
        self._switch = w.ToggleButton(value=False, description="Watch", icon="play", tooltip="Keep reading the ledger")
        self._switch.observe(self._switched, "value")
        self._live = Live(Ledger(settings.home))
        super().__init__([self._switch, self._view])
        self.add_class("dslkit-monitor")
        try:
            self.refresh(self.read())
        except Exception as error:  # noqa: BLE001 - watching tries again
            self._tell(error)

    def still(self) -> Markup:
        """What it shows."""
        return self._shown

    def read(self) -> Status:
        """The status now."""
        return self._live.look()

    def refresh(self, status: Status) -> None:
        """Show a status."""
        self._show(drawn(status, self._settings))

    async def watch(self) -> None:
        """Read and show, until cancelled; a ledger that cannot be read is said and tried again."""
        while True:
            try:
                self.refresh(await asyncio.to_thread(self.read))
            except Exception as error:  # noqa: BLE001 - a monitor outlives what it watches
                self._tell(error)
            await asyncio.sleep(INTERVAL_S)

    def _tell(self, error: Exception) -> None:
        self._show(markup.notice(f"{type(error).__name__}: {error}", "bad"))

    def _show(self, html: Markup) -> None:
        self._shown = html
        self._view.value = markup.framed(html)

    def close(self) -> None:
        """Stop reading, and leave the page."""
        self._switch.value = False
        super().close()

    def _switched(self, change: Mapping[str, Any]) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.ensure_future(self.watch()) if change["new"] else None
        self._switch.icon, self._switch.description = ("pause", "Watching") if change["new"] else ("play", "Watch")
        if not change["new"]:
            self.renew_still()


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


def _of(limit: int | None, form: Callable[[int], str]) -> str:
    return f"of {form(limit)} allowed" if limit else "no limit set"


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
