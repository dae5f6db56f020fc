"""What a server says of its limits: ``x-ratelimit-*`` and Retry-After, read with suspicion.

Durations come as OpenAI writes them (``1s``, ``6m0s``, ``20ms``), as seconds, or as an HTTP date.  What cannot be meant
(negative, not a number, a year) is logged and taken as not said.
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from dslkit.llm.cadence import LONGEST_S, Word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.llm.throttle import Unit

logger = logging.getLogger(__name__)

MAX_RETRY_AFTER_S = 86_400.0
NOTHING = Word()
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits and what is left of them, as one response tells."""

    requests: Word = NOTHING
    tokens: Word = NOTHING
    retry_after_s: float | None = None

    @property
    def told(self) -> bool:
        """Whether the response says anything of limits."""
        return self.requests.limit is not None or self.tokens.limit is not None


NOTHING_TOLD = ServerLimits()


def server_limits(headers: Mapping[str, str], *, refused: bool = False) -> ServerLimits:
    """Read the headers of a response; ``refused`` is whether Retry-After is of interest (429 and 503)."""
    retry_after = _retry_after(headers) if refused else None
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return ServerLimits(retry_after_s=retry_after) if retry_after is not None else NOTHING_TOLD
    return ServerLimits(
        requests=_word(headers, "requests", refused=refused),
        tokens=_word(headers, "tokens", refused=refused),
        retry_after_s=retry_after,
    )


def _word(headers: Mapping[str, str], unit: Unit, *, refused: bool) -> Word:
    limit = _number(headers, f"x-ratelimit-limit-{unit}") or None
    if refused:  # it was not counted, so what is left and when that resets are not its doing; Retry-After says more
        return Word(limit)
    return Word(limit, _number(headers, f"x-ratelimit-remaining-{unit}"), _reset(headers, f"x-ratelimit-reset-{unit}"))


def _reset(headers: Mapping[str, str], name: str) -> float | None:
    text = headers.get(name)
    if text is None:
        return None
    seconds = duration_s(text)
    if seconds is None or not 0 <= seconds <= LONGEST_S:
        logger.warning("Header %s: %r cannot be meant; ignored", name, text[:40])
        return None
    return seconds


def duration_s(text: str) -> float | None:
    """Seconds in a duration; None when it is none."""
    text = text.strip()
    matches = list(_DURATION.finditer(text))
    if matches and "".join(match[0] for match in matches) == text:
        return sum(float(match[1]) * _UNITS[match[2]] for match in matches)
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        seconds = duration_s(text)
        seconds = seconds * scale if seconds is not None else _until(text)
        if seconds is not None and 0 <= seconds <= MAX_RETRY_AFTER_S:
            return seconds
        logger.warning("Header %s: %r cannot be meant; ignored", name, text[:40])
    return None


def _until(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        logger.warning("Header %s: %r cannot be meant; ignored", name, text[:40])
        return None
    return value
