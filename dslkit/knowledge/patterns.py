"""Patterns as files: one YAML file each, shipped with the package or kept in the user's folder."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

ID_FORM = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
MAX_ID_LENGTH = 80

_SUFFIXES = frozenset({".yml", ".yaml"})
# The C loader reads the same YAML ten times quicker; wheels of PyYAML have it, some distributions do not.
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A workflow worth imitating.  ``plan`` is in the compact plan form: ``{"nodes_info": […], "edges": […]}``."""

    id: str
    title: str
    description: str
    plan: Mapping[str, object]
    tags: tuple[str, ...] = ()
    mode: Literal["workflow", "advanced-chat"] = "workflow"

    @property
    def text(self) -> str:
        """What the search compares with a request."""
        return f"{self.title}. {self.description} {', '.join(self.tags)}"

    @property
    def node_types(self) -> tuple[str, ...]:
        """The node types of the plan, each once, in order of appearance."""
        return tuple(dict.fromkeys(str(node["type"]) for node in self.nodes))

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The plan's nodes."""
        nodes = self.plan["nodes_info"]
        assert isinstance(nodes, list)
        return nodes


class _Node(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    type: str


class _Plan(BaseModel):
    model_config = ConfigDict(extra="allow")
    nodes_info: list[_Node] = Field(min_length=1)
    edges: list[list[str | int]]


class _PatternFile(BaseModel):
    """The form of a pattern file."""

    model_config = ConfigDict(extra="forbid")
    id: str
    title: str = Field(min_length=1)
    description: str = Field(min_length=1)
    plan: _Plan
    tags: list[str] = []
    mode: Literal["workflow", "advanced-chat"] = "workflow"


@cache
def shipped_patterns() -> tuple[Pattern, ...]:
    """The patterns that come with the package, ordered by id."""
    folder = resources.files("dslkit.knowledge") / "shipped"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".yml")]
    return tuple(sorted((parse(entry.read_text("utf-8"), entry.name) for entry in files), key=lambda found: found.id))


def read_folder(folder: Path) -> tuple[Pattern, ...]:
    """The patterns in a folder, ordered by id; none when it does not exist.  A broken file is a UsageError."""
    return tuple(sorted(read_files(folder).values(), key=lambda found: found.id))


def read_files(folder: Path) -> dict[Path, Pattern]:
    """The same by file, whatever each is called."""
    files = sorted(path for path in folder.glob("[!.]*") if path.suffix in _SUFFIXES)
    return {path: parse(_read(path), str(path)) for path in files}


def parse(text: str, source: str) -> Pattern:
    """Read one pattern; raise UsageError that names ``source`` and what is wrong."""
    try:
        # The loader is a safe one, chosen above.
        form = _PatternFile.model_validate(yaml.load(text, _Loader))  # noqa: S506
    except (yaml.YAMLError, ValidationError) as error:
        raise UsageError(f"{source} is no pattern: {_reason(error)}") from None
    check_id(form.id)
    content = form.model_dump()
    return Pattern(**{**content, "tags": tuple(form.tags)})


def check_id(pattern_id: str) -> None:
    """Raise UsageError unless the id is a safe file name in lower case."""
    if len(pattern_id) > MAX_ID_LENGTH or not ID_FORM.fullmatch(pattern_id):
        raise UsageError(
            f"{pattern_id!r} cannot be a pattern's id: use lower-case letters, digits and hyphens,"
            f" {MAX_ID_LENGTH} characters at most."
        )


def write(pattern: Pattern, folder: Path) -> Path:
    """Write a pattern into ``folder``, whole or not at all; return its file."""
    text = dump(pattern)
    parse(text, pattern.id)
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{pattern.id}-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    return Path(name).replace(folder / f"{pattern.id}.yml")


def dump(pattern: Pattern) -> str:
    """A pattern as its file's text."""
    content = {
        "id": pattern.id,
        "title": pattern.title,
        "description": pattern.description,
        "tags": list(pattern.tags),
        "mode": pattern.mode,
        "plan": dict(pattern.plan),
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as UTF-8 text: {error}") from None


def _reason(error: yaml.YAMLError | ValidationError) -> str:
    if isinstance(error, yaml.YAMLError):
        return " ".join(str(error).split())
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
