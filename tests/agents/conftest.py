"""Requirements in many wordings, the prompts made of them, and Dify's engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dslkit.agents.offline_author import answer
from dslkit.agents.prompting import render
from dslkit.dify.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def _wanted() -> list[dict[str, Any]]:
    """The table, each entry with all its rounds."""
    entries = yaml.safe_load((Path(__file__).parent / "wanted.yml").read_text("utf-8"))
    known: dict[str, list[str]] = {}
    for entry in entries:
        entry["rounds"] = [*known.get(entry.get("after"), []), *entry["rounds"]]
        known[entry["id"]] = entry["rounds"]
    return entries


WANTED = _wanted()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    found = Engine.find(os.environ.get("DSLKIT_ENGINE_PYTHON"))
    if found is None:
        pytest.skip("Dify's engine is not installed: dslkit engine install")
    with found:
        yield found


@pytest.fixture(params=WANTED, ids=lambda entry: entry["id"])
def wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One requirement with what its workflow must have."""
    return request.param


@pytest.fixture(scope="session")
def author() -> Callable[[Sequence[str]], str]:
    """The offline author's reply to the configuration prompt for these rounds."""

    def write(
        rounds: Sequence[str], app_mode: str = "workflow", patterns: Sequence[Any] = (), current_plan: str | None = None
    ) -> str:
        user = render(
            "configuration_user",
            rounds=rounds,
            patterns=patterns,
            brief=None,
            outline=None,
            complexity=None,
            current_plan=current_plan,
        )
        system = render("configuration_system", app_mode=app_mode)
        return answer([{"role": "system", "content": system}, {"role": "user", "content": user}])

    return write
