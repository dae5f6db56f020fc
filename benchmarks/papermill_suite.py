"""papermill's own tests, run with our engine as the default and with papermill's: the outcomes must be the same.

By hand: ``make papermill-tests``, or ``python -m benchmarks.papermill_suite FOLDER``.  The folder keeps papermill's
source distribution (of the version installed here) and an environment of its own for what its tests need.

Our engine runs without its check of parameters, which papermill has not: its tests pass parameters that no cell
declares.  Tests that replace a part of papermill's own engine by a mock cannot be about another engine: they are run,
and their outcomes shown apart.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import xml.etree.ElementTree as ET
from importlib.metadata import version
from pathlib import Path

ENGINES = ("nbclient", "dslkit")
# Made the default of papermill as its documentation says; the ledger goes where the tests run.
MOCKING_ITS_ENGINE = {
    "papermill.tests.test_autosave.TestMidCellAutosave.test_end2end_autosave_slow_notebook",
    "papermill.tests.test_execute.TestNotebookHelpers.test_default_start_timeout",
    "papermill.tests.test_execute.TestNotebookHelpers.test_start_timeout",
}
DEFAULT = """
import os, warnings
os.environ.setdefault("DSLKIT_HOME", os.path.join(os.path.dirname(__file__), ".dslkit"))
if os.environ["ENGINE_UNDER_TEST"] == "dslkit":
    from papermill.engines import papermill_engines
    from dslkit.notebooks.engine import DslkitEngine
    class Default(DslkitEngine):
        @classmethod
        def execute_notebook(cls, nb, kernel_name, **options):
            return super().execute_notebook(nb, kernel_name, **options, check_parameters=False)

    papermill_engines.register(None, Default)
"""


def main() -> None:
    """Fetch, install, run twice, compare; exit code 1 where they differ."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/papermill").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    source, python = _source(folder), _environment(folder)
    _install(python, source)
    (source / "conftest.py").write_text(DEFAULT)
    outcomes = {engine: _outcomes(python, source, engine) for engine in ENGINES}
    for engine, found in outcomes.items():
        counts = {kind: list(found.values()).count(kind) for kind in sorted(set(found.values()))}
        print(f"papermill {version('papermill')}, engine {engine}: {len(found)} tests, {counts}")
    plain, ours = (outcomes[engine] for engine in ENGINES)
    different = [name for name in sorted({*plain, *ours}) if plain.get(name) != ours.get(name)]
    for name in different:
        apart = " (replaces a part of papermill's engine)" if name in MOCKING_ITS_ENGINE else ""
        print(f"{name}: {plain.get(name)} with papermill's engine, {ours.get(name)} with ours{apart}")
    real = set(different) - MOCKING_ITS_ENGINE
    print(f"{len(real)} differences")
    sys.exit(bool(real))


def _source(folder: Path) -> Path:
    name = f"papermill-{version('papermill')}"
    if not (folder / name).is_dir():
        pinned = f"papermill=={version('papermill')}"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "papermill", pinned]
        subprocess.run([*pip, "--dest", folder], check=True)
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / name


def _environment(folder: Path) -> Path:
    """An environment that has all packages of this one, and takes more without touching it."""
    python = folder / "env" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
        (site,) = (folder / "env" / "lib").glob("python*/site-packages")
        (site / "these.pth").write_text(f"{sysconfig.get_path('purelib')}\n{Path(__file__).resolve().parents[1]}\n")
    return python


def _install(python: Path, source: Path) -> None:
    wanted = [source / "requirements" / f"{name}.txt" for name in ("s3", "azure", "gcs", "github", "hdfs")]
    files = [part for path in wanted if path.exists() for part in ("-r", path)]
    tests = ["moto>=5,<5.2", "pytest-mock", "pytest-env", "requests"]
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *files, *tests], check=True
    )


def _outcomes(python: Path, source: Path, engine: str) -> dict[str, str]:
    """What became of each test."""
    report = source / f"{engine}.xml"
    command = [python, "-m", "pytest", "-q", "--no-header", "papermill/tests", f"--junitxml={report}"]
    environment = {"ENGINE_UNDER_TEST": engine, "PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(source)}
    subprocess.run([*command, "-p", "no:cacheprovider"], cwd=source, env=environment, check=False)
    return {
        f"{case.get('classname')}.{case.get('name')}": next((child.tag for child in case), "passed")
        for case in ET.parse(report).iter("testcase")
    }


if __name__ == "__main__":
    main()
