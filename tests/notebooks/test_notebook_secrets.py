"""Secrets given as parameters: refused by name, form or value, and never shown."""

from __future__ import annotations

import pytest

from dslkit.notebooks import ParameterError, injection
from dslkit.notebooks.secrets import find_secrets, without_secrets

ENVIRONMENT = {"OPENAI_API_KEY": "correct-horse-battery", "HOME": "/home/someone", "DB_PASSWORD": "short"}

SECRET = [
    ("api_key", "x"),
    ("openai_api_key", "anything"),
    ("token", "abc"),
    ("github_token", "abc"),
    ("db_password", "abc"),
    ("client_secret", "abc"),
    ("note", "sk-" + "a1" * 12),
    ("note", "ghp_" + "a1" * 15),
    ("note", "Bearer abcdefghijkl"),
    ("note", "postgresql://user:hunter2@host/db"),
    ("note", "correct-horse-battery"),
    ("notes", ["fine", "correct-horse-battery"]),
    ("options", {"deep": {"api_key": "x"}}),
]

HARMLESS = [
    ("max_tokens", 100),
    ("tokens_per_minute", 100),
    ("token_budget", "100"),
    ("api_key", ""),
    ("token", None),
    ("home", "/home/someone"),
    ("note", "short"),
    ("note", "a task-oriented desk-side chat"),
    ("url", "https://example.org:8080/path"),
]


@pytest.mark.parametrize(("name", "value"), SECRET)
def test_finds(name: str, value: object) -> None:
    assert list(find_secrets({name: value}, ENVIRONMENT))


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_lets_pass(name: str, value: object) -> None:
    assert not list(find_secrets({name: value}, ENVIRONMENT))


def test_the_refusal_names_and_does_not_show() -> None:
    with pytest.raises(ParameterError, match="api_key looks like a secret") as refused:
        injection.fit_all((), {"api_key": "correct-horse"}, notebook="nb.ipynb", environment={})
    assert "correct-horse" not in str(refused.value)


def test_blacks_out_what_is_kept() -> None:
    text = "401: key correct-horse-battery or sk-" + "a" * 20 + " refused"
    assert without_secrets(text, ENVIRONMENT) == "401: key *** or *** refused"
