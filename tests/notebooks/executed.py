"""Reads executed notebooks back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def outputs(path: Path) -> list[dict[str, object]]:
    """All outputs of an executed notebook, in order."""
    return [output for each in json.loads(path.read_text())["cells"] for output in each.get("outputs", ())]


def printed(path: Path) -> str:
    """Everything that an executed notebook printed."""
    return "".join("".join(output["text"]) for output in outputs(path) if output["output_type"] == "stream")


def statuses(path: Path) -> list[str]:
    """papermill's status of each code cell."""
    cells = json.loads(path.read_text())["cells"]
    return [each["metadata"]["papermill"]["status"] for each in cells if "papermill" in each["metadata"]]
