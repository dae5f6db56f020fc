"""Finds a CPython that Dify's engine runs on: 3.12 or 3.13, wherever this machine keeps its Pythons."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSIONS: Final = ((3, 13), (3, 12))
PROBE_TIMEOUT_S: Final = 20.0
_PROBE: Final = (
    "import importlib.util as u, json, sys; print(json.dumps([sys.implementation.name, sys.version_info[:2],"
    " bool(getattr(sys, '_is_gil_enabled', lambda: True)()), sys.maxsize > 2**32, bool(u.find_spec('ensurepip'))]))"
)
_FOLDERS: Final = (
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/home/linuxbrew/.linuxbrew/bin",
    "/opt/local/bin",
    "/usr/bin",
)
_CONDAS: Final = ("miniconda3", "miniforge3", "mambaforge", "micromamba", "anaconda3")
HOW_TO_GET_ONE: Final = (
    "Dify's engine needs Python 3.12 or 3.13 and none was found on this machine. Install one, for instance with\n"
    "  uv python install 3.13            (uv)\n"
    "  conda create -n py313 python=3.13 (conda)\n"
    "  pyenv install 3.13                (pyenv)\n"
    "  brew install python@3.13          (macOS)\n"
    "  sudo apt-get install python3.13 python3.13-venv   (Debian, Ubuntu, where their release has it)\n"
    "and try again, or name an interpreter that has graphon in DSLKIT_ENGINE_PYTHON.\n"
    "Without the engine workflows are checked, but not run."
)


def fitting_python(environment: Mapping[str, str]) -> Path | None:
    """The first interpreter that runs and is of a fitting version; each is tried, for a shim may exist and fail."""
    seen: set[Path] = set()
    for candidate in _candidates(environment):
        if candidate in seen or not candidate.exists():
            continue
        seen.add(candidate)
        if fits(candidate):
            return candidate
    return None


def fits(python: Path) -> bool:
    """Whether this interpreter starts and is a 64-bit CPython 3.12 or 3.13 with its lock: no other has wheels.

    It must also be able to make environments, which Debian's cannot without its -venv package.
    """
    if python == Path(sys.executable) and sys.version_info[:2] not in VERSIONS:
        return False
    try:
        answer = subprocess.run(  # noqa: S603 -- a Python found where Pythons are, asked for its version
            [str(python), "-I", "-c", _PROBE], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=True
        )
        name, version, locked, wide, complete = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return False
    return name == "cpython" and tuple(version) in VERSIONS and locked and wide and complete


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    yield Path(sys.executable)
    names = [f"python{major}.{minor}" for major, minor in VERSIONS]
    for name in [*names, "python3", "python"]:
        found = shutil.which(name, path=environment.get("PATH"))
        if found:
            yield Path(found)
    home = Path(environment.get("HOME") or Path.home())
    for folder in _version_folders(environment, home):
        yield folder / "bin" / "python3"
    for place in _FOLDERS:
        yield from (Path(place) / name for name in names)


def _version_folders(environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Roots of whole installations: pyenv, uv, Homebrew's kegs, python.org's frameworks, conda."""
    pyenv = Path(environment.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    uv = Path(environment.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python")
    for major, minor in VERSIONS:
        version = f"{major}.{minor}"
        yield from sorted(pyenv.glob(f"{version}.*"), reverse=True)
        yield from sorted(uv.glob(f"cpython-{version}.*"), reverse=True)
        for keg in ("/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"):
            yield Path(keg) / f"python@{version}"
        yield Path("/Library/Frameworks/Python.framework/Versions") / version
    yield from _conda_folders(environment, home)


def _conda_folders(environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    named = [Path(value) for key in ("CONDA_PREFIX", "MAMBA_ROOT_PREFIX") if (value := environment.get(key))]
    for root in [*named, *(base / name for base in (home, Path("/opt")) for name in _CONDAS)]:
        yield root
        yield from sorted(root.glob("envs/*"))
