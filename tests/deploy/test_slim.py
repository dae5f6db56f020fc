"""What the slim image leaves out is not missed: batch, patterns, report and service run with it hidden."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = [
    line
    for line in (ROOT / "deploy" / "slim-without.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
# Read by every Python that is started, kernels too: what is listed cannot be found.
HIDE = """
import json, os, sys
class Without:
    hidden = set(json.loads(os.environ["HIDDEN"]))
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in self.hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
SERVE = """
import jupyter_server.serverapp, dslkit.server, dslkit.server.worker
from dslkit.dify.workflow import Workflow
from dslkit.telemetry import exporting
"""


def hidden_modules() -> set[str]:
    owners = metadata.packages_distributions()
    wanted = {re.sub(r"[-_.]+", "-", name).lower() for name in LISTED}
    return {
        module
        for module, names in owners.items()
        if all(re.sub(r"[-_.]+", "-", name).lower() in wanted for name in names) and module.isidentifier()
    }


@pytest.fixture
def slim(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that finds nothing of the list."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "sitecustomize.py").write_text(HIDE, encoding="utf-8")
    hidden = json.dumps(sorted(hidden_modules()))
    return {**os.environ, "PYTHONPATH": str(tmp_path / "hide"), "HIDDEN": hidden, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def run(environment: dict[str, str], *words: str) -> str:
    command = [sys.executable, "-c", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_list_is_real_and_none_of_it_is_imported_by_us() -> None:
    assert {"pyarrow", "kubernetes", "onnxruntime", "jupyterlab"} <= hidden_modules()
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert [name for name in LISTED if f"\n{name}==" not in pinned] == []


def test_hiding_hides(slim: dict[str, str]) -> None:
    assert "No module" in run(slim, "try: import pyarrow\nexcept ImportError as error: print(error)")


def test_a_batch_and_its_report_run_without(slim: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "wishes.txt").write_text("Summarise a text (variable text). Return the summary (variable summary).\n")
    main = "from dslkit.cli import main; main()"
    slim["DSLKIT_REPORTS"] = str(tmp_path / "pages")
    assert "1 item:" in run(slim, main, "batch", "wishes.txt", "--out", "out", "--mode", "rag")
    assert list((tmp_path / "pages").glob("*.html")), "the service shows what the batch wrote"
    run(slim, main, "batch", "wishes.txt", "--out", "again", "--mode", "simple")  # so that there is a course to draw
    run(slim, main, "report", "-o", "report.html")
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "summarise" in run(slim, main, "patterns", "search", "sum up a report")
    run(slim, main, "ledger", "export", "exported")


def test_the_service_loads_without(slim: dict[str, str]) -> None:
    run(slim, SERVE)
