"""Which outcomes are tried again, and after what pause.  The one retry layer: the SDK's own is switched off."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from dslkit.llm.account import exhausted

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_FAILURES = 5
DEFAULT_BACKOFF_S = 0.5
DEFAULT_MAX_BACKOFF_S = 8.0
DEFAULT_PATIENCE_S = 900.0

TOO_MANY_REQUESTS = 429
_TRANSIENT = frozenset({408, 409})
_SERVER_ERROR = 500


class Verdict(Enum):
    """What to do with the outcome of an attempt."""

    DONE = "hand it to the caller"
    AGAIN = "try again; it uses up an attempt"
    REFUSED = "try again when the gate opens; it uses up nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How stubborn to be.

    ``failures`` is how often a call may fail (408, 409, 5xx, reset, timeout) before its caller hears of it; 429s do not
    count, but a call refused for ``patience_s`` seconds is given back.  Pauses grow from ``backoff_s`` to
    ``max_backoff_s`` and are jittered over their upper half.
    """

    failures: int = DEFAULT_FAILURES
    backoff_s: float = DEFAULT_BACKOFF_S
    max_backoff_s: float = DEFAULT_MAX_BACKOFF_S
    patience_s: float = DEFAULT_PATIENCE_S

    def __post_init__(self) -> None:
        if self.failures < 1:
            raise ValueError(f"failures must be at least 1, not {self.failures}")
        if not (0 < self.backoff_s <= self.max_backoff_s):
            raise ValueError("backoff_s must be above 0 and at most max_backoff_s")
        if not self.patience_s >= 0:
            raise ValueError("patience_s must not be negative")

    def pause_s(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds before the next attempt after ``failures`` of them."""
        longest = min(self.max_backoff_s, self.backoff_s * 2.0 ** min(failures - 1, 30))
        return longest * (1 + chance()) / 2


def judge_status(status: int, error_code: str | None) -> Verdict:
    """What an HTTP status calls for."""
    if status == TOO_MANY_REQUESTS:
        return Verdict.DONE if exhausted(error_code) else Verdict.REFUSED
    if status in _TRANSIENT or status >= _SERVER_ERROR:
        return Verdict.AGAIN
    return Verdict.DONE
