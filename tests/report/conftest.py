"""Ledgers of made-up months."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import month

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def month_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ledger of an eventful month of about 900 calls."""
    home = tmp_path_factory.mktemp("month")
    month.record(month.make(900, seed=7, runs=12), str(home))
    return home
