"""The verb watch: what calls a model right now, in all processes of the home, drawn anew each second."""

from __future__ import annotations

import signal
import sys
import time
from datetime import UTC
from functools import lru_cache
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dslkit.cli.piping import pause
from dslkit.cli.terminal import console, plain, put, say, usd
from dslkit.errors import DslkitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from dslkit.analysis.live import Status
    from dslkit.llm.gates import LaneStatus
    from dslkit.llm.throttle import Unit
    from dslkit.settings import Settings

LOOK_S = 1.0
LINE_S = 10.0  # where the output is no terminal, one line in so many seconds
_SPARKS = "▁▂▃▄▅▆▇█"
_BAR = 20
_LANES = 6
_LARGE = 5_000_000  # bytes; a larger file of requirements is not read for its length
_TONES = {"ok": "green", "error": "red", "running": "cyan", "completed": "green", "failed": "red", "interrupted": "red"}
_MINUTE = 60
_FREE = "no limit set"
_NARROW, _WIDE = 80, 110  # columns: what is left out below, and what is shown besides from there on


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(watch)


def watch(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and leave.")] = False,
) -> None:
    """Watch calls, limits, spend and runs of all processes, live; Ctrl-C ends it.  Without a terminal: plain lines."""
    from dslkit.analysis.live import Live
    from dslkit.ledger import Ledger
    from dslkit.settings import load_settings

    settings = load_settings()
    live = Live(Ledger(settings.home))
    if once:
        screen = console()
        screen.print(_picture(live.look(), _lanes(settings), settings, screen.width))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite stop restores the terminal, too
    try:
        _draw(live.look, settings) if sys.stdout.isatty() else _tell(live.look, settings)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _draw(look: Callable[[], Status], settings: Settings) -> None:
    """Redraw the terminal until somebody ends it; the last picture stays."""
    from rich.live import Live
    from rich.text import Text

    screen = console()
    picture: RenderableType = ""
    try:
        with Live(console=screen, screen=True, auto_refresh=False, redirect_stdout=False) as view:
            while True:
                try:
                    picture = _picture(look(), _lanes(settings), settings, screen.width)
                except (DslkitError, OSError) as error:  # a monitor outlives what it watches
                    picture = Text(plain(error), style="red")
                view.update(picture, refresh=True)
                time.sleep(LOOK_S)
    finally:
        screen.print(picture)


def _tell(look: Callable[[], Status], settings: Settings) -> None:
    """One line now and then."""
    while True:
        try:
            line = _line(look(), _lanes(settings), settings)
        except (DslkitError, OSError) as error:
            say(error)
        else:
            put(line)
        pause(LINE_S)


def _lanes(settings: Settings) -> list[LaneStatus]:
    """The keys and models in use, in whatever process; the busiest first."""
    from dslkit.connect import throttle_status

    if not settings.home.is_dir():
        return []
    lanes = [lane for lane in throttle_status(settings=settings) if _load(lane)]
    return sorted(lanes, key=_load, reverse=True)[:_LANES]


def _load(lane: LaneStatus) -> float:
    gate = lane.gate
    return gate.all_in_flight + gate.all_waiting + sum(window.used + window.pending for window in gate.windows)


def _line(status: Status, lanes: Sequence[LaneStatus], settings: Settings) -> str:
    figures = "; ".join(f"{name} {value} ({more})" for name, value, more, _ in _figures(status, lanes, settings))
    running = [f"{run['notebook']} {_progress(run)}" for run in status.runs if run["status"] == "running"]
    return f"{status.at:%H:%M:%S}  {'; '.join([figures, *running])}"


def _picture(status: Status, lanes: Sequence[LaneStatus], settings: Settings, width: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    title = Text.assemble(
        ("dslkit ", "bold"), plain(settings.home.absolute()), ("  ", ""), (f"{status.at:%H:%M:%S} UTC", "dim")
    )
    parts: list[RenderableType] = [
        title,
        Text(),
        _figure_table(_figures(status, lanes, settings), width),
        Text(),
        _columns(status),
    ]
    if lanes:
        parts += [Text(), _lane_table(lanes, width)]
    if status.runs:
        parts += [Text(), _run_table(status, width)]
    if status.calls:
        parts += [Text(), _call_table(status.calls)]
    return Group(*parts)


def _figures(
    status: Status, lanes: Sequence[LaneStatus], settings: Settings
) -> list[tuple[str, str, str, float | None]]:
    """Name, value, what it is held against, and its share of that where there is one."""
    flying = sum(lane.gate.all_in_flight for lane in lanes) if lanes else status.open
    queue = sum(lane.gate.all_waiting for lane in lanes)
    requests = _allowed(lanes, "requests") or status.allowed(settings.requests_per_minute)
    tokens = _allowed(lanes, "tokens") or status.allowed(settings.tokens_per_minute)
    attempts, used, budget = f"{status.attempts:,}", f"{status.tokens:,}", settings.budget_per_day_usd
    return [
        _against("attempts a minute", status.attempts, requests, attempts, f"of {requests or 0:,.0f} allowed", _FREE),
        _against("tokens a minute", status.tokens, tokens, used, f"of {tokens or 0:,.0f}", _FREE),
        ("in flight", f"{flying:,}", f"{queue:,} in the queue", None),
        ("waited", f"{status.waited:.2f} s", "on average, in the last minute", None),
        _against(
            "spent today", status.spent_today, budget, usd(status.spent_today), f"of {usd(budget)}", "no budget set"
        ),
        ("latency", _seconds(status.p50), f"95 % under {_seconds(status.p95)}", None),
        ("errors a minute", f"{status.errors:,}", "each attempt counts", None),
    ]


def _allowed(lanes: Sequence[LaneStatus], unit: Unit) -> float | None:
    """A minute's worth of what the processes at work allow themselves, in all lanes; None where one has no limit."""
    each = [
        min((one.limit * _MINUTE / one.window_s for one in lane.gate.windows if one.unit == unit), default=inf)
        for lane in lanes
    ]
    return sum(each) if each and isfinite(sum(each)) else None


def _against(
    name: str, amount: Any, limit: Any, shown: str, limited: str, unlimited: str
) -> tuple[str, str, str, float | None]:
    return (name, shown, limited, float(amount) / float(limit)) if limit else (name, shown, unlimited, None)


def _figure_table(figures: Iterable[tuple[str, str, str, float | None]], width: int) -> Table:
    from rich.text import Text

    table = _table(("", "left"), ("", "right"), ("", "left"), ("", "left"))
    table.show_header = False
    for name, value, more, share in figures:
        tone = "bold red" if name.startswith("errors") and value != "0" else "bold"
        _add(table, name, Text(value, tone), Text(more, "dim"), "" if share is None or width < _NARROW else _bar(share))
    return table


def _columns(status: Status) -> RenderableType:
    from rich.text import Text

    from dslkit.analysis.live import COLUMNS, SHOWN

    highest = max(*status.columns, 1)
    levels = [0 if not count else 1 + round(count / highest * (len(_SPARKS) - 2)) for count in status.columns]
    sparks = "".join(_SPARKS[level] for level in levels)
    width = SHOWN.total_seconds() / COLUMNS
    return Text.assemble((sparks, "cyan"), (f"  last ten minutes, at most {highest:,} in {width:.0f} s", "dim"))


def _lane_table(lanes: Iterable[LaneStatus], width: int) -> Table:
    table = _table(("model", "left"), ("in flight", "right"), ("queue", "right"))
    if width >= _NARROW:
        table.add_column("shut for", justify="right")
        table.add_column("refused", justify="right")
    for lane in lanes:
        gate = lane.gate
        windows = (
            f"  {one.used:,.0f}{f' of {one.limit:,.0f}' if isfinite(one.limit) else ''} {one.unit} / {one.window_s:g} s"
            for one in gate.windows
        )
        held = f"{gate.held_s:.1f} s" if gate.held_s else ""
        cells = (
            "\n".join((lane.model, *windows)),
            f"{gate.all_in_flight:,}",
            f"{gate.all_waiting:,}",
            held,
            f"{gate.refused:,}",
        )
        _add(table, *cells[: len(table.columns)])
    return table


def _run_table(status: Status, width: int) -> Table:
    from rich.text import Text

    table = _table(("run", "left"), ("status", "left"), ("for", "right"), ("spent", "right"), ("items", "left"))
    for run in status.runs:
        total = _total(run)
        bar = Text.assemble(_bar(run["items"] / total), " ") if total and width >= _WIDE else Text()
        made = ", ".join(f"{count} {verdict}" for verdict, count in sorted(run["verdicts"].items()))
        items = Text.assemble(bar, _progress(run), f": {made}" if made and width >= _NARROW else "")
        elapsed = _duration(((run["ended_at"] or status.at) - run["started_at"]).total_seconds())
        state = Text(plain(run["status"]), _TONES.get(run["status"], ""))
        name = f"{run['run_id'][:8]} {run['notebook']}" if width >= _WIDE else run["run_id"][:8]
        _add(table, name, state, elapsed, usd(run["spent"]), items)
    return table


def _call_table(calls: Iterable[Mapping[str, Any]]) -> Table:
    from rich.text import Text

    table = _table(("ended", "left"), ("model", "left"), ("for", "left"), ("tokens", "right"), ("cost", "right"))
    table.add_column("seconds", justify="right")
    table.add_column("outcome")
    for call in calls:
        about = " ".join(call[name] for name in ("stage", "item_id") if call[name])
        tokens = " + ".join(
            "?" if call[name] is None else f"{call[name]:,}" for name in ("input_tokens", "output_tokens")
        )
        outcome = call["error_type"] or call["outcome"]
        shown = Text(plain(outcome), _TONES.get(call["outcome"], "yellow"))
        cells = (f"{call['ended_at'].astimezone(UTC):%H:%M:%S}", call["request_model"], about, tokens)
        _add(table, *cells, usd(call["cost_usd"]), f"{call['latency_s'] or 0:.2f}", shown)
    return table


def _table(*columns: tuple[str, Any]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis")
    return table


def _add(table: Table, *cells: str | Text) -> None:
    """A row; words from outside are words, not rich's markup."""
    from rich.text import Text

    table.add_row(*(Text(plain(cell)) if isinstance(cell, str) else cell for cell in cells))


def _bar(share: float) -> Text:
    from rich.text import Text

    full = round(min(max(share, 0.0), 1.0) * _BAR)
    tone = "red" if share > 1 else "cyan"
    return Text.assemble(("█" * full, tone), ("░" * (_BAR - full), "dim"))


def _progress(run: Mapping[str, Any]) -> str:
    total = _total(run)
    return f"{run['items']:,} of {total:,} items" if total else f"{run['items']:,} items"


def _total(run: Mapping[str, Any]) -> int | None:
    return _length(run["requirements"]) if run["requirements"] else None


@lru_cache(maxsize=64)
def _length(file: str) -> int | None:
    """How many requirements a file has; None where it cannot be read from here."""
    from dslkit.batch.requirements import load

    path = Path(file)
    try:
        return len(load(path)) if path.is_file() and path.stat().st_size < _LARGE else None
    except (DslkitError, OSError):
        return None


def _seconds(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds:.2f} s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0)), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02}"
