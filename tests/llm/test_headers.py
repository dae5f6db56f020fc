"""What servers say of their limits is read with suspicion: absurd values count as not said."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslkit.llm.cadence import Word
from dslkit.llm.headers import ServerLimits, duration_s, server_limits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2", 2.0),
        ("0.25", 0.25),
        ("banana", None),
        ("", None),
        ("1s banana", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "2", "retry-after-ms": "150"}, 0.15),
        ({"retry-after-ms": "banana", "retry-after": "3"}, 3.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "31536000"}, None),
        ({"retry-after": "banana"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert server_limits(headers, refused=True).retry_after_s == seconds
    assert server_limits(headers).retry_after_s is None


def test_retry_after_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert server_limits({"retry-after": later}, refused=True).retry_after_s == pytest.approx(30, abs=2)
    assert server_limits({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, refused=True).retry_after_s == 0.0


def test_limits() -> None:
    headers = {
        "x-ratelimit-limit-requests": "200",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-tokens": "59000.0",
    }
    assert server_limits(headers) == ServerLimits(requests=Word(200, 0), tokens=Word(60000, 59000))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120ms", 0.12),
        ("7m12s", 432.0),
        ("0s", 0.0),
        ("banana", None),
        ("-5s", None),
        ("31536000", None),
        ("1e999", None),
    ],
)
def test_resets(text: str, seconds: float | None, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"x-ratelimit-limit-requests": "200", "x-ratelimit-reset-requests": text}
    assert server_limits(headers).requests.reset_s == seconds
    assert ("cannot be meant" in caplog.text) is (seconds is None)
    assert server_limits(headers, refused=True).requests.reset_s is None, "it was not counted"


@pytest.mark.parametrize("absurd", ["banana", "-5", "nan", "inf", "1e400", "", "0"])
def test_absurd_limits_are_not_said(absurd: str) -> None:
    assert server_limits({"x-ratelimit-limit-requests": absurd}).requests.limit is None


@given(st.text(max_size=20))
def test_no_text_is_too_strange(text: str) -> None:
    names = [
        "retry-after",
        "retry-after-ms",
        *(f"x-ratelimit-{word}-tokens" for word in ("limit", "remaining", "reset")),
    ]
    for refused in (True, False):
        limits = server_limits(dict.fromkeys(names, text), refused=refused)
        values = [limits.retry_after_s, limits.tokens.limit, limits.tokens.left, limits.tokens.reset_s]
        assert all(value is None or (math.isfinite(value) and value >= 0) for value in values)
