"""How many tokens a request will cost, before it is sent: from its text at first, from experience later.

Experience is kept per model and stage: tokens for each character of the prompt, and tokens of the answer, as slowly
forgetting averages.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.llm.protocol import CHARS_PER_TOKEN, RequestFacts

if TYPE_CHECKING:
    from dslkit.records import Usage

DEFAULT_OUTPUT_TOKENS = 256
_FORGET = 0.1
_ENOUGH = 5
_SPREADS = 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens expected of a request."""

    input_tokens: int
    output_tokens: int

    @property
    def total(self) -> int:
        """What a token window is charged."""
        return self.input_tokens + self.output_tokens


class _Average:
    """A slowly forgetting mean and spread."""

    __slots__ = ("count", "mean", "variance")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.variance = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        share = max(_FORGET, 1 / self.count)
        difference = value - self.mean
        self.mean += share * difference
        self.variance = (1 - share) * (self.variance + share * difference * difference)

    def high(self) -> float:
        """A value that few exceed."""
        return self.mean + _SPREADS * math.sqrt(self.variance)


class Estimator:
    """Learns from settled calls; thread-safe.

    With ``refunds`` the server is taken to charge real usage in the end, and the answer is estimated by experience even
    where the request allows more; without, by what the request allows (``max_tokens``), as servers do that charge that.
    """

    def __init__(self, *, refunds: bool = False) -> None:
        self._refunds = refunds
        self._lock = threading.Lock()
        self._input: dict[tuple[str, str | None], _Average] = {}
        self._output: dict[tuple[str, str | None], _Average] = {}

    def estimate(self, facts: RequestFacts, stage: str | None) -> Estimate:
        """Tokens expected of a request of this model and stage."""
        by_rule = facts.prompt_chars // CHARS_PER_TOKEN
        rate = self._input.get((facts.model, stage))
        learned = math.ceil(rate.mean * facts.prompt_chars) if rate and rate.count >= _ENOUGH else 0
        return Estimate(max(1, by_rule, learned), self._answer(facts, stage))

    def learn(self, facts: RequestFacts, stage: str | None, usage: Usage) -> None:
        """Take the reported usage of a request of this model and stage into account."""
        if usage.source != "reported":
            return
        with self._lock:
            if usage.input_tokens and facts.prompt_chars:
                average = self._input.setdefault((facts.model, stage), _Average())
                average.add(usage.input_tokens / facts.prompt_chars)
            if usage.output_tokens is not None:
                self._output.setdefault((facts.model, stage), _Average()).add(usage.output_tokens)

    def _answer(self, facts: RequestFacts, stage: str | None) -> int:
        if not facts.generates:
            return 0
        allowed = facts.max_output_tokens
        if allowed is not None and not self._refunds:
            return allowed
        seen = self._output.get((facts.model, stage))
        expected = math.ceil(seen.high()) if seen and seen.count >= _ENOUGH else DEFAULT_OUTPUT_TOKENS
        return min(allowed, expected) if allowed is not None else expected
