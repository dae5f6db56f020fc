"""Imports point down, heavy packages have one room each, and the face is what it says."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dslkit

PACKAGE = Path(dslkit.__file__).parent

# From the ground up: a room may import those below it, never those above.
FLOORS = [
    "records",
    "errors",
    "settings",
    "pricing",
    "llm",
    "ledger",
    "connect",
    "dify",
    "knowledge",
    "agents",
    "batch",
    "analysis",
    "notebooks",
    "report",
    "widgets",
    "telemetry",
    "doctor",
    "server",
    "cli",
]

ONLY_IMPORTER = {
    "openai": "llm",
    "httpx2": "llm",
    "aiohttp": "llm",
    "duckdb": "ledger",
    "genai_prices": "pricing",
    "pydantic_settings": "settings",
    "chromadb": "knowledge",
    "wordllama": "knowledge",
    "cronsim": "analysis",
    "papermill": "notebooks",
    "vl_convert": "report",
    "nbconvert": "report",
    "ipywidgets": "widgets",
    "opentelemetry": "telemetry",
    "sentry_sdk": "telemetry",
    "jupyter_server": "server",
    "tornado": "server",
    "typer": "cli",
    "rich": "cli",
}

# Runs under another interpreter, which has the engine but no dslkit.
FOREIGN = PACKAGE / "dify" / "engine_worker"


def modules() -> list[Path]:
    return sorted(
        path for path in PACKAGE.rglob("*.py") if FOREIGN not in path.parents and path != PACKAGE / "__init__.py"
    )


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module a file imports, also inside functions and under TYPE_CHECKING."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.update(_meant(node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("relative import")
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    assert room(path) in FLOORS, f"{path} is in no known room"
    own_floor = FLOORS.index(room(path))
    for name in imported(path):
        assert name != "relative import", "imports are absolute, so that rooms can be read off them"
        parts = name.split(".")
        if parts[0] == "dslkit" and len(parts) > 1 and parts[1] != "__version__":
            assert FLOORS.index(parts[1]) <= own_floor, f"{room(path)} must not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_have_one_room(path: Path) -> None:
    for name in imported(path):
        owner = ONLY_IMPORTER.get(name.split(".")[0])
        assert owner in {None, room(path)}, f"only {owner} imports {name}"


def _meant(module: str, name: str) -> str:
    """The module that ``from module import name`` is after: a submodule where ``name`` is one."""
    path = PACKAGE.parent.joinpath(*module.split("."), name)
    return f"{module}.{name}" if path.is_dir() or path.with_suffix(".py").is_file() else module


def module_graph() -> dict[str, set[str]]:
    """dslkit modules and the dslkit modules they import."""
    known = {
        ".".join(("dslkit", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in modules()
    }
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        wanted = {node for node in imported(path) if node.startswith("dslkit.")}
        graph[name] = {node for node in wanted if node in known and node != name}
    return graph


def test_no_import_cycle() -> None:
    graph, done = module_graph(), set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_face_is_sorted_and_real() -> None:
    assert list(dslkit.__all__) == sorted(dslkit.__all__)
    assert set(dslkit.__all__) == set(dslkit._ROOM)
    for name in dslkit.__all__:
        assert getattr(dslkit, name) is not None
        assert name in dir(dslkit)


def test_unknown_name_of_the_face_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dslkit.nonsense  # type: ignore[attr-defined] # the point of the test


def test_import_loads_no_heavy_package() -> None:
    code = f"import dslkit, sys; print([name for name in {list(ONLY_IMPORTER)!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sorted(FOREIGN.glob("*.py")), ids=lambda path: path.name)
def test_the_engine_worker_needs_no_dslkit(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith("dslkit")]


def test_types_ship() -> None:
    assert (PACKAGE / "py.typed").is_file()


PAGE = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_page_has_every_room_and_what_only_it_imports() -> None:
    rows = re.findall(r"^\| `([\w.]+)/?` \| .* \| (.*)\|$", PAGE, re.MULTILINE)
    rooms = [name.removesuffix(".py") for name, _ in rows]
    assert rooms == [name for name in FLOORS if name in {room(path) for path in modules()}]
    owners = {package: name.removesuffix(".py") for name, owned in rows for package in re.findall(r"\w+", owned)}
    assert owners == ONLY_IMPORTER


def test_the_page_names_what_is_there() -> None:
    """Each `room.module.name` is one; a name that was changed must not live on here."""
    named = re.findall(rf"`(?:await )?((?:{'|'.join(FLOORS)})\.[A-Za-z_][\w.]*)", PAGE)
    gone = [name for name in named if not name.endswith((".py", ".duckdb")) and not _there(f"dslkit.{name}")]
    assert len(named) > 40
    assert gone == []


def _there(name: str) -> bool:
    """Whether a dotted name leads to a module or to something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
