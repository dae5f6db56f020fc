"""The report notebook without a kernel: its cells run in this process, then it is exported like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nbformat
from nbformat.v4 import new_output

from dslkit import notebooks
from dslkit.report import export

if TYPE_CHECKING:
    from pathlib import Path


def render(home: Path, output: Path, name: str = "cost_report", **parameters: str) -> str:
    """The page over a ledger, as text."""
    notebook = nbformat.read(notebooks.find(name), as_version=4)
    names: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if "parameters" in cell.metadata.get("tags", []):
            exec(cell.source, names)
            names |= {"home": str(home), **parameters}
            continue
        *statements, last = cell.source.strip().splitlines()
        exec("\n".join(statements), names)
        shown = eval(last, names)
        cell.outputs = [new_output("execute_result", {"text/html": shown._repr_html_()}, execution_count=1)]
    executed = output.with_suffix(".ipynb")
    nbformat.write(notebook, executed)
    return export(executed, output, title=parameters.get("title", "Cost")).read_text(encoding="utf-8")
