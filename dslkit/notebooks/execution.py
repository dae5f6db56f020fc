"""papermill, called with our engine; loaded only when a notebook is really run."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from papermill.log import logger

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping

    from dslkit.records import Run

NAME = "dslkit"


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
        with _without_false_alarms():
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
    except (PapermillExecutionError, DeadKernelError, CellTimeoutError, OSError):
        if not runs or runs[-1].status == "running":
            raise  # it was never recorded, so the Run would not tell
    return runs[-1]


def _literal(path: str | Path) -> str:
    """The path itself: papermill would take braces in it for parameters to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextmanager
def _without_false_alarms() -> Iterator[None]:
    """Papermill cannot read ``Literal["a"]`` or ``int | None`` and warns of such parameters; ours were checked."""

    def known(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Passed unknown parameter")

    logger.addFilter(known)
    try:
        yield
    finally:
        logger.removeFilter(known)
