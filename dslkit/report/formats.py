"""Numbers as people read them: money, counts, durations, shares.  Unknown is an en dash, never 0."""

# ruff: noqa: PLR2004 - where rounding changes is what this file is about

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN = "–"
NARROW_SPACE = "\u202f"
_COMPACT = ((1_000_000_000, "bn"), (1_000_000, "M"), (1_000, "k"))


def usd(amount: Decimal | None, decimals: int | None = None) -> str:
    """``$1,234.50``; small amounts keep two significant digits (``$0.0012``), 0 is ``$0``.

    ``decimals`` fixes the places, so that a column of amounts is aligned; less than its last place is ``<$0.01``.
    """
    if amount is None:
        return UNKNOWN
    if amount == 0:
        return "$0" if decimals is None else f"${0:.{decimals}f}"
    if decimals is None:
        decimals = usd_decimals(amount)
    smallest = Decimal(1).scaleb(-decimals)
    if abs(amount) < smallest / 2:
        return f"<${smallest}" if amount > 0 else f">−${smallest}"
    sign = "−" if amount < 0 else ""
    return f"{sign}${abs(amount).quantize(smallest, ROUND_HALF_UP):,f}"


def usd_decimals(largest: Decimal) -> int:
    """Places that show an amount of this size with at least two significant digits; never less than cents."""
    return 2 if largest == 0 else min(9, max(2, 1 - abs(largest).adjusted()))


def dollars(amount: float) -> str:
    """As `usd`, of a mean, to nine decimals."""
    return usd(Decimal(amount).quantize(Decimal("1e-9")))


def count(number: float | None) -> str:
    """``1,234``."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def compact(number: int) -> str:
    """``3.21 M``: three significant digits, for a large figure."""
    for size, letter in _COMPACT:
        if number >= size * 0.9995:  # so that 999,999 is 1.00 M
            scaled = number / size
            places = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{places}f}{NARROW_SPACE}{letter}"
    return str(number)


def seconds(duration: float | None) -> str:
    """``0.042 s``, ``1.24 s``, ``3 min 12 s``, ``2 h 05 min``."""
    if duration is None:
        return UNKNOWN
    if duration < 120:
        return f"{plain_seconds(duration)}{NARROW_SPACE}s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 120:
        return f"{minutes}{NARROW_SPACE}min {rest:02d}{NARROW_SPACE}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 72:
        return f"{hours}{NARROW_SPACE}h {minutes:02d}{NARROW_SPACE}min"
    return f"{hours // 24}{NARROW_SPACE}d {hours % 24}{NARROW_SPACE}h"


def plain_seconds(duration: float | None) -> str:
    """``1.24``, for a column of seconds."""
    if duration is None:
        return UNKNOWN
    if duration == 0:
        return "0"
    places = 3 if duration < 0.1 else 2 if duration < 100 else 0
    return "<0.001" if duration < 0.0005 else f"{duration:,.{places}f}"


def share(part: float | Decimal, whole: float | Decimal) -> str:
    """``12 %``; a share that is not nothing is never shown as 0, nor one short of all as 100."""
    if not whole:
        return UNKNOWN
    percent = float(part) / float(whole) * 100
    if 0 < percent < 0.5:
        return f"<1{NARROW_SPACE}%"
    if 99.5 <= percent < 100:
        return f">99{NARROW_SPACE}%"
    return f"{percent:.0f}{NARROW_SPACE}%"


def signed(percent: float) -> str:
    """With its sign, whole, with one decimal below ten: ``+29``, ``+4.1``; what rounds to nothing is ``0``."""
    if abs(percent) < 0.05:
        return "0"
    return f"{'+' if percent >= 0 else '−'}{abs(percent):,.{0 if abs(percent) >= 9.95 else 1}f}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """``1 call``, ``1,204 calls``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def some(names: Sequence[str], most: int = 3) -> str:
    """``gpt-4o, o4-mini and 2 more``; one more than ``most`` is named rather than counted."""
    shown = list(names) if len(names) <= most + 1 else list(names[:most])
    if len(names) > len(shown):
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def day(moment: datetime) -> str:
    """``3 September 2026`` (UTC)."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y}"


def minute(moment: datetime) -> str:
    """``2026-09-03 14:05`` (UTC)."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def period(first: datetime, last: datetime) -> str:
    """From day to day, or from minute to minute of one day: UTC, as short as it can be said."""
    first, last = first.astimezone(UTC), last.astimezone(UTC)
    if first.date() == last.date():
        times = f"{first:%H:%M}" if last - first < timedelta(minutes=1) else f"{first:%H:%M} – {last:%H:%M}"
        return f"{day(first)}, {times}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} – {day(last)}"
    if first.year == last.year:
        return f"{first.day} {first:%B} – {day(last)}"
    return f"{day(first)} – {day(last)}"
