"""The limit as clients of a live server meet it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.server.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Served

INFO = "/api/v1/info"


def statuses(server: Served, count: int, **headers: str) -> list[int]:
    with server.client(**headers) as client:
        return [client.get(INFO).status_code for _ in range(count)]


def test_exactly_the_limit_passes_whoever_asks_at_once(serve: Callable[..., Served]) -> None:
    server = serve(DSLKIT_RATE_LIMIT_REQUESTS="30", DSLKIT_RATE_LIMIT_PERIOD="3600")
    with ThreadPoolExecutor(8) as pool:
        found = [status for part in pool.map(lambda _: statuses(server, 10), range(8)) for status in part]
    assert (found.count(200), found.count(429)) == (30, 50)


def test_each_answer_tells_where_the_client_stands(serve: Callable[..., Served]) -> None:
    server = serve(DSLKIT_RATE_LIMIT_REQUESTS="2", DSLKIT_RATE_LIMIT_PERIOD="3600")
    with server.client() as client:
        answers = [client.get(INFO), client.get("/api/v1/nothing"), client.get(INFO), client.get(INFO)]
        health = [client.get("/health") for _ in range(5)]
    told = [[answer.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")] for answer in answers]
    assert told == [["2", "1"], ["2", "0"], ["2", "0"], ["2", "0"]]
    assert [answer.status_code for answer in answers] == [200, 404, 429, 429]
    assert 3590 <= int(answers[2].headers["Retry-After"]) <= 3600
    assert answers[2].headers["Retry-After"] == answers[2].headers["X-RateLimit-Reset"]
    assert answers[2].json()["retry_after"] == int(answers[2].headers["Retry-After"])
    assert {answer.status_code for answer in health} == {200}
    assert "X-RateLimit-Limit" not in health[0].headers


def test_a_place_is_free_when_the_period_is_over(serve: Callable[..., Served]) -> None:
    server = serve(DSLKIT_RATE_LIMIT_REQUESTS="1", DSLKIT_RATE_LIMIT_PERIOD="1")
    assert 429 in statuses(server, 20)
    time.sleep(1)
    assert statuses(server, 1) == [200]


@pytest.mark.parametrize("arguments", [(), ("--ServerApp.trust_xheaders=True",)])
def test_headers_of_strangers_give_no_second_window(serve: Callable[..., Served], arguments: tuple[str, ...]) -> None:
    """Jupyter's own trust_xheaders believes anybody; the limit goes by the connection all the same."""
    server = serve(*arguments, DSLKIT_RATE_LIMIT_REQUESTS="3", DSLKIT_RATE_LIMIT_PERIOD="3600")
    spoofed = [
        httpx.get(
            server.url + INFO,
            headers={"Authorization": f"token {TOKEN}", name: f"203.0.113.{number}"},
        ).status_code
        for number in range(4)
        for name in ("X-Forwarded-For", "X-Real-IP")
    ]
    assert spoofed == [200] * 3 + [429] * 5
    assert "from 127.0.0.1" in server.log
    assert "203.0.113" not in server.log


@pytest.mark.parametrize("arguments", [(), ("--ServerApp.trust_xheaders=True",)])
def test_clients_behind_a_trusted_proxy_have_windows_of_their_own(
    serve: Callable[..., Served], arguments: tuple[str, ...]
) -> None:
    server = serve(*arguments, DSLKIT_RATE_LIMIT_REQUESTS="2", DSLKIT_TRUSTED_PROXIES="127.0.0.0/8")
    for number in range(3):
        assert statuses(server, 3, **{"X-Forwarded-For": f"6.6.6.6, 203.0.113.{number}"}) == [200, 200, 429]
    assert statuses(server, 3, **{"X-Real-IP": "2001:db8::1"}) == [200, 200, 429]
    assert statuses(server, 1, **{"X-Real-IP": "2001:db8::2"}) == [429]
    assert "from 203.0.113.1" in server.log


def test_guessing_the_token_is_limited_too(serve: Callable[..., Served]) -> None:
    server = serve(DSLKIT_RATE_LIMIT_REQUESTS="3", DSLKIT_RATE_LIMIT_PERIOD="3600")
    guesses = [httpx.get(server.url + INFO, headers={"Authorization": f"token {n}"}).status_code for n in range(5)]
    assert guesses == [401, 401, 401, 429, 429]


def test_the_limit_can_be_switched_off(serve: Callable[..., Served]) -> None:
    server = serve(DSLKIT_RATE_LIMIT_ENABLED="false", DSLKIT_RATE_LIMIT_REQUESTS="1")
    assert statuses(server, 3) == [200] * 3
