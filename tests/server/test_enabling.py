"""Installing dslkit enables the extension: hatchling puts the same file into wheels and editable installs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = "etc/jupyter/jupyter_server_config.d/dslkit.json"


def test_an_install_brings_the_file_that_jupyter_looks_for(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        placed = [name for name in wheel.namelist() if name.endswith(f".data/data/{FILE}")]
        assert len(placed) == 1
        assert wheel.read(placed[0]) == (ROOT / FILE).read_bytes()


def test_jupyter_finds_it_there(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "etc", tmp_path / "etc")
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path / "etc/jupyter"), "NO_COLOR": "1"}
    words = [sys.executable, "-m", "jupyter_server.extension.serverextension", "list"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert re.search(r"dslkit\.server .*enabled", told), told
    assert re.search(r"dslkit\.server .*OK", told), told


def test_the_extension_costs_a_server_little_before_it_is_used() -> None:
    """Whoever opens JupyterLab waits for none of the heavy rooms."""
    heavy = ["openai", "duckdb", "chromadb", "wordllama", "papermill", "genai_prices", "aiohttp"]
    code = f"import sys, dslkit.server.extension; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
