"""A ledger of its own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dslkit.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def ledger(home: Path) -> Ledger:
    return Ledger(home)
