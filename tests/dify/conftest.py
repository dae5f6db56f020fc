"""Dify's engine for tests: one pool for the whole session, since a worker takes half a second to start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dslkit.dify.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The installed engine, or the one of DSLKIT_ENGINE_PYTHON."""
    found = Engine.find(os.environ.get("DSLKIT_ENGINE_PYTHON"))
    if found is None:
        pytest.skip("Dify's engine is not installed: dslkit engine install")
    with found:
        yield found
