"""Executed notebooks that are no longer wanted: removed by age and number.  The ledger keeps its rows."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta
    from pathlib import Path


def outdated(folder: Path, *, keep: int, older_than: timedelta, now: datetime) -> Iterator[Path]:
    """The notebooks executed by our engine that are older, and not among the newest ``keep`` of their notebook.

    Age is that of the last change; ``now`` is aware.  Other files, and what lies in folders below, never count.
    """
    executed: dict[str, list[tuple[float, Path]]] = defaultdict(list)
    for path in folder.glob("*.ipynb"):
        if (notebook := _executed(path)) is not None:
            executed[notebook].append((path.stat().st_mtime, path))
    oldest = (now - older_than).timestamp()
    for found in executed.values():
        for changed, path in sorted(found, reverse=True)[keep:]:
            if changed < oldest:
                yield path


def _executed(path: Path) -> str | None:
    """The notebook that this is an execution of; None when our engine has not written it."""
    try:
        metadata = json.loads(path.read_bytes())["metadata"]
        return str(metadata["papermill"]["input_path"]) if "run_id" in metadata["dslkit"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
