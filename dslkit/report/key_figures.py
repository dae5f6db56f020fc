"""The key figures, how they changed since the period before, and what they leave out."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from dslkit.report import formats
from dslkit.report.markup import Figure, Tone, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dslkit.report.pace import Pace
    from dslkit.report.summary import Overview
    from dslkit.report.values import ItemSums, Sums

_Number = int | float | Decimal


def key_figures(overview: Overview) -> Markup:
    """The figures that whoever pays looks for, then what is not in them."""
    if not overview.sums.attempts and not overview.items.items:
        return Markup("")
    spend, *results = _result_figures(overview)
    figures = [spend, *_pace_figure(overview.pace), *results, *_call_figures(overview)]
    return render("key_figures", figures=figures, caveats=list(_caveats(overview.sums, overview.unpriced_models)))


def spent(cost: Decimal, unpriced: int, unknown: int = 0) -> str:
    """``$1.23 + 14 attempts of unknown price``: what is known and what is not, in one breath."""
    missing = [
        formats.plural(number, f"attempt of unknown {what}", f"attempts of unknown {what}")
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


def _result_figures(overview: Overview) -> Iterator[Figure]:
    sums, items = overview.sums, overview.items
    yield Figure("Spend", at_least(sums.cost_usd, sums.unpriced), _spend_notes(sums), change=_spend_change(overview))
    if not items.items:
        return
    tone: Tone = "bad" if not items.working else ""
    yield Figure(
        "Working workflows",
        f"{items.working:,} of {items.items:,}",
        _verdict_notes(items),
        tone,
        _working_change(overview),
    )
    price = at_least(items.cost_per_working, items.unpriced)
    before = overview.before.items.cost_per_working if overview.before else None
    yield Figure(
        "Cost per working workflow",
        price,
        _price_notes(items),
        change=_change(items.cost_per_working, before, formats.usd),
    )


def _spend_notes(sums: Sums) -> list[str]:
    notes = [
        f"+ {formats.plural(number, f'attempt of unknown {what}', f'attempts of unknown {what}')}"
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
    if items.repeated:
        notes.append(f"reused {formats.plural(items.repeated, 'time')}, counted once")
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
    before = overview.before.sums if overview.before else None
    change = _change(sums.calls, before.calls if before else None, formats.count)
    yield Figure(
        "Calls", formats.count(sums.calls), [formats.plural(n, *words) for n, *words in kinds if n], change=change
    )
    parts = f"{formats.compact(sums.input_tokens)} in · {formats.compact(sums.output_tokens)} out"
    change = _change(sums.tokens, before.tokens if before else None, formats.compact)
    yield Figure("Tokens", formats.compact(sums.tokens), [parts], change=change)
    yield Figure(
        "Latency, median",
        formats.seconds(latency.p50),
        [f"95 % within {formats.seconds(latency.p95)}"] if latency.count else ["no call was answered"],
        change=_change(latency.p50, overview.before.latency.p50 if overview.before else None, formats.seconds),
    )
    yield Figure(
        "Held back by the throttle",
        formats.seconds(sums.wait_s),
        _wait_notes(sums),
        change=_change(sums.wait_s, before.wait_s if before else None, formats.seconds),
    )
    yield Figure(
        "Failed attempts",
        formats.share(sums.errors + sums.cancelled, sums.attempts),
        _failure_notes(sums),
        "bad" if sums.errors + sums.cancelled == sums.attempts else "",
        _points(_failing(sums), _failing(before) if before else None),
    )


def _pace_figure(pace: Pace | None) -> Iterator[Figure]:
    if pace is not None:
        days = formats.plural(round(pace.days), "day")
        notes = [f"{formats.usd(pace.so_far)} so far", f"{formats.usd(pace.a_day)} a day over the last {days}"]
        yield Figure(f"{pace.month:%B} at this pace", formats.usd(pace.estimate), notes)


def _spend_change(overview: Overview) -> str:
    return _change(overview.sums.cost_usd, overview.before.sums.cost_usd if overview.before else None, formats.usd)


def _working_change(overview: Overview) -> str:
    if overview.before is None:
        return ""
    shares = [
        total.items.working / total.items.items if total.items.items else None for total in (overview, overview.before)
    ]
    return _points(*shares)


def _change(now: _Number | None, before: _Number | None, write: Callable[[Any], str]) -> str:
    """``+29 %, before $6.10``; empty when there was nothing before."""
    if now is None or not before:
        return ""
    percent = (float(now) / float(before) - 1) * 100
    return f"{formats.signed(percent)}{formats.NARROW_SPACE}%, before {write(before)}"


def _points(now: float | None, before: float | None) -> str:
    if now is None or before is None:
        return ""
    return f"{formats.signed((now - before) * 100)} points, before {formats.share(before, 1)}"


def _wait_notes(sums: Sums) -> list[str]:
    if not sums.waited:
        return ["no attempt had to wait"]
    notes = [f"{sums.waited:,} of {formats.plural(sums.attempts, 'attempt')} waited"]
    if sums.offline < sums.attempts:  # the stand-in answers at once, so that its share would be all waiting
        notes.append(f"{formats.share(sums.wait_s, sums.wait_s + sums.busy_s)} of waiting and latency together")
    return notes


def _failing(sums: Sums) -> float | None:
    return (sums.errors + sums.cancelled) / sums.attempts if sums.attempts else None


def _failure_notes(sums: Sums) -> list[str]:
    lost = sums.calls - sums.answered
    failed = sums.errors + sums.cancelled
    if not failed and not lost:
        return ["every call was answered"]
    return [
        f"{failed:,} of {sums.attempts:,}",
        f"{formats.plural(lost, 'call')} never answered" if lost else "every call answered in the end",
    ]


def _caveats(sums: Sums, unpriced_models: Sequence[str]) -> Iterator[str]:
    """What the figures cannot know, each with its number."""
    if sums.unpriced:
        yield (
            f"{formats.plural(sums.unpriced, 'attempt')} of unknown price: tokens were used, but no price is known for "
            f"{formats.some(unpriced_models)}. Add one to the price file, then reprice the ledger."
        )
    if sums.unknown:
        yield (
            f"{formats.plural(sums.unknown, 'attempt')} of unknown outcome: the process ended before the answer came. "
            f"The provider may have charged for {'it' if sums.unknown == 1 else 'them'}."
        )
    if sums.unanswered:
        yield (
            f"{formats.plural(sums.unanswered, 'attempt')} ended without an answer (timeout, lost connection, "
            "cancelled). A charge is unlikely, but cannot be ruled out."
        )
    if sums.estimated:
        yield f"{formats.plural(sums.estimated, 'attempt')} cut short: tokens, and so cost, are estimated."
