"""Parameterised notebooks: find them, read their parameters, run them through papermill with every run recorded.

``run`` loads papermill when it is first called; everything else is quick.
"""

from __future__ import annotations

from dslkit.notebooks.document import find
from dslkit.notebooks.parameters import Parameter, ParameterError, read_parameters
from dslkit.notebooks.start import run

__all__ = ["Parameter", "ParameterError", "find", "read_parameters", "run"]
