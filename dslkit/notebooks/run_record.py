"""What the ledger keeps of a run, read from the notebook as it stands."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from dslkit.notebooks.secrets import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from dslkit.records import Run, RunStatus

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LONGEST_MESSAGE = 2000
_CLEAN_EXIT = ("", "0")


class Outcome(NamedTuple):
    """How a run ended; the error's fields are None for one that completed."""

    status: RunStatus
    error_type: str | None = None
    error_message: str | None = None


def ended(run: Run, notebook: Mapping[str, Any], outcome: Outcome, *, at: datetime, secrets: Mapping[str, str]) -> Run:
    """The run as it ended; ``secrets`` is the environment whose secret values are blacked out in the message."""
    message = outcome.error_message
    if message is not None:
        message = without_secrets(_COLOURS.sub("", message), secrets)[:_LONGEST_MESSAGE]
    cells = tuple(_cells(notebook))
    return replace(
        run, status=outcome.status, ended_at=at, error_type=outcome.error_type, error_message=message, cells=cells
    )


def outcome_of(notebook: Mapping[str, Any], error: BaseException | None) -> Outcome:
    """How a run ended: by what was raised around the notebook, else by what its cells hold."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return Outcome("interrupted", type(error).__name__, str(error) or "stopped from outside")
    if error is not None:
        return Outcome("failed", type(error).__name__, next(iter(str(error).strip().splitlines()), ""))
    for cell in notebook["cells"]:
        if failed := _failure(cell):
            return failed
    return Outcome("completed")


def _failure(cell: Mapping[str, Any]) -> Outcome | None:
    """The error that a cell holds.  ``sys.exit()`` ends a notebook early and is no failure, as papermill sees it."""
    errors = [output for output in cell.get("outputs", ()) if output["output_type"] == "error"]
    for output in errors:
        if output["ename"] != "SystemExit" or output["evalue"] not in _CLEAN_EXIT:
            return Outcome("failed", output["ename"], output["evalue"])
    if not errors and cell["metadata"].get("papermill", {}).get("exception") is True:
        return Outcome("failed", "CellExecutionError", "the cell failed without saying why")
    return None


def _cells(notebook: Mapping[str, Any]) -> Iterator[Mapping[str, object]]:
    for index, cell in enumerate(notebook["cells"]):
        timing = cell["metadata"].get("papermill")
        if cell["cell_type"] == "code" and timing:
            yield {
                "index": index,
                "status": timing["status"],
                "started_at": timing["start_time"],
                "seconds": timing["duration"],
            }
