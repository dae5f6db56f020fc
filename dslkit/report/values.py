"""What the report's queries return.  Money is Decimal USD, durations are seconds, unknown is None or counted apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Attempts of one model, stage or run, or of all; ``name`` is None where the ledger does not say which.

    ``unpriced``: tokens were used, their price is not known.  ``unanswered``: ended without an answer or a status
    (a timeout, a cut connection, cancelled), so that a charge cannot be ruled out.  ``unknown``: the process died.
    ``waited``: the throttle held them back for a millisecond or more.  ``answered`` counts calls, all other counts are
    of attempts.
    """

    name: str | None
    calls: int
    answered: int
    attempts: int
    runs: int
    offline: int
    cached_answers: int
    ok: int
    errors: int
    cancelled: int
    unknown: int
    cost_usd: Decimal
    unpriced: int
    unanswered: int
    estimated: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    waited: int
    wait_s: float
    busy_s: float
    first: datetime | None
    last: datetime | None

    @property
    def retries(self) -> int:
        """Attempts beyond the first of their call."""
        return self.attempts - self.calls

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """A distribution: how many values, its percentiles in seconds, and how many were under a millisecond."""

    name: str | None
    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    longest: float | None
    none: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Values from ``low`` to ``high`` seconds (high excluded)."""

    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Attempts that ended in the same way; ``recovered`` counts those whose call was answered in the end."""

    http_status: int | None
    error_type: str | None
    outcome: str
    attempts: int
    recovered: int
    example: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One call with all its attempts: when the first left, what they cost and took together."""

    call_id: str
    model: str | None
    stage: str | None
    run_id: str | None
    item_id: str | None
    started_at: datetime
    attempts: int
    tokens: int | None
    cost_usd: Decimal | None
    latency_s: float | None
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One item of a batch with what its calls used; cost is None when none of its calls has a known price."""

    run_id: str
    item_id: str
    model: str
    verdict: str
    engine: str
    error_findings: int
    warning_findings: int
    rounds: int
    reused_from: str | None
    error_message: str | None
    calls: int
    tokens: int
    cost_usd: Decimal | None
    unpriced: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSums:
    """Items by verdict, and the cost of the calls made for them (their run and item id).

    ``reused`` were made before this scope; ``repeated`` counts records left out, of items reused within it.
    """

    items: int
    working: int
    clean: int
    errors: int
    failed: int
    not_run: int
    reused: int
    repeated: int
    fresh_working: int
    calls: int
    cost_usd: Decimal
    unpriced: int

    @property
    def cost_per_working(self) -> Decimal | None:
        """All spend on items over the working ones made in this scope; None without any, or without their calls."""
        return self.cost_usd / self.fresh_working if self.fresh_working and self.calls else None
