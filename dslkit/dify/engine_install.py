"""The engine's own environment: where it lies, how it is made, whether it is there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock

from dslkit.dify.engine_pythons import HOW_TO_GET_ONE, fits, fitting_python
from dslkit.errors import DslkitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME: Final = "dslkit-engine"
REQUIREMENTS: Final = Path(__file__).with_name("engine_requirements.txt")
_STAMP: Final = "dslkit-engine.json"
_PACKAGE: Final = "graphon"
_INSTALL_TIMEOUT_S: Final = 900.0
_PROBE_TIMEOUT_S: Final = 20.0
_LAST_LINES: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInstallation:
    """What ``status`` found.  ``python`` is None when there is no engine; ``remedy`` then says what to do."""

    python: Path | None
    graphon: str | None = None
    folder: Path
    remedy: str = ""


def pinned_version() -> str:
    """The version of graphon that dslkit was tested with."""
    pins = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in pins if line.startswith(f"{_PACKAGE}=="))


def engine_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where the environment is, or would be made: beside this Python's packages, else in the user's cache."""
    beside = Path(sys.prefix) / NAME
    if beside.exists() or os.access(sys.prefix, os.W_OK):
        return beside
    return _cache_folder(os.environ if environment is None else environment) / NAME


def _cache_folder(environment: Mapping[str, str]) -> Path:
    home = Path(environment.get("HOME") or Path.home())
    if environment.get("XDG_CACHE_HOME"):
        return Path(environment["XDG_CACHE_HOME"]) / "dslkit"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "dslkit"


def installed_python(environment: Mapping[str, str] | None = None) -> Path | None:
    """The interpreter of an environment made by ``install`` and complete; reads files only, starts nothing."""
    environment = os.environ if environment is None else environment
    for folder in (Path(sys.prefix) / NAME, _cache_folder(environment) / NAME):
        if _is_complete(folder):
            return folder / "bin" / "python"
    return None


def _is_complete(folder: Path) -> bool:
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return stamp.get("requirements_sha256") == _fingerprint() and os.access(folder / "bin" / "python", os.X_OK)


def _fingerprint() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def status(*, python: Path | str | None = None, environment: Mapping[str, str] | None = None) -> EngineInstallation:
    """Say which engine would be used; ``python`` is an interpreter named by the user (DSLKIT_ENGINE_PYTHON).

    Starts a named interpreter once to ask for its graphon; UsageError when it has none.
    """
    folder = engine_folder(environment)
    if python is not None:
        return EngineInstallation(python=Path(python), graphon=graphon_of(Path(python)), folder=folder)
    found = installed_python(environment)
    if found is None:
        return EngineInstallation(python=None, folder=folder, remedy="run: dslkit engine install")
    return EngineInstallation(python=found, graphon=pinned_version(), folder=found.parent.parent)


def graphon_of(python: Path) -> str:
    """The version of graphon an interpreter has; UsageError when it does not start or has none."""
    ask = f"import importlib.metadata as m; print(m.version({_PACKAGE!r}))"
    try:
        answer = subprocess.run(  # noqa: S603 -- an interpreter that was named or found, with our own arguments
            [str(python), "-I", "-c", ask], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"The engine's Python {python} does not start: {error}. {_NAMED_REMEDY}") from error
    if answer.returncode:
        raise UsageError(f"The engine's Python {python} has no {_PACKAGE}. {_NAMED_REMEDY}")
    return answer.stdout.strip()


_NAMED_REMEDY: Final = "Correct or unset DSLKIT_ENGINE_PYTHON, or run: dslkit engine install"


def install(
    *, python: Path | str | None = None, quiet: bool = False, environment: Mapping[str, str] | None = None
) -> Path:
    """Make the engine's environment where it is not there yet; return its interpreter.

    ``python``: the 3.12 or 3.13 to build on; found by itself otherwise.  UsageError when there is none,
    DslkitError with the installer's last lines when the installation fails; nothing half-made stays behind.
    """
    environment = os.environ if environment is None else environment
    found = installed_python(environment)
    if found:
        return found
    folder = engine_folder(environment)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not _is_complete(folder):
            _make(folder, _base(python, environment), quiet=quiet, environment=environment)
    return folder / "bin" / "python"


def _base(python: Path | str | None, environment: Mapping[str, str]) -> Path:
    if python is None:
        found = fitting_python(environment)
        if found is None:
            raise UsageError(HOW_TO_GET_ONE)
        return found
    named = shutil.which(str(python), path=environment.get("PATH")) or str(python)
    if not fits(Path(named)):
        raise UsageError(f"{python} is no Python 3.12 or 3.13 that starts.\n{HOW_TO_GET_ONE}")
    return Path(named)


def _make(folder: Path, base: Path, *, quiet: bool, environment: Mapping[str, str]) -> None:
    """Build aside, then rename: a reader sees a whole environment or none."""
    aside = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    if not quiet:
        sys.stderr.write(f"Installing Dify's engine ({_PACKAGE} {pinned_version()}) into {folder} with {base}\n")
    try:
        _build(aside, base, environment)
        stamp = {"requirements_sha256": _fingerprint(), "python": str(base), _PACKAGE: pinned_version()}
        (aside / _STAMP).write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _build(folder: Path, base: Path, environment: Mapping[str, str]) -> None:
    """By uv where there is one and it succeeds (it may not know pip's index settings), else by venv and pip."""
    uv = shutil.which("uv", path=environment.get("PATH"))
    target = folder / "bin" / "python"
    if uv:
        try:
            _run([uv, "venv", "--quiet", "--python", str(base), str(folder)], environment)
            options = ["--no-deps", "--compile-bytecode", "--python", str(target)]  # pip compiles without being asked
            _run([uv, "pip", "install", *options, "-r", str(REQUIREMENTS)], environment)
        except DslkitError:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return
    _run([str(base), "-m", "venv", str(folder)], environment)
    options = ["--no-deps", "--disable-pip-version-check", "--no-input"]
    _run([str(target), "-m", "pip", "install", *options, "-r", str(REQUIREMENTS)], environment)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    # A Python of another version must not be led to this one's packages.
    clean = {key: value for key, value in environment.items() if not key.startswith("PYTHON") and key != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(  # noqa: S603 -- an interpreter that was named or found, with our own arguments
            command,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
            env=clean,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DslkitError(f"The engine could not be installed: {command[0]}: {error}") from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise DslkitError(f"The engine could not be installed; {' '.join(command[:4])} said:\n{tail}")
