"""The verb alerts: hold the ledger against rules, and tell who is to be told."""

from __future__ import annotations

import os
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dslkit.cli.terminal import put, put_json, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dslkit.analysis.alerts import Alert
    from dslkit.analysis.alerts_told import News, Told


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(alerts)


def alerts(
    rules: Annotated[
        Path | None, typer.Option("--rules", metavar="FILE", help="TOML file of rules. Default: DSLKIT_ALERT_RULES.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing, remember nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs.")] = False,
) -> None:
    """Hold the ledger against rules; exit code 1 when an alert fires or cannot be delivered.  For cron."""
    from dslkit.analysis.alerts import evaluate
    from dslkit.analysis.alerts_reading import read_rules
    from dslkit.analysis.alerts_sending import channels
    from dslkit.analysis.alerts_told import Told
    from dslkit.analysis.schedules import missed
    from dslkit.ledger import Ledger
    from dslkit.settings import load_settings

    settings = load_settings()
    given = read_rules(rules or settings.alert_rules)
    ways = {} if dry_run else channels(given, os.environ)
    with Told(settings.home) if ways else nullcontext() as told:  # look after waiting: another may just have told
        now = datetime.now(UTC)
        firing = evaluate(Ledger(settings.home).snapshot(), given, now, missed(settings.home, now))
        sent = {name: _tell(told, name, send, firing, now) for name, send in ways.items()} if told else {}
    _show(firing, sent, as_json=as_json)
    raise typer.Exit(int(bool(firing) or any(one["error"] for one in sent.values())))


def _tell(
    told: Told, channel: str, send: Callable[[str], None], firing: Sequence[Alert], now: datetime
) -> dict[str, Any]:
    """Deliver what is new to one channel; a failure is said, and tried again by the next run."""
    from dslkit.analysis.alerts_sending import DeliveryError

    news: News = told.news(channel, firing)
    if news:
        told.sending(channel, now)
        try:
            send(news.text)
        except DeliveryError as error:
            say(f"{channel}: not delivered, {error}. The next run tries again.")
            return {"alerts": 0, "resolved": 0, "error": str(error)}
    told.delivered(channel, firing)
    return {"alerts": len(news.begun), "resolved": len(news.over), "error": None}


def _show(firing: Sequence[Alert], sent: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json({"firing": [{"rule": alert.rule, "text": alert.text} for alert in firing], "sent": sent})
        return
    for alert in firing:
        put(f"ALERT {alert.text}")
    if not firing:
        put("no alert")
    for channel, counts in sent.items():
        if counts["alerts"] or counts["resolved"]:
            say(f"{channel}: told of {counts['alerts']} new, {counts['resolved']} resolved")
