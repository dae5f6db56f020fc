"""Verbs that look ahead: what a batch will take, and what the same calls would have cost otherwise."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads it from the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from dslkit.cli.accounts import AsJson, RunId, Since, instant
from dslkit.cli.generation import AppModeName, AppModeOption, Elaborate, ModeName, ModeOption
from dslkit.cli.terminal import put_json, put_table, say, usd
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dslkit.analysis.estimate import Estimate
    from dslkit.analysis.forecast import Forecast, Range, Speed
    from dslkit.records import Complexity
    from dslkit.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(estimate)
    app.command("whatif")(what_if)


def estimate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Requirements, as for batch.")],
    model: Annotated[str | None, typer.Option(help="Model to be asked. Default: DSLKIT_MODEL.")] = None,
    mode: ModeOption = ModeName.simple,
    app_mode: AppModeOption = AppModeName.workflow,
    complexity: Elaborate = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Items in the making at once.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Say what a batch will take: calls, tokens, USD and time, each with a range.  Nothing is sent."""
    from dslkit.analysis.estimate import estimate as look_ahead
    from dslkit.batch import load
    from dslkit.batch.recipe import Recipe
    from dslkit.ledger import Ledger
    from dslkit.pricing import Prices
    from dslkit.settings import load_settings

    settings = load_settings()
    elaborate: Complexity | None = complexity.value if complexity else None
    recipe = Recipe(model=model or settings.model, mode=mode.value, app_mode=app_mode.value, complexity=elaborate)
    found = look_ahead(
        load(file), recipe, Ledger(settings.home), settings.home,
        prices=Prices(settings.prices), speed=_speed(settings, recipe.model, concurrency), at=datetime.now(UTC),
    )  # fmt: skip
    if as_json:
        put_json({"model": recipe.model, "mode": recipe.mode, **asdict(found)})
    else:
        _show(found, recipe.model)


def _speed(settings: Settings, model: str, concurrency: int) -> Speed:
    """As fast as the settings let a batch be; nothing limits the model that is none."""
    from dslkit.analysis.forecast import Speed
    from dslkit.settings import OFFLINE_MODEL

    at_once = min(concurrency, settings.concurrency)
    if model == OFFLINE_MODEL:
        return Speed(concurrency=at_once)
    requests, tokens = settings.requests_per_minute, settings.tokens_per_minute
    return Speed(concurrency=at_once, requests=requests, tokens=tokens)


def _show(found: Estimate, model: str) -> None:
    done = f"; {found.done:,} done already, which cost nothing" if found.done else ""
    say(f"{found.items:,} item{'s' * (found.items != 1)}, model {model}{done}")
    if found.forecast is not None:
        put_table(("", "most likely", "90 % range"), list(_lines(found.forecast)))
        say(_grounds(found.forecast, model))


def _lines(ahead: Forecast) -> Iterator[tuple[str, str, str]]:
    counts: Callable[[float], str] = "{:,.0f}".format
    for name, expected, write in (
        ("calls", ahead.calls, counts),
        ("input tokens", ahead.input_tokens, counts),
        ("output tokens", ahead.output_tokens, counts),
        ("cost", ahead.cost_usd, lambda value: usd(Decimal(str(round(value, 6))))),
        ("time", ahead.seconds, _duration),
    ):
        yield (name, *_told(expected, write))


def _told(expected: Range | None, write: Callable[[float], str]) -> tuple[str, str]:
    if expected is None:
        return "?", "no price is known for the model"
    return write(expected.middle), f"{write(expected.low)} to {write(expected.high)}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _grounds(ahead: Forecast, model: str) -> str:
    from dslkit.settings import OFFLINE_MODEL

    runs = f"{ahead.runs:,} run{'s' if ahead.runs != 1 else ''}"
    if not ahead.past:
        who = model if model == OFFLINE_MODEL else "a language model"
        learned = f"by a rough prior: the ledger holds no item that {who} made in this mode"
    elif ahead.own < ahead.past:
        learned = f"learned from {ahead.past:,} items of {runs}, {ahead.own:,} of them of {model}"
    else:
        learned = f"learned from {ahead.past:,} items of {model} in {runs}"
    held = {
        "concurrency": "how many are made at once",
        "requests": "the limit of requests a minute",
        "tokens": "the limit of tokens a minute",
    }
    return f"{learned}; the time is set by {held[ahead.bound or 'concurrency']}"


def what_if(
    models: Annotated[list[str] | None, typer.Option("--model", help="On this model; may be repeated.")] = None,
    batch: Annotated[bool, typer.Option("--batch", help="At the provider's prices for batches.")] = False,
    cached: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="With this share of the input read from the provider's cache."),
    ] = None,
    run_id: RunId = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Price the same calls again: on other models, in batches, with more cached input."""
    from dslkit.analysis import Scope
    from dslkit.analysis.whatif import Change, used
    from dslkit.analysis.whatif import what_if as priced
    from dslkit.ledger import Ledger
    from dslkit.pricing import Prices
    from dslkit.settings import load_settings

    settings, at = load_settings(), datetime.now(UTC)
    calls = used(Ledger(settings.home).snapshot(), Scope(run_id, instant(since)))
    if not calls:
        raise UsageError("The ledger has no call with known tokens in this scope. `dslkit runs` lists what there is.")
    prices = Prices(settings.prices)
    unpriced = sum(one.unpriced for one in calls)
    recorded = sum((one.cost_usd for one in calls if one.cost_usd is not None), Decimal(0))
    rows = [("as recorded", None if unpriced else recorded)]
    for model in models or (None,):
        change = Change(model=model, batch=batch, cached=cached)
        rows.append((_named(change), priced(calls, change, prices, at)))
    if as_json:
        put_json([{"what": what, "cost_usd": cost} for what, cost in rows])
        return
    put_table(("calls", "cost", "change"), [(what, usd(cost), _change(cost, rows[0][1])) for what, cost in rows])
    attempts = sum(one.attempts for one in calls)
    say(f"{attempts:,} attempts with the same tokens; {unpriced:,} of unknown price in the record")


def _named(change: object) -> str:
    from dslkit.analysis.whatif import Change

    assert isinstance(change, Change)
    parts = [change.model or "the same models", "in batches" if change.batch else ""]
    parts.append("" if change.cached is None else f"{change.cached:.0%} of input cached")
    return ", ".join(part for part in parts if part)


def _change(cost: Decimal | None, recorded: Decimal | None) -> str:
    return "?" if cost is None or not recorded else f"{(cost / recorded - 1) * 100:+.0f} %"
