"""What a notebook found, kept in its output so that programs can read it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.display import display

from dslkit.notebooks import document

if TYPE_CHECKING:
    from collections.abc import Mapping

MIME_TYPE = "application/vnd.dslkit.results+json"


def record(**values: object) -> None:
    """Keep these values (anything JSON holds) in the output of the cell; shown as one line each."""
    shown = "\n".join(f"{name} = {value}" for name, value in values.items())
    display({MIME_TYPE: values, "text/plain": shown}, raw=True)  # type: ignore[no-untyped-call]  # IPython is typed in parts


def results(path: str | Path) -> Mapping[str, Any]:
    """All values that an executed notebook recorded; of two with the same name the later one.

    Raises:
        UsageError: the file is no notebook.
    """
    found: dict[str, Any] = {}
    for cell in document.load(Path(path))["cells"]:
        for output in cell.get("outputs", ()):
            found |= output.get("data", {}).get(MIME_TYPE, {})
    return found
