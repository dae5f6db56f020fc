"""papermill, called with our engine; loaded only when a notebook is really run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import papermill

from dslkit.notebooks.engine import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.records import Run


def execute(
    notebook: Path,
    output: str | Path | None,
    parameters: Mapping[str, Any],
    *,
    cwd: str | Path | None,
    home: str | Path | None,
    timeout: int | None,
    progress: bool,
) -> Run:
    """Run it; the Run as recorded at its end.  See ``dslkit.notebooks.run``."""
    runs: list[Run] = []
    try:
        papermill.execute_notebook(
            _literal(notebook),
            _literal(output) if output is not None else None,
            parameters=dict(parameters),
            engine_name=NAME,
            progress_bar=progress,
            cwd=cwd,
            execution_timeout=timeout,
            ledger_home=Path(home).absolute() if home is not None else None,
            on_run=runs.append,
        )
    except Exception:
        if not runs or runs[-1].status == "running":
            raise  # it was never recorded, so the Run would not tell
    return runs[-1]


def _literal(path: str | Path) -> str:
    """The path itself: papermill would take braces in it for parameters to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")
