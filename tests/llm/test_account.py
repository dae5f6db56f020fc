"""Which failures stop a batch: those that every further call would meet too."""

from __future__ import annotations

import httpx2
import openai
import pytest

from dslkit.errors import AccountError
from dslkit.llm import account_error

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")


def status_error(status: int, code: str | None = None) -> openai.APIStatusError:
    body = {"message": "Something about the account", "code": code}
    kind = openai.RateLimitError if status == 429 else openai.APIStatusError
    return kind("Error code", response=httpx2.Response(status, request=REQUEST), body=body)


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (401, "invalid_api_key", "OPENAI_API_KEY"),
        (403, None, "permissions"),
        (404, "model_not_found", "model's name"),
        (429, "insufficient_quota", "no credit left"),
        (402, None, "no credit left"),
    ],
)
def test_account_failures(status: int, code: str | None, remedy: str) -> None:
    found = account_error(status_error(status, code))
    assert found is not None
    assert (found.http_status, found.code) == (status, code)
    assert str(found).startswith("Something about the account. ")
    assert remedy in str(found)


@pytest.mark.parametrize(("status", "code"), [(400, None), (429, "rate_limit_exceeded"), (500, None)])
def test_other_failures(status: int, code: str | None) -> None:
    assert account_error(status_error(status, code)) is None


def test_seen_through_a_library_that_wraps_it() -> None:
    try:
        try:
            raise status_error(401)
        except openai.APIStatusError as error:
            raise RuntimeError("chain failed") from error
    except RuntimeError as error:
        found = account_error(error)
    assert found is not None
    assert found.http_status == 401


def test_what_is_none_already_or_never() -> None:
    own = AccountError("stop")
    assert account_error(own) is own
    assert account_error(ValueError("no")) is None
