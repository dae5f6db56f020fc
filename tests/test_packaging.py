"""pyproject.toml, constraints.txt and environment.yml tell one story."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ["3.11", "3.12", "3.13"]
PLATFORMS = ["linux", "darwin"]


def wanted() -> list[Requirement]:
    extras = PROJECT.get("optional-dependencies", {})
    listed = [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]
    return [requirement for text in listed if (requirement := Requirement(text)).name != PROJECT["name"]]


def pins(python: str, platform: str) -> dict[str, str]:
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "os_name": "posix",
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[platform],
        "platform_machine": "arm64" if platform == "darwin" else "x86_64",
    }
    found: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate(environment):
                assert pin.name not in found, f"{pin.name} is pinned twice on Python {python}"
                found[pin.name] = next(iter(pin.specifier)).version
    return found


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_within_its_range(python: str, platform: str) -> None:
    pinned = pins(python, platform)
    for requirement in wanted():
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in pinned, f"{name} has no pin: run the compile command of docs/architecture.md"
        assert requirement.specifier.contains(pinned[name], prereleases=True), f"{name}=={pinned[name]}"


def test_required_packages_are_dependencies() -> None:
    names = {requirement.name for requirement in wanted()}
    assert {"jupyterlab", "papermill", "openai", "chromadb", "duckdb", "ipywidgets", "nbval"} <= names


def test_conda_installs_the_same_package() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert [re.split(r"[ <>=]", entry)[0] for entry in conda] == ["python", "pip"]
    assert SpecifierSet(conda[0].removeprefix("python").strip()) == SpecifierSet(PROJECT["requires-python"])
    assert pip == ["--constraint constraints.txt", "-e .[dev]"]


def test_no_committed_file_names_a_registry_or_this_machine() -> None:
    """Mirrors differ from user to user, and a path of one machine is wrong on all others."""
    foreign = r"https?://[^ /\"]*(pypi|pythonhosted|npmjs|debian)\b|" + re.escape(str(ROOT))
    answer = subprocess.run(["git", "grep", "-nIE", foreign], cwd=ROOT, capture_output=True, text=True, check=False)
    hits = [line for line in answer.stdout.splitlines() if not line.startswith("tests/test_packaging.py:")]
    assert hits == []


def test_wheel_holds_the_notebooks_and_package_data(tmp_path: Path) -> None:
    """Users without a checkout run the same notebooks, prompts and patterns."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    notebooks = {f"dslkit/notebooks/shipped/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    tracked = subprocess.run(["git", "ls-files", "dslkit"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert notebooks
    assert notebooks <= names
    assert set(tracked.stdout.split()) <= names
