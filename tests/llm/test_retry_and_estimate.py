"""What is tried again and how soon; how many tokens a request is expected to cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslkit.llm.estimate import DEFAULT_OUTPUT_TOKENS, Estimator
from dslkit.llm.protocol import RequestFacts
from dslkit.llm.retry import RetryPolicy, Verdict, judge_status
from dslkit.records import Usage


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (200, None, Verdict.DONE),
        (400, None, Verdict.DONE),
        (401, None, Verdict.DONE),
        (403, None, Verdict.DONE),
        (404, None, Verdict.DONE),
        (408, None, Verdict.AGAIN),
        (409, None, Verdict.AGAIN),
        (429, "rate_limit_exceeded", Verdict.REFUSED),
        (429, None, Verdict.REFUSED),
        (429, "insufficient_quota", Verdict.DONE),
        (500, None, Verdict.AGAIN),
        (503, None, Verdict.AGAIN),
        (529, None, Verdict.AGAIN),
    ],
)
def test_verdicts(status: int, code: str | None, verdict: Verdict) -> None:
    assert judge_status(status, code) is verdict


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_are_bounded_and_jittered(failures: int, chance: float) -> None:
    policy = RetryPolicy(backoff_s=0.5, max_backoff_s=8)
    longest = min(8.0, 0.5 * 2 ** min(failures - 1, 30))
    assert longest / 2 <= policy.pause_s(failures, lambda: chance) <= longest


@pytest.mark.parametrize(
    "bad", [{"failures": 0}, {"backoff_s": 0}, {"backoff_s": 9, "max_backoff_s": 8}, {"patience_s": float("nan")}]
)
def test_policies_that_cannot_be(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(**bad)  # type: ignore[arg-type]  # the table mixes types


def facts(chars: int = 400, allowed: int | None = None, operation: str = "chat") -> RequestFacts:
    return RequestFacts(operation=operation, model="m", prompt_chars=chars, max_output_tokens=allowed)


def test_before_there_is_any_history() -> None:
    estimator = Estimator()
    assert estimator.estimate(facts(400, 50), None).total == 150
    assert estimator.estimate(facts(400), None).output_tokens == DEFAULT_OUTPUT_TOKENS
    assert estimator.estimate(facts(0, 5), None).input_tokens == 1
    assert estimator.estimate(facts(400, operation="embeddings"), None).total == 100


def test_learned_by_model_and_stage() -> None:
    estimator = Estimator(refunds=True)
    for _ in range(10):
        estimator.learn(facts(400), "plan", Usage(input_tokens=200, output_tokens=40))
    assert estimator.estimate(facts(400, 1000), "plan").input_tokens == 200
    assert estimator.estimate(facts(400, 1000), "plan").output_tokens == 40
    assert estimator.estimate(facts(400, 10), "plan").output_tokens == 10
    assert estimator.estimate(facts(400, 1000), "other").output_tokens == DEFAULT_OUTPUT_TOKENS


def test_a_server_that_charges_what_is_allowed() -> None:
    estimator = Estimator()
    for _ in range(10):
        estimator.learn(facts(400), None, Usage(input_tokens=10, output_tokens=4))
    estimate = estimator.estimate(facts(400, 1000), None)
    assert (estimate.input_tokens, estimate.output_tokens) == (100, 1000)
    assert estimator.estimate(facts(400), None).output_tokens == 4


def test_estimates_teach_nothing() -> None:
    estimator = Estimator()
    for _ in range(10):
        estimator.learn(facts(400), None, Usage(input_tokens=900, output_tokens=900, source="estimated"))
    assert estimator.estimate(facts(400), None).total == 100 + DEFAULT_OUTPUT_TOKENS
