"""Reports written: their notebooks executed over a ledger, then exported."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dslkit import notebooks
from dslkit.analysis import instant
from dslkit.errors import DslkitError, UsageError
from dslkit.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

_KNOWN_RUN = "SELECT 1 FROM runs WHERE run_id = $run UNION ALL SELECT 1 FROM calls WHERE run_id = $run LIMIT 1"


def write(
    ledger_home: str | Path,
    output: str | Path,
    *,
    run: str | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    title: str | None = None,
) -> Path:
    """Execute ``cost_report.ipynb`` over a ledger and export it as one HTML file, which appears whole or not at all.

    ``run`` narrows the report to one run, ``since`` and ``until`` (instants, ISO texts, or ages such as ``30d``) to a
    period.  Returns the path of the file.

    Raises:
        UsageError: a parameter cannot be read, there is no such run, or the file cannot be written there.
        DslkitError: the notebook failed; names the error of its cell.
    """
    if run and not Ledger(ledger_home).snapshot().execute(_KNOWN_RUN, {"run": run}).fetchone():
        raise UsageError(
            f"There is no run {run!r} in the ledger of {ledger_home}: `dslkit runs` lists those there are."
        )
    parameters: dict[str, object] = {"home": str(ledger_home)}
    given = {"run": run, "since": _readable(since), "until": _readable(until), "title": title}
    parameters |= {name: value for name, value in given.items() if value}
    return _written("cost_report", parameters, output, title=title or "Cost and latency report", home=ledger_home)


def write_comparison(
    ledger_home: str | Path, output: str | Path, first: str, second: str, *, title: str = "Comparison of two runs"
) -> Path:
    """Execute ``compare_runs.ipynb``: two run ids, or periods as ``2026-09-01..2026-09-15``; see `write`."""
    parameters = {"home": str(ledger_home), "first": first, "second": second, "title": title}
    return _written("compare_runs", parameters, output, title=title, home=ledger_home)


def _written(name: str, parameters: Mapping[str, object], output: str | Path, *, title: str, home: str | Path) -> Path:
    with TemporaryDirectory(prefix="dslkit-report-") as folder:
        executed = Path(folder) / f"{name}.ipynb"
        result = notebooks.run(notebooks.find(name), executed, parameters, home=home)
        if result.error_type == UsageError.__name__:
            raise UsageError(result.error_message)
        if result.status != "completed":
            raise DslkitError(f"The report's notebook failed: {result.error_type}: {result.error_message}")
        exporting = import_module("dslkit.report.exporting")  # a quarter second faster once papermill is loaded
        written: Path = exporting.export(executed, output, title=title)
        return written


def _readable(moment: datetime | str | None) -> str | None:
    """A parameter of the notebook; UsageError before a kernel starts when it could not be read there."""
    text = moment.isoformat() if isinstance(moment, datetime) else moment
    instant(text or "")
    return text
