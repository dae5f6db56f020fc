"""Run a notebook: its parameters are checked here, before papermill is even imported."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from dslkit.notebooks import document
from dslkit.notebooks.injection import fit_all, plain, refuse_secrets
from dslkit.notebooks.parameters import read_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dslkit.records import Run

_SLOW_AND_UNUSED = "rfc3987_syntax"


def run(
    notebook: str | Path,
    output: str | Path | None,
    parameters: Mapping[str, object] | None = None,
    *,
    cwd: str | Path | None = None,
    home: str | Path | None = None,
    cell_timeout_s: int | None = None,
    progress: bool = False,
) -> Run:
    """Execute a notebook in a kernel of this interpreter, saved to ``output`` cell by cell, and recorded in the ledger.

    Text is taken for what it spells ("5", "true"), so values may come from a command line.  Like ``subprocess.run`` it
    returns also when a cell failed, a kernel died or a cell took longer than ``cell_timeout_s``: see the run's
    ``status`` and ``error_type``.  ``home`` is the ledger's folder (default: the DSLKIT_HOME setting).

    Raises:
        UsageError: no such notebook or kernel, unknown or unfit parameters, a secret among them, or no place to write
            the output; nothing was started.
        KeyboardInterrupt: Ctrl-C; the run is recorded as interrupted first.
    """
    path = document.find(str(notebook))
    content = document.load(path)
    given = dict(parameters or {})
    if document.language_of(content) == "python":
        given = plain(fit_all(read_parameters(path), given, notebook=path.name, environment=os.environ))
    else:
        refuse_secrets(given, notebook=path.name, environment=os.environ)
    with _unless_imported(_SLOW_AND_UNUSED):
        execution = import_module("dslkit.notebooks.execution")
    result: Run = execution.execute(path, output, given, cwd=cwd, home=home, timeout=cell_timeout_s, progress=progress)
    return result


@contextmanager
def _unless_imported(module: str) -> Iterator[None]:
    """Hide an optional module while others are imported.

    jsonschema, which nbformat uses, imports this one where it is installed, to check IRIs, which notebooks have none
    of; it compiles a grammar for 0.9 s, longer than the rest of papermill takes.
    """
    hidden = "jsonschema" not in sys.modules and module not in sys.modules
    if hidden:
        sys.modules[module] = None  # type: ignore[assignment]  # how Python spells "not to be found"
    try:
        yield
    finally:
        if hidden:
            del sys.modules[module]
