"""Numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from dslkit.report import formats
from dslkit.report.markup import shorten

SPACE = formats.NARROW_SPACE


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (None, None, "–"),
        (Decimal(0), None, "$0"),
        (Decimal(0), 3, "$0.000"),
        (Decimal("1234.5"), None, "$1,234.50"),
        (Decimal("0.5"), None, "$0.50"),
        (Decimal("0.0123"), None, "$0.012"),
        (Decimal("0.00123456"), None, "$0.0012"),
        (Decimal("0.000000001"), None, "$0.000000001"),
        (Decimal("0.004"), 2, "<$0.01"),
        (Decimal("0.005"), 2, "$0.01"),
        (Decimal("-3.5"), None, "−$3.50"),
        (Decimal("-0.004"), 2, ">−$0.01"),
        (Decimal(1_000_000), None, "$1,000,000.00"),
    ],
)
def test_usd(amount, decimals, text) -> None:
    assert formats.usd(amount, decimals) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (9_999, f"10.0{SPACE}k"),
     (1000, f"1.00{SPACE}k"), (12_345, f"12.3{SPACE}k"), (3_210_000, f"3.21{SPACE}M"),
     (999_999, f"1.00{SPACE}M"), (7_100_000_000, f"7.10{SPACE}bn")],
)  # fmt: skip
def test_compact(number, text) -> None:
    assert formats.compact(number) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (None, "–"),
        (0, f"0{SPACE}s"),
        (0.0001, f"<0.001{SPACE}s"),
        (0.042, f"0.042{SPACE}s"),
        (1.236, f"1.24{SPACE}s"),
        (119, f"119{SPACE}s"),
        (192, f"3{SPACE}min 12{SPACE}s"),
        (7_500, f"2{SPACE}h 05{SPACE}min"),
        (1_000_000, f"11{SPACE}d 13{SPACE}h"),
    ],
)
def test_seconds(duration, text) -> None:
    assert formats.seconds(duration) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "–"), (0, 5, f"0{SPACE}%"), (1, 1000, f"<1{SPACE}%"), (999, 1000, f">99{SPACE}%"), (5, 5, f"100{SPACE}%"),
     (1, 3, f"33{SPACE}%")],
)  # fmt: skip
def test_share_never_rounds_something_to_nothing(part, whole, text) -> None:
    assert formats.share(part, whole) == text


MORNING = datetime(2026, 9, 3, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (MORNING + timedelta(seconds=20), "3 September 2026, 14:05"),
        (MORNING + timedelta(minutes=2), "3 September 2026, 14:05 – 14:07"),
        (MORNING + timedelta(days=2), "3 – 5 September 2026"),
        (MORNING + timedelta(days=40), "3 September – 13 October 2026"),
        (MORNING + timedelta(days=400), "3 September 2026 – 8 October 2027"),
    ],
)
def test_period(last, text) -> None:
    assert formats.period(MORNING, last.astimezone(timezone(timedelta(hours=9)))) == text


@pytest.mark.parametrize(
    ("text", "longest", "short"),
    [("as it is", 20, "as it is"), ("two\n\tlines", 20, "two lines"), ("a" * 30, 10, "aaaaaa…aaa"), ("", 10, "")],
)
def test_shorten(text, longest, short) -> None:
    assert shorten(text, longest) == short
    assert len(short) <= longest


@pytest.mark.parametrize("text", ["مرحبا", "שלום", "\u202egnp.txt"])
def test_what_runs_from_right_to_left_is_isolated(text) -> None:
    assert shorten(text) == f"\u2068{text}\u2069"


@pytest.mark.parametrize(
    ("percent", "text"), [(0.0, "0"), (-0.04, "0"), (0.05, "+0.1"), (-4.14, "−4.1"), (9.96, "+10"), (1645, "+1,645")]
)
def test_signed(percent, text) -> None:
    assert formats.signed(percent) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [("", ""), ("a", "a"), ("ab", "a and b"), ("abcd", "a, b, c and d"), ("abcde", "a, b, c and 2 more")],
)
def test_some(names, text) -> None:
    assert formats.some(list(names)) == text
