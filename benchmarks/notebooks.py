"""What the engine costs beyond plain papermill, and how quickly a wrong parameter is told.

Prints medians and their difference: ``python -m benchmarks.notebooks [PAIRS]``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAIRS = 10
CELL = {"cell_type": "code", "id": "a", "metadata": {}, "source": "1 + 1", "outputs": [], "execution_count": None}
TAGGED = {**CELL, "id": "b", "metadata": {"tags": ["parameters"]}, "source": "n: int = 1"}
NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "cells": [TAGGED, CELL, {**CELL, "id": "c"}],
}


def run_once(engine: str | None) -> float:
    import papermill

    began = time.perf_counter()
    papermill.execute_notebook("in.ipynb", "out.ipynb", engine_name=engine, progress_bar=False)
    return time.perf_counter() - began


def wrong_parameter(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode != 0
    return time.perf_counter() - began


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("in.ipynb").write_text(json.dumps(NOTEBOOK))
        run_once("dslkit")  # imports
        timed = [(run_once(None), run_once("dslkit")) for _ in range(pairs)]
        plain, ours = (statistics.median(times) for times in zip(*timed, strict=True))
        extra = statistics.median(b - a for a, b in timed)
        least = min(b for _, b in timed) - min(a for a, _ in timed)
        print(f"plain papermill {plain:.3f} s, engine dslkit {ours:.3f} s (medians of {pairs})")
        print(f"difference: median {extra * 1000:+.0f} ms, of the quickest {least * 1000:+.0f} ms")
        script = "from dslkit.notebooks import run; run('in.ipynb', 'out.ipynb', {'m': 1})"
        told = statistics.median(wrong_parameter([sys.executable, "-c", script]) for _ in range(5))
        print(f"a wrong parameter is told in {told:.3f} s by dslkit.notebooks.run, Python's own start included")


if __name__ == "__main__":
    main()
