"""The top of the report: what it is about, the answer in a sentence, the key figures, and what they leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from dslkit.report import formats
from dslkit.report.markup import Figure, Tone, render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from dslkit.analysis.scope import Scope
    from dslkit.report.values import ItemSums, Quantiles, Sums

OFFLINE_NOTICE = (
    "No language model was called: the offline stand-in answered, which fills in shipped patterns, so that dslkit can "
    "be tried without a key. Cost is 0; latencies and verdicts say nothing about a model."
)
PARTLY_OFFLINE_NOTICE = (
    "{} of {} were answered by the offline stand-in, not by a language model, at cost 0. "
    "They are included in every figure below."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the top of the report needs."""

    scope: Scope
    sums: Sums
    items: ItemSums
    latency: Quantiles


def heading(overview: Overview, title: str) -> Markup:
    """Title, the answer in a sentence, period and scope, and a notice when no model was called."""
    return render(
        "heading", title=title, lede=_lede(overview), scope=_scope(overview), notices=list(_notices(overview))
    )


def key_figures(overview: Overview) -> Markup:
    """The figures that whoever pays looks for, then what is not in them."""
    if not overview.sums.attempts and not overview.items.items:
        return Markup("")
    figures = [*_result_figures(overview), *_call_figures(overview)]
    return render("key_figures", figures=figures, caveats=list(_caveats(overview.sums)))


def spent(cost: Decimal, unpriced: int, unknown: int = 0) -> str:
    """``$1.23 + 14 calls of unknown price``: what is known and what is not, in one breath."""
    missing = [
        formats.plural(number, f"call of unknown {what}", f"calls of unknown {what}")
        for number, what in ((unpriced, "price"), (unknown, "outcome"))
        if number
    ]
    if cost == 0 and missing:
        return " + ".join(missing)
    return " + ".join([formats.usd(cost), *missing])


def at_least(cost: Decimal | None, unpriced: int) -> str:
    """The amount, marked as a lower bound when part of it is unknown; unknown when nothing of it is known."""
    if cost is None or (cost == 0 and unpriced):
        return formats.UNKNOWN
    return f"{'≥ ' if unpriced else ''}{formats.usd(cost)}"


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
    if sums.unpriced and not sums.cost_usd:
        known = f"{calls}; of {sums.unpriced:,} the price is unknown"
    elif sums.unpriced:
        known = f"{calls} cost {formats.usd(sums.cost_usd)}, plus {sums.unpriced:,} whose price is unknown"
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


def _result_figures(overview: Overview) -> Iterator[Figure]:
    sums, items = overview.sums, overview.items
    yield Figure("Spend", at_least(sums.cost_usd, sums.unpriced), _spend_notes(sums))
    if not items.items:
        return
    tone: Tone = "bad" if not items.working else ""
    yield Figure("Working workflows", f"{items.working:,} of {items.items:,}", _verdict_notes(items), tone)
    price = at_least(items.cost_per_working, items.unpriced)
    yield Figure("Cost per working workflow", price, _price_notes(items))


def _spend_notes(sums: Sums) -> list[str]:
    notes = [
        f"+ {formats.plural(number, f'call of unknown {what}', f'calls of unknown {what}')}"
        for number, what in ((sums.unpriced, "price"), (sums.unknown, "outcome"))
        if number
    ]
    return notes or ([f"{formats.usd(sums.cost_usd / sums.calls)} a call"] if sums.calls and sums.cost_usd else [])


def _verdict_notes(items: ItemSums) -> list[str]:
    clean = "clean, not run" if items.not_run == items.clean else "clean"
    kinds = ((items.clean, clean), (items.errors, "with errors"), (items.failed, "failed"))
    notes = [" · ".join(f"{number:,} {kind}" for number, kind in kinds if number)]
    if items.reused:
        notes.append(f"{items.reused:,} reused from an earlier run")
    return [note for note in notes if note]


def _price_notes(items: ItemSums) -> list[str]:
    if not items.fresh_working:
        return ["none was made and works here"]
    if not items.calls:
        return ["their calls are not in this ledger"]
    return [f"{spent(items.cost_usd, items.unpriced)} for {formats.plural(items.fresh_working, 'workflow')} made here"]


def _call_figures(overview: Overview) -> Iterator[Figure]:
    sums, latency = overview.sums, overview.latency
    if not sums.attempts:
        return
    kinds = [(sums.retries, "retry", "retries"), (sums.cached_answers, "answer from cache", "answers from cache")]
    yield Figure("Calls", formats.count(sums.calls), [formats.plural(n, *words) for n, *words in kinds if n])
    parts = f"{formats.compact(sums.input_tokens)} in · {formats.compact(sums.output_tokens)} out"
    yield Figure("Tokens", formats.compact(sums.tokens), [parts])
    yield Figure(
        "Latency, median",
        formats.seconds(latency.p50),
        [f"95 % within {formats.seconds(latency.p95)}"] if latency.count else ["no call was answered"],
    )
    waited = formats.share(sums.wait_s, sums.wait_s + sums.busy_s)
    yield Figure("Time spent waiting", waited, [f"{formats.seconds(sums.wait_s)} held back by the throttle"])
    failed = sums.errors + sums.cancelled
    tone: Tone = "bad" if failed == sums.attempts else ""
    yield Figure("Failed attempts", formats.share(failed, sums.attempts), _failure_notes(sums), tone)


def _failure_notes(sums: Sums) -> list[str]:
    lost = sums.calls - sums.answered
    failed = sums.errors + sums.cancelled
    if not failed and not lost:
        return ["every call was answered"]
    return [
        f"{failed:,} of {sums.attempts:,}",
        f"{formats.plural(lost, 'call')} never answered" if lost else "every call answered in the end",
    ]


def _caveats(sums: Sums) -> Iterator[str]:
    """What the figures cannot know, each with its number."""
    if sums.unpriced:
        yield (
            f"{formats.plural(sums.unpriced, 'call')} of unknown price: tokens were used, but no price is known for "
            "the model. Add one to the price file, then reprice the ledger."
        )
    if sums.unknown:
        yield (
            f"{formats.plural(sums.unknown, 'attempt')} of unknown outcome: the process ended before the answer came. "
            "The provider may have charged for them."
        )
    if sums.unanswered:
        yield (
            f"{formats.plural(sums.unanswered, 'attempt')} ended without an answer (timeout, lost connection, "
            "cancelled). A charge is unlikely, but cannot be ruled out."
        )
    if sums.estimated:
        yield f"{formats.plural(sums.estimated, 'attempt')} cut short: tokens, and so cost, are estimated."
