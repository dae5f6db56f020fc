"""Parameterised notebooks: find them, read their parameters, run them through papermill with every run recorded.

``run`` loads papermill when it is first called, ``record`` IPython; everything else is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dslkit.notebooks.document import find
from dslkit.notebooks.parameters import NotStartedError, Parameter, ParameterError, read_parameters
from dslkit.notebooks.start import run

if TYPE_CHECKING:
    from dslkit.notebooks.scraps import record, results

__all__ = ["NotStartedError", "Parameter", "ParameterError", "find", "read_parameters", "record", "results", "run"]


def __getattr__(name: str) -> object:
    if name in {"record", "results"}:
        return getattr(import_module("dslkit.notebooks.scraps"), name)
    raise AttributeError(f"module 'dslkit.notebooks' has no attribute {name!r}")
