"""One call from request to answer: admit -> reserve -> send -> settle -> retry.

The course of a call is a generator of steps, so that there is one of it: the transports carry its steps out, awaiting
or blocking, and send the results in.  Nothing here waits, sleeps or reads a socket.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx2

from dslkit.llm import attribution
from dslkit.llm.attempt import Attempt
from dslkit.llm.protocol import (
    NOTHING,
    EventStream,
    RequestFacts,
    asking_for_usage,
    read_answer,
    request_facts,
)
from dslkit.llm.retry import TOO_MANY_REQUESTS, Verdict, judge_status
from dslkit.records import Attribution, CallEnd, CallStart, Usage

if TYPE_CHECKING:
    from dslkit.llm.cache import AnswerStore, Stored
    from dslkit.llm.gate import Gate, Permit
    from dslkit.llm.seam import Seam

logger = logging.getLogger(__name__)

_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.ProxyError,
)
_TRANSIENT = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError)
_OK = 200
_FIRST_LOOK_S, _LAST_LOOK_S = 0.01, 0.25  # how often to look whether an equal request has its answer


@dataclass(frozen=True, slots=True)
class Admit:
    """Step: wait for leave.  Result: a Permit."""

    gate: Gate
    tokens: float
    again: bool
    attribution: Attribution
    max_wait_s: float | None


@dataclass(frozen=True, slots=True)
class Send:
    """Step: send the request, telling ``permit`` when its bytes leave.  Result: a response whose body is unread."""

    request: httpx2.Request
    permit: Permit | None


@dataclass(frozen=True, slots=True)
class Read:
    """Step: read the response's body and close it.  Result: the decoded bytes."""

    response: httpx2.Response


@dataclass(frozen=True, slots=True)
class Pause:
    """Step: let time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Step: do something that waits for a disk, aside from an event loop.  Result: nothing."""

    act: Callable[[], None]


Step: TypeAlias = Admit | Send | Read | Pause | Work


@dataclass(frozen=True, slots=True)
class Streamed:
    """A response whose body is passed on as it comes; its attempt is settled by whoever passes it on."""

    response: httpx2.Response
    attempt: Attempt
    events: EventStream


Reply: TypeAlias = httpx2.Response | Streamed
Steps: TypeAlias = Generator[Step, Any, Reply]


class Course:
    """Where a call stands: the ``step`` to carry out next, or None and the ``reply``."""

    __slots__ = ("_steps", "reply", "step")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.step: Step | None = None
        self.reply: Reply
        self.send(None)

    def send(self, result: object) -> None:
        """The step has been carried out, with this result."""
        self._go_on(self._steps.send, result)

    def throw(self, error: BaseException) -> None:
        """The step failed; raises what the call makes of it, unless it goes on."""
        self._go_on(self._steps.throw, error)

    def _go_on(self, act: Callable[[Any], Step], value: object) -> None:
        try:
            self.step = act(value)
        except StopIteration as end:
            self.step, self.reply = None, end.value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """Of one attempt: the response, or the error instead of it, and what it calls for."""

    verdict: Verdict
    response: Reply | None = None
    error: Exception | None = None
    retry_after_s: float | None = None

    def hand_over(self) -> Reply:
        if self.error is not None:
            raise self.error
        assert self.response is not None  # one of both is set
        return self.response


class Exchange:
    """The course of one model call."""

    def __init__(self, seam: Seam, request: httpx2.Request, facts: RequestFacts) -> None:
        self._seam = seam
        self._facts = facts
        self._hide_usage = facts.stream and facts.operation == "chat" and not facts.usage_asked_for
        self._request = _with_usage(request, facts) if self._hide_usage else request
        self._attribution = attribution.current()
        self._estimate = seam.estimator.estimate(facts, self._attribution.stage)
        self._provider = seam.provider_name or provider_of(request.url.host)
        self._gate = seam.gate_for(self._provider, _key_of(request), facts.model)
        self._replayable = isinstance(request.stream, httpx2.ByteStream)
        self._call_id = str(uuid.uuid4())
        self._attempts = 0
        self._failures = 0
        self._refused_at: float | None = None
        self._cache_key: str | None = None

    def steps(self) -> Steps:
        """Carry these out; the value of the generator is what to hand on."""
        cache, body = self._seam.cache, _body_of(self._request)
        if cache is not None and body is not None and self._facts.cacheable:
            return (yield from self._cached(cache, cache.key(str(self._request.url), body)))
        return (yield from self._calls())

    def _cached(self, cache: AnswerStore, key: str) -> Steps:
        """From the store, or from the server by whoever is first to ask for it."""
        pause_s = _FIRST_LOOK_S
        while (lock := cache.lock(key)) is None:
            yield Pause(pause_s)
            pause_s = min(pause_s * 2, _LAST_LOOK_S)
        try:
            stored = cache.get(key)
            if stored is not None:
                return self._hit(stored)
            self._cache_key = key
            return (yield from self._calls())
        finally:
            cache.unlock(key, lock)

    def _hit(self, stored: Stored) -> httpx2.Response:
        self._attempts = 1
        self._seam.recorder.reserve(self._start(0.0))
        answer = read_answer(stored.body)
        end = CallEnd(
            call_id=self._call_id,
            attempt=1,
            outcome="ok",
            ended_at=self._seam.utc_now(),
            latency_s=0.0,
            usage=Usage(input_tokens=0, output_tokens=0),
            http_status=_OK,
            response_model=answer.response_model,
            response_id=answer.response_id,
            finish_reason=answer.finish_reason,
            server_request_id=stored.headers.get("x-request-id"),
            cache_hit=True,
            content=stored.body if self._seam.store_content else None,
        )
        self._seam.recorder.settle(end)
        return httpx2.Response(_OK, headers=stored.headers, content=stored.body, request=self._request)

    def _keep(self, key: str, response: httpx2.Response, body: bytes) -> None:
        """Keep an answer, and nothing that only looks like one; a full disk must not cost one that was paid for."""
        assert self._seam.cache is not None  # there is a key
        answer = read_answer(body)
        if answer == NOTHING or answer.error_message is not None:
            return
        try:
            self._seam.cache.put(key, response.headers, body)
        except OSError as error:
            logger.warning("An answer could not be kept in the cache: %s", error)

    def _calls(self) -> Steps:
        while True:
            permit = yield self._admit()
            outcome = yield from self._attempt(permit)
            if outcome.verdict is Verdict.DONE or not self._replayable:
                return outcome.hand_over()
            pause_s = self._pause(outcome)
            if pause_s is None:
                return outcome.hand_over()
            if pause_s:
                yield Pause(pause_s)

    def _admit(self) -> Admit:
        again = self._attempts > 0
        return Admit(self._gate, self._estimate.total, again, self._attribution, self._seam.max_wait_s)

    def _attempt(self, permit: Permit) -> Generator[Step, Any, _Outcome]:
        self._attempts += 1
        attempt = self._reserve(permit)
        response: httpx2.Response | None = None
        try:
            response = yield Send(self._request, permit)
            permit.sent()
            retry_after_s = attempt.told(response)
            if _is_streamed(response):
                events = EventStream(hide_usage=self._hide_usage, keep=self._seam.store_content)
                return _Outcome(verdict=Verdict.DONE, response=Streamed(response, attempt, events))
            body = yield Read(response)
            if self._cache_key is not None and response.status_code == _OK:
                yield Work(partial(self._keep, self._cache_key, response, body))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is booked, then handed over or retried
            return self._failed(attempt, response, error)
        except BaseException as error:
            _stamp(permit, error)
            attempt.settle("cancelled", response=response, error=error)
            raise
        return self._answered(attempt, response, body, retry_after_s)

    def _reserve(self, permit: Permit) -> Attempt:
        attempt = Attempt(self._seam, self._facts, self._estimate, self._start(permit.waited_s), permit)
        attempt.reserve()
        return attempt

    def _start(self, waited_s: float) -> CallStart:
        return CallStart(
            call_id=self._call_id,
            attempt=self._attempts,
            attribution=self._attribution,
            provider_name=self._provider,
            operation_name=self._facts.operation,
            request_model=self._facts.model,
            estimated_input_tokens=self._estimate.input_tokens,
            estimated_output_tokens=self._estimate.output_tokens,
            request_bytes=int(self._request.headers.get("content-length") or 0),
            stream=self._facts.stream,
            throttle_wait_s=waited_s,
            started_at=self._seam.utc_now(),
            service_tier=self._facts.service_tier,
            content=_body_of(self._request) if self._seam.store_content else None,
        )

    def _failed(self, attempt: Attempt, response: httpx2.Response | None, error: Exception) -> _Outcome:
        _stamp(attempt.permit, error)
        attempt.settle("error", response=response, error=error)
        verdict = Verdict.AGAIN if isinstance(error, _TRANSIENT) else Verdict.DONE
        return _Outcome(verdict=verdict, error=error)

    def _answered(
        self, attempt: Attempt, response: httpx2.Response, body: bytes, retry_after_s: float | None
    ) -> _Outcome:
        answer = read_answer(body)
        verdict = judge_status(response.status_code, answer.error_code)
        if response.status_code == TOO_MANY_REQUESTS:
            attempt.permit.refused(retry_after_s)
        good = response.is_success
        if good and answer.usage is None and self._facts.generates:
            answer = replace(answer, usage=attempt.estimated(answer.output_chars))
        attempt.settle("ok" if good else "error", answer=answer, response=response, content=body)
        response.elapsed = timedelta(seconds=attempt.clock() - attempt.sent_at)
        return _Outcome(verdict=verdict, response=response, retry_after_s=retry_after_s)

    def _pause(self, outcome: _Outcome) -> float | None:
        """Seconds until the call queues again; None when it has tried enough."""
        if outcome.verdict is Verdict.AGAIN:
            self._failures += 1
            if self._failures >= self._seam.retry.failures:
                return None
            return max(outcome.retry_after_s or 0.0, self._seam.retry.pause_s(self._failures))
        return self._stand_back(outcome.retry_after_s)

    def _stand_back(self, retry_after_s: float | None) -> float | None:
        """After a refusal everybody waits, at the gate, and nobody loses an attempt; None when patience is over."""
        now = self._gate.clock()
        if self._refused_at is None:
            self._refused_at = now
        wait_s = self._seam.retry.pause_s(self._attempts) if retry_after_s is None else retry_after_s
        if now + wait_s - self._refused_at > self._seam.retry.patience_s:
            return None
        if retry_after_s is None:
            self._gate.hold(wait_s)
        return 0.0


def plain_steps(seam: Seam, request: httpx2.Request) -> Steps:
    """A request that is no model call: neither throttled nor recorded, but retried all the same."""
    failures = 0
    while True:
        error: Exception | None = None
        response: httpx2.Response | None = None
        try:
            response = yield Send(request, None)
            again = judge_status(response.status_code, None) is not Verdict.DONE
        except _TRANSIENT as caught:
            error, again = caught, True
        failures += 1
        if again and failures < seam.retry.failures and isinstance(request.stream, httpx2.ByteStream):
            if response is not None:
                yield Read(response)
            yield Pause(seam.retry.pause_s(failures))
            continue
        if error is not None:
            raise error
        assert response is not None  # there was no error
        return response


def steps_of(seam: Seam, request: httpx2.Request) -> Steps:
    """The steps of any request."""
    facts = request_facts(request.url.path, _body_of(request)) if request.method == "POST" else None
    if facts is None:
        return plain_steps(seam, request)
    return Exchange(seam, request, facts).steps()


def provider_of(host: str) -> str:
    """The provider's name by OpenTelemetry's list where it has one, else the host."""
    if host == "api.openai.com":
        return "openai"
    return "azure.ai.openai" if host.endswith(".openai.azure.com") else host


def _stamp(permit: Permit, error: BaseException) -> None:
    """Whoever does not tell when bytes leave may have sent them, unless the error says that it never came to that."""
    if not isinstance(error, _NEVER_SENT):
        permit.sent()


def _is_streamed(response: httpx2.Response) -> bool:
    """Whether to pass the body on as it comes: events, and anything good that is not JSON (audio, images)."""
    if response.status_code != _OK:
        return False
    kind = response.headers.get("content-type", "")
    return not kind.startswith(("application/json", "text/html", "text/plain")) and kind != ""


def _with_usage(request: httpx2.Request, facts: RequestFacts) -> httpx2.Request:
    body = _body_of(request)
    if body is None or not facts.stream:
        return request
    body = asking_for_usage(body)
    headers = request.headers.copy()
    headers["content-length"] = str(len(body))
    return httpx2.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)


def _body_of(request: httpx2.Request) -> bytes | None:
    try:
        return request.content
    except httpx2.RequestNotRead:
        return None


def _key_of(request: httpx2.Request) -> str:
    return request.headers.get("authorization") or request.headers.get("api-key") or ""
