"""The bookkeeping of one attempt: on the budget, in the record, at the gate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2

from dslkit.llm.headers import server_limits
from dslkit.llm.protocol import CHARS_PER_TOKEN, Answer, RequestFacts
from dslkit.llm.retry import TOO_MANY_REQUESTS
from dslkit.records import CallEnd, CallStart, Outcome, Usage

if TYPE_CHECKING:
    from dslkit.llm.budget import Reservation
    from dslkit.llm.estimate import Estimate
    from dslkit.llm.gate import Clock, Permit
    from dslkit.llm.seam import Seam

_MESSAGE_CHARS = 500
_UNAVAILABLE = 503
_UNSENT = Usage(input_tokens=0, output_tokens=0)
_TROUBLE = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)  # of a server with too much to do


class Attempt:
    """The bookkeeping of one attempt: settled exactly once, its permit released exactly once."""

    def __init__(self, seam: Seam, facts: RequestFacts, estimate: Estimate, start: CallStart, permit: Permit) -> None:
        self._seam = seam
        self._facts = facts
        self._estimate = estimate
        self._start = start
        self._settled = False
        self._reservation: Reservation | None = None
        self.permit = permit
        self.clock: Clock = permit.clock
        self._began = self.clock()
        self.first_chunk_at: float | None = None

    def reserve(self) -> None:
        """Book the attempt at its estimate: on the budget, which may refuse it with BudgetError, then in the record."""
        budget, start = self._seam.budget, self._start
        if budget is not None:
            usage = Usage(input_tokens=self._estimate.input_tokens, output_tokens=self._estimate.output_tokens)
            try:
                self._reservation = budget.reserve(
                    start.provider_name,
                    start.request_model,
                    usage,
                    moment=start.started_at,
                    run_id=start.attribution.run_id,
                    tier=start.service_tier,
                )
            except BaseException:
                self.permit.release()
                raise
        self._seam.recorder.reserve(start)

    @property
    def facts(self) -> RequestFacts:
        """Of the request."""
        return self._facts

    @property
    def sent_at(self) -> float:
        """When the bytes left, by the gate's clock."""
        return self.permit.sent_at if self.permit.sent_at is not None else self._began

    def first_chunk(self) -> None:
        """The first piece of the answer has arrived."""
        if self.first_chunk_at is None:
            self.first_chunk_at = self.clock()

    def told(self, response: httpx2.Response) -> float | None:
        """Steer everybody by what the response says of limits; returns its Retry-After in seconds."""
        status = response.status_code
        limits = server_limits(response.headers, refused=status in {TOO_MANY_REQUESTS, _UNAVAILABLE})
        if limits.told:
            self.permit.told(limits)
        return limits.retry_after_s

    def settle(
        self,
        outcome: Outcome,
        *,
        answer: Answer | None = None,
        response: httpx2.Response | None = None,
        error: BaseException | None = None,
        content: bytes | None = None,
    ) -> None:
        """Book what became of it and give the permit back.  Only the first call counts."""
        if self._settled:
            return
        self._settled = True
        answer = answer or Answer()
        if answer.usage is not None:
            self._learn(answer.usage)
        self._adapt(response, error, good=outcome == "ok")
        if self._reservation is not None:
            self._settle_budget(self._reservation, answer.usage, response)
        self.permit.release()
        end = self._end(outcome, answer, response, error)
        self._seam.recorder.settle(replace(end, content=content) if self._seam.store_content else end)

    def estimated(self, output_chars: int) -> Usage:
        """The usage of an answer of which so much arrived and whose end nobody saw."""
        output = -(-output_chars // CHARS_PER_TOKEN)
        return Usage(input_tokens=self._estimate.input_tokens, output_tokens=output, source="estimated")

    def _adapt(self, response: httpx2.Response | None, error: BaseException | None, *, good: bool) -> None:
        status = response.status_code if response is not None else 0
        if status in {TOO_MANY_REQUESTS, _UNAVAILABLE} or isinstance(error, _TROUBLE):
            self.permit.overloaded()
        elif good:
            self.permit.answered((self.first_chunk_at or self.clock()) - self.sent_at)

    def _settle_budget(self, reservation: Reservation, usage: Usage | None, response: httpx2.Response | None) -> None:
        """Refusals, server errors and what was not sent cost nothing; what nobody knows stays at its estimate."""
        budget, start = self._seam.budget, self._start
        assert budget is not None  # there is a reservation
        if usage is not None:
            moment, tier = start.started_at, start.service_tier
            budget.settle(reservation, start.provider_name, start.request_model, usage, moment=moment, tier=tier)
        elif self.permit.sent_at is None or (response is not None and not response.is_success):
            budget.cancel(reservation, moment=start.started_at)

    def _learn(self, usage: Usage) -> None:
        self._seam.estimator.learn(self._facts, self._start.attribution.stage, usage)
        actual = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        if self._seam.refunds or actual > self.permit.tokens:
            self.permit.settle(actual)

    def _end(
        self, outcome: Outcome, answer: Answer, response: httpx2.Response | None, error: BaseException | None
    ) -> CallEnd:
        first = self.first_chunk_at
        failed = outcome != "ok"
        return CallEnd(
            call_id=self._start.call_id,
            attempt=self._start.attempt,
            outcome=outcome,
            ended_at=self._seam.utc_now(),
            latency_s=self.clock() - self.sent_at,
            usage=_UNSENT if failed and self.permit.sent_at is None else answer.usage,
            time_to_first_chunk_s=first - self.sent_at if first is not None else None,
            http_status=response.status_code if response is not None else None,
            response_model=answer.response_model,
            response_id=answer.response_id,
            finish_reason=answer.finish_reason,
            error_type=_error_type(answer, response, error) if failed else None,
            error_message=_error_message(answer, error) if failed else None,
            server_request_id=response.headers.get("x-request-id") if response is not None else None,
        )


def _error_type(answer: Answer, response: httpx2.Response | None, error: BaseException | None) -> str:
    if error is not None:
        return type(error).__name__
    return answer.error_code or (str(response.status_code) if response is not None else "unknown")


def _error_message(answer: Answer, error: BaseException | None) -> str | None:
    text = str(error) if error is not None else answer.error_message
    return text[:_MESSAGE_CHARS] if text else None
