"""The engine ``dslkit`` as papermill's entry point names it.

papermill loads it while papermill itself is being imported, so nothing here may import papermill: the work is in
``recording``, loaded by the first run.
"""

from __future__ import annotations

import inspect
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dslkit.notebooks import document

if TYPE_CHECKING:
    from collections.abc import Mapping


NAME = "dslkit"
_EXECUTE = "execute_notebook"


class _WithoutFalseAlarm(logging.Filter):
    """Drops what papermill says of "unknown" parameters of a run by our engine, which refuses unknown ones itself.

    papermill reads no annotation that has quotes or bars in it, and takes such parameters for unknown.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.funcName != _EXECUTE or "unknown parameter" not in record.getMessage():
            return True
        frame = inspect.currentframe()
        while frame is not None and frame.f_code.co_name != _EXECUTE:
            frame = frame.f_back
        return frame is None or frame.f_locals.get("engine_name") != NAME


logging.getLogger("papermill").addFilter(_WithoutFalseAlarm())


class DslkitEngine:
    """Checks the parameters first, records every run, and does not call a dead kernel completed.

    Options beside papermill's own: ``ledger_home`` (the ledger's folder; default: the DSLKIT_HOME setting), ``on_run``
    (called with the Run when it starts and when it has ended), ``check_parameters`` (False passes names and types on as
    they come, as papermill does; secrets are refused all the same).
    """

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, **options: Any) -> Any:
        """Execute the notebook, in place; see ``recording.execute``."""
        return import_module("dslkit.notebooks.recording").execute(nb, kernel_name, **options)

    @classmethod
    def nb_kernel_name(cls, nb: Mapping[str, Any], name: str | None = None) -> str:
        """The kernel asked for, else the notebook's, else "python3"."""
        return name or nb["metadata"].get("kernelspec", {}).get("name") or "python3"

    @classmethod
    def nb_language(cls, nb: Mapping[str, Any], language: str | None = None) -> str:
        """The language asked for, else the notebook's, else "python"."""
        return language or document.language_of(nb)
