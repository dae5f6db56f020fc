"""Old executed notebooks go by rule; nothing else does."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from dslkit.notebooks.pruning import outdated

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 31, tzinfo=UTC)


def executed(folder: Path, name: str, age_days: int, *, of: str = "a.ipynb", ours: bool = True) -> Path:
    metadata = {"papermill": {"input_path": of}} | ({"dslkit": {"run_id": name}} if ours else {})
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"metadata": metadata, "cells": []}))
    moment = (NOW - timedelta(days=age_days)).timestamp()
    os.utime(path, (moment, moment))
    return path


@pytest.mark.parametrize(
    ("keep", "days", "gone"),
    [(0, 0, "abcd"), (1, 0, "bc"), (0, 15, "cd"), (2, 15, "c"), (30, 0, ""), (0, 90, "")],
)
def test_by_number_and_age(tmp_path: Path, keep: int, days: int, gone: str) -> None:
    """Of each notebook the newest are kept, and whatever is young."""
    for name, age in (("a", 1), ("b", 10), ("c", 20)):
        executed(tmp_path, name, age)
    executed(tmp_path, "d", 40, of="other.ipynb")
    found = outdated(tmp_path, keep=keep, older_than=timedelta(days=days), now=NOW)
    assert sorted(path.stem for path in found) == list(gone)


def test_only_what_our_engine_wrote(tmp_path: Path) -> None:
    executed(tmp_path, "foreign", 400, ours=False)
    (tmp_path / "damaged.ipynb").write_text("{")
    (tmp_path / "list.ipynb").write_text("[]")
    (tmp_path / "other.txt").write_text("")
    (tmp_path / "below").mkdir()
    executed(tmp_path / "below", "deeper", 400)
    assert list(outdated(tmp_path, keep=0, older_than=timedelta(0), now=NOW)) == []
    assert list(outdated(tmp_path / "missing", keep=0, older_than=timedelta(0), now=NOW)) == []
