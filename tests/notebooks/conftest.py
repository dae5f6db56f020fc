"""What these tests share: a writer of small notebooks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def cell(source: str, *tags: str) -> dict[str, object]:
    kept = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "id": f"c{abs(hash(source)) % 10**8}",
        "metadata": kept,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook of code cells; ``parameters`` becomes the tagged cell on top."""

    def write(*sources: str, parameters: str | None = None, name: str = "notebook.ipynb", **metadata: object) -> Path:
        top = [cell(parameters, "parameters")] if parameters is not None else []
        spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        content = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": spec | metadata,
            "cells": [*top, *map(cell, sources)],
        }
        path = tmp_path / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
