"""Finding a Python for the engine and making its environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dslkit.dify import engine_install
from dslkit.dify.engine import Engine, install, status
from dslkit.dify.engine_pythons import fits, fitting_python
from dslkit.errors import DslkitError, UsageError


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def answering(path: Path, version: str, name: str = "cpython", locked: str = "true") -> Path:
    """A program that answers the question for its version as such a Python would."""
    major, minor = version.split(".")
    return script(path, f"""echo '["{name}", [{major}, {minor}], {locked}, true, true]'""")


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which no Python is to be found, until a test puts one there."""
    monkeypatch.setattr("dslkit.dify.engine_pythons._FOLDERS", ())
    monkeypatch.setattr("sys.executable", str(answering(tmp_path / "own/python", "3.11")))
    (tmp_path / "home").mkdir()
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python prefix of our own, so that no test touches the real one."""
    folder = tmp_path / "prefix"
    folder.mkdir()
    monkeypatch.setattr("sys.prefix", str(folder))
    return folder


PLACES = [
    "bin/python3.13",
    "bin/python3.12",
    "home/.pyenv/versions/3.12.7/bin/python3",
    "home/.local/share/uv/python/cpython-3.13.1-linux/bin/python3",
    "home/miniforge3/envs/work/bin/python3",
    "home/anaconda3/bin/python3",
]


@pytest.mark.parametrize("place", PLACES)
def test_pythons_are_found_where_people_keep_them(tmp_path: Path, nowhere: dict[str, str], place: str) -> None:
    expected = answering(tmp_path / place, "3.12")
    assert fitting_python(nowhere) == expected


@pytest.mark.parametrize("key", ["PYENV_ROOT", "CONDA_PREFIX", "UV_PYTHON_INSTALL_DIR"])
def test_named_roots_are_searched(tmp_path: Path, nowhere: dict[str, str], key: str) -> None:
    inner = {"PYENV_ROOT": "versions/3.13.0", "UV_PYTHON_INSTALL_DIR": "cpython-3.13.0-x", "CONDA_PREFIX": ""}[key]
    expected = answering(tmp_path / "root" / inner / "bin/python3", "3.13")
    assert fitting_python({**nowhere, key: str(tmp_path / "root")}) == expected


UNFIT = {
    "a shim that fails": "echo 'pyenv: python3.13: command not found' >&2; exit 127",
    "an older one": """echo '["cpython", [3, 11], true, true, true]'""",
    "a newer one": """echo '["cpython", [3, 14], true, true, true]'""",
    "another implementation": """echo '["pypy", [3, 12], true, true, true]'""",
    "one without a lock": """echo '["cpython", [3, 13], false, true, true]'""",
    "a 32-bit one": """echo '["cpython", [3, 13], true, false, true]'""",
    "one that cannot make environments": """echo '["cpython", [3, 13], true, true, false]'""",
    "something else": "echo hello",
}


@pytest.mark.parametrize("text", UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_passed_over(tmp_path: Path, nowhere: dict[str, str], text: str) -> None:
    script(tmp_path / "bin/python3.13", text)
    assert fitting_python(nowhere) is None
    expected = answering(tmp_path / "home/.pyenv/versions/3.13.1/bin/python3", "3.13")
    assert fitting_python(nowhere) == expected


def test_a_file_that_is_no_program_is_passed_over(tmp_path: Path) -> None:
    plain = tmp_path / "python3.13"
    plain.write_text("", encoding="utf-8")
    assert not fits(plain)


def test_without_a_python_the_error_says_how_to_get_one(nowhere: dict[str, str], prefix: Path) -> None:
    with pytest.raises(UsageError, match=r"Python 3\.12 or 3\.13") as caught:
        install(quiet=True, environment=nowhere)
    assert "uv python install 3.13" in str(caught.value)
    assert list(prefix.glob("dslkit-engine*/")) == []


def test_a_named_python_that_does_not_fit_is_refused(tmp_path: Path, nowhere: dict[str, str], prefix: Path) -> None:
    old = answering(tmp_path / "old/python", "3.10")
    with pytest.raises(UsageError, match=r"no Python 3\.12 or 3\.13"):
        install(python=old, quiet=True, environment=nowhere)


def base(path: Path, *, fails: bool = False) -> Path:
    """A Python whose ``-m venv FOLDER`` makes another one, whose ``-m pip`` writes down that it ran."""
    ending = "echo no matching distribution; exit 1" if fails else "exit 0"
    pip = script(path.with_name("pip"), f"echo pip $@ >> {path.parent}/log\n{ending}")
    return script(
        path,
        f"""if [ "$2" = -c ]; then echo '["cpython", [3, 13], true, true, true]'; fi
if [ "$2" = venv ]; then mkdir -p "$3/bin"; echo venv >> {path.parent}/log; cp {pip} "$3/bin/python"; fi""",
    )


def test_install_makes_the_environment_once(tmp_path: Path, nowhere: dict[str, str], prefix: Path) -> None:
    python = install(python=base(tmp_path / "b/python"), quiet=True, environment=nowhere | {"PATH": "/bin:/usr/bin"})
    assert python == prefix / "dslkit-engine/bin/python"
    log = (tmp_path / "b/log").read_text().splitlines()
    assert log[0] == "venv"
    assert "--no-deps" in log[1]
    assert log[1].endswith("engine_requirements.txt")
    assert install(quiet=True, environment=nowhere) == python
    assert (tmp_path / "b/log").read_text().splitlines() == log
    assert status(environment=nowhere).python == python


def test_a_failed_installation_leaves_nothing(tmp_path: Path, nowhere: dict[str, str], prefix: Path) -> None:
    environment = nowhere | {"PATH": "/bin:/usr/bin"}
    with pytest.raises(DslkitError, match="no matching distribution"):
        install(python=base(tmp_path / "b/python", fails=True), quiet=True, environment=environment)
    assert [path.name for path in prefix.iterdir() if path.is_dir()] == []
    assert status(environment=nowhere).remedy == "run: dslkit engine install"


def test_uv_is_used_where_it_is_and_pip_when_it_fails(tmp_path: Path, nowhere: dict[str, str], prefix: Path) -> None:
    script(tmp_path / "bin/uv", f"echo uv $1 >> {tmp_path}/b/log; for last; do :; done; mkdir -p $last/left; exit 1")
    environment = nowhere | {"PATH": f"{tmp_path / 'bin'}:/bin:/usr/bin"}
    python = install(python=base(tmp_path / "b/python"), quiet=True, environment=environment)
    log = (tmp_path / "b/log").read_text().splitlines()
    assert [line.split()[0] for line in log] == ["uv", "venv", "pip"]
    assert not (python.parent.parent / "left").exists()


def test_new_pins_make_a_new_environment(tmp_path: Path, nowhere: dict[str, str], prefix: Path) -> None:
    environment = nowhere | {"PATH": "/bin:/usr/bin"}
    python = install(python=base(tmp_path / "b/python"), quiet=True, environment=environment)
    stamp = python.parent.parent / "dslkit-engine.json"
    stamp.write_text(json.dumps({"requirements_sha256": "of other pins"}), encoding="utf-8")
    assert status(environment=environment).python is None
    install(python=base(tmp_path / "b/python"), quiet=True, environment=environment)
    assert (tmp_path / "b/log").read_text().count("venv") == 2


def test_an_environment_whose_base_is_gone_is_made_again(tmp_path: Path, nowhere: dict[str, str], prefix: Path) -> None:
    environment = nowhere | {"PATH": "/bin:/usr/bin"}
    python = install(python=base(tmp_path / "b/python"), quiet=True, environment=environment)
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    assert Engine.find() is None
    install(python=base(tmp_path / "b/python"), quiet=True, environment=environment)
    assert os.access(python, os.X_OK)


def test_an_unwritable_prefix_means_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path / "not there"))
    home = {"HOME": str(tmp_path)}
    assert engine_install.engine_folder({**home, "XDG_CACHE_HOME": "/x"}) == Path("/x/dslkit/dslkit-engine")
    monkeypatch.setattr("sys.platform", "linux")
    assert engine_install.engine_folder(home) == tmp_path / ".cache/dslkit/dslkit-engine"
    monkeypatch.setattr("sys.platform", "darwin")
    assert engine_install.engine_folder(home) == tmp_path / "Library/Caches/dslkit/dslkit-engine"


def test_a_named_engine_without_graphon_is_an_error() -> None:
    with pytest.raises(UsageError, match="has no graphon"):
        Engine.find(sys.executable)
    with pytest.raises(UsageError, match="does not start"):
        status(python="/not/there")


def test_the_pins_are_exact_and_name_no_registry() -> None:
    lines = [line for line in engine_install.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line and "/" not in line for line in lines)
    assert engine_install.pinned_version() == "0.8.0"


@pytest.mark.engine
def test_an_environment_can_be_made_from_an_environment(engine: Engine, tmp_path: Path) -> None:
    """The Python that is found may itself be a link in a venv."""
    outer = tmp_path / "outer"
    subprocess.run([str(engine.python), "-m", "venv", "--without-pip", str(outer)], check=True)
    assert fits(outer / "bin" / "python")
    assert engine_install.graphon_of(engine.python) == engine_install.pinned_version()
