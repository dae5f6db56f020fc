"""The top of the report: what it is about, and the answer in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.report import formats
from dslkit.report.markup import render, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from markupsafe import Markup

    from dslkit.analysis.scope import Scope
    from dslkit.report.pace import Pace
    from dslkit.report.savings import Suggestion
    from dslkit.report.values import ItemSums, Quantiles, Sums

_NAMED = 3  # of models and of stages, in a sentence

OFFLINE_NOTICE = (
    "No language model was called: the offline stand-in answered, which fills in shipped patterns, so that dslkit can "
    "be tried without a key. Cost is 0; latencies and verdicts say nothing about a model."
)
PARTLY_OFFLINE_NOTICE = (
    "{} of {} were answered by the offline stand-in, not by a language model, at cost 0. "
    "They are included in every figure below."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a scope comes to."""

    sums: Sums
    items: ItemSums
    latency: Quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview(Totals):
    """What the top of the report needs: totals, those of the period before, and the month's pace, where they apply."""

    scope: Scope
    before: Totals | None
    pace: Pace | None
    unpriced_models: Sequence[str]


def heading(overview: Overview, title: str, answers: Sequence[tuple[str, str]]) -> Markup:
    """Title, the answer in a sentence, period and scope, further questions answered, and what to know before all."""
    return render(
        "heading",
        title=title,
        lede=_lede(overview),
        scope=_scope(overview),
        answers=answers,
        notices=list(_notices(overview)),
    )


def on_what(spent: Decimal, models: Sequence[Sums], stages: Sequence[Sums]) -> str:
    """The dearest models and stages with their shares."""
    by_model, by_stage = (_shares(rows, spent) for rows in (models, stages))
    return f"{by_model}. By stage: {by_stage}." if by_stage and stages[0].name else f"{by_model}."


def _shares(rows: Sequence[Sums], spent: Decimal) -> str:
    """The dearest, each with its share of what was spent."""
    dearest = [row for row in rows if row.cost_usd][:_NAMED]
    return ", ".join(f"{shorten(row.name or 'no name', 40)} {formats.share(row.cost_usd, spent)}" for row in dearest)


def cheaper(found: Sequence[Suggestion]) -> str:
    """The largest saving; how many more there are."""
    if not found:
        return "Nothing that these figures support."
    more = f"; {formats.plural(len(found) - 1, 'more suggestion')} below" if len(found) > 1 else ""
    return f"{found[0].advice}: {formats.usd(found[0].saving_usd)} less{more}."


def _lede(overview: Overview) -> str:
    sums, items = overview.sums, overview.items
    if not sums.attempts and not items.items:
        return "Nothing is recorded here yet: no call, no item."
    calls = formats.plural(sums.calls, "call")
    if not sums.attempts:
        spending = "No call was made"
    elif sums.offline == sums.attempts:
        spending = f"Nothing was spent on {calls} to the offline stand-in"
    else:
        spending = _spending(sums)
    if not items.items:
        return f"{spending}."
    verdict = (
        f"{items.working:,} of {formats.plural(items.items, 'workflow')} {'works' if items.working == 1 else 'work'}"
    )
    if items.cost_usd and items.cost_per_working is not None:
        verdict += f", at {formats.usd(items.cost_per_working)} {'or more ' if items.unpriced else ''}each"
    return f"{spending}. {verdict}."


def _spending(sums: Sums) -> str:
    calls = formats.plural(sums.calls, "call")
    unknown = f"of {formats.plural(sums.unpriced, 'attempt')} the price is unknown"
    if sums.unpriced and not sums.cost_usd:
        known = f"{calls}; {unknown}"
    elif sums.unpriced:
        known = f"{calls} cost {formats.usd(sums.cost_usd)} or more: {unknown}"
    else:
        known = f"{calls} cost {formats.usd(sums.cost_usd)}"
    return known if sums.answered else f"{known}, and none was answered"


def _scope(overview: Overview) -> str:
    sums, scope = overview.sums, overview.scope
    parts = []
    if sums.first and sums.last:
        parts.append(f"{formats.period(sums.first, sums.last)} (UTC)")
    elif scope.since:
        parts.append(f"since {formats.minute(scope.since)} (UTC)")
    parts.append(f"run {scope.run}" if scope.run else f"all runs ({sums.runs:,})" if sums.runs else "all runs")
    return " · ".join(parts)


def _notices(overview: Overview) -> Iterator[str]:
    attempts = overview.sums.attempts
    if not attempts and not overview.items.items:
        yield (
            "The ledger has no calls or items in this scope. Generate workflows with dslkit batch, or widen the "
            "period; then write the report again."
        )
    offline = overview.sums.offline
    if offline and offline == attempts:
        yield OFFLINE_NOTICE
    elif offline:
        yield PARTLY_OFFLINE_NOTICE.format(f"{offline:,}", formats.plural(attempts, "attempt"))
