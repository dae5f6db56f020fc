"""Requirement files in, `Requirement` values out; whatever is wrong is said with its line, the problem and the remedy.

A folder is read as the benchmark Chat2Workflow (arXiv 2604.19667) lays its tasks out: its file ``requirements.…``, with
whatever else lies beside it left alone; a folder without one gives all the requirement files in and below it.

Columns: ``id``, ``requirement`` (a text, or the list of a request and its later rounds), ``inputs``, ``outputs``
(names, or one list of names per end node), ``related_nodes``, ``tags``.  Columns that only describe a requirement
(`TAG_COLUMNS`) become tags.  Any other column is an error: a misspelt ``outputs`` must not silently switch off judging.
So is a misspelt node type: no workflow could ever have it.
In CSV cells, names are separated by ``;``, end nodes by ``|``; a cell that begins with ``[`` or ``{`` is read as JSON.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from dslkit.batch.rows import BadRowError, Row, files_of, read_rows
from dslkit.dify.nodes import NODE_KINDS
from dslkit.dify.plan_forms import OTHER_NAMES
from dslkit.dify.tools import TOOLS
from dslkit.errors import UsageError
from dslkit.records import Requirement

TAG_COLUMNS = frozenset(
    {
        "category",
        "comment",
        "complexity",
        "difficulty",
        "domain",
        "language",
        "note",
        "notes",
        "round",
        "source",
        "split",
        "task",
        "title",
    }
)
_NODE_TYPES = tuple(sorted({*NODE_KINDS, *TOOLS, *OTHER_NAMES}))
_NEARLY = 0.85  # as difflib measures it; "llmm" is as near to "llm"
_COLUMNS = ("id", "requirement", "inputs", "outputs", "related_nodes", "tags")
_PROBLEMS_SHOWN = 10
_ID_LENGTH = 120
_SLUG_LENGTH = 40
_SLUG_BYTES = _ID_LENGTH - len("-01234567")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


class _UnusableError(ValueError):
    """What is wrong with one row, and the remedy; `load` adds file and line."""


def load(path: str | Path) -> tuple[Requirement, ...]:
    """The requirements of a JSONL, JSON, CSV, YAML or text file (one a line), or of a folder of such, in order.

    Raises:
        UsageError: the file or rows of it cannot be used; names every line (ten at most), the problem and the remedy.
    """
    path = Path(path)
    problems: list[str] = []
    placed = ((_place(file, path), file) for file in files_of(path))
    found = (each for place, file in placed for each in _usable(read_rows(file), place, problems))
    requirements = tuple(_without_twins(found, problems))
    if problems:
        shown = problems[:_PROBLEMS_SHOWN]
        more = [f"… and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
        raise UsageError("\n  ".join([f"{path}: cannot be used:", *shown, *more]))
    if not requirements:
        raise UsageError(f"{path}: no requirement in it. Write one requirement a line and try again.")
    return requirements


def from_text(text: str, *, item_id: str | None = None) -> Requirement:
    """One requirement from plain words; without an id it is named by its first words and a hash of all."""
    text = text.strip()
    if not text:
        raise UsageError("The requirement is empty. Say in a sentence what the workflow should do.")
    try:
        return Requirement(id=_identity(item_id, (_whole(text),)), messages=(text,))
    except ValueError as error:
        raise UsageError(str(error)) from None


def _place(file: Path, path: Path) -> str:
    """What to say before a line of a file: its place in the folder, where that was given."""
    return "" if file == path else f"{file.relative_to(path)}, "


def _usable(rows: Iterator[Row], place: str, problems: list[str]) -> Iterator[tuple[str, Requirement]]:
    try:
        for row in rows:
            try:
                yield f"{place}line {row.line}", _requirement(row.value)
            except ValueError as error:
                problems.append(f"{place}line {row.line}: {error}")
    except BadRowError as error:  # the reader cannot go on behind a row that it cannot read
        problems.append(f"{place}{error}")


def _without_twins(numbered: Iterable[tuple[str, Requirement]], problems: list[str]) -> Iterator[Requirement]:
    """Ids that differ in case alone are twins too: some file systems hold one file for both.

    Those made from equal texts are numbered.
    """
    seen: dict[str, str] = {}
    for where, requirement in numbered:
        made, number = requirement.id == _named_by(requirement.messages), 2
        numbered_one = requirement
        while made and numbered_one.id.casefold() in seen:
            numbered_one, number = replace(requirement, id=f"{requirement.id}-{number}"), number + 1
        first = seen.setdefault(numbered_one.id.casefold(), where)
        if first != where:
            problems.append(f"{where}: id {requirement.id!r} stands on {first} already. Give each its own id.")
        yield numbered_one


def _requirement(value: object) -> Requirement:
    columns = {"requirement": value} if isinstance(value, str) else value
    if not isinstance(columns, Mapping):
        raise _UnusableError('neither a text nor an object. Write {"id": "…", "requirement": "…"}.')
    columns = {str(name): cell for name, cell in columns.items() if cell is not None}
    _refuse_unknown(columns)
    messages = _messages(columns.get("requirement"))
    return Requirement(
        id=_identity(columns.get("id"), messages),
        messages=messages,
        inputs=_names(columns, "inputs"),
        outputs=_outputs(columns.get("outputs")),
        related_nodes=_node_types(columns),
        tags=_tags(columns),
    )


def _whole(text: str) -> str:
    """The text, or ValueError for halves of characters, which no file, model or ledger can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise _UnusableError(f"it has half a character ({half!a}). Write the whole character instead.") from None
    return text


def _refuse_unknown(columns: Mapping[str, object]) -> None:
    for name in columns:
        if name in _COLUMNS or name in TAG_COLUMNS:
            continue
        near = difflib.get_close_matches(name.casefold(), _COLUMNS, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else "Remove it, or put it into 'tags'."
        raise _UnusableError(f"unknown column {name!r}. {remedy} Known: {', '.join(_COLUMNS)}.")


def _messages(cell: object) -> tuple[str, ...]:
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        cell = _json_or_text(cell)
    rounds = [cell] if isinstance(cell, str) else cell
    if not isinstance(rounds, list) or not rounds or not all(isinstance(text, str) and text.strip() for text in rounds):
        raise _UnusableError("'requirement' must be a text, or a list of texts, one per round, none of them empty.")
    return tuple(_whole(text.strip()) for text in rounds)


def _identity(cell: object, messages: tuple[str, ...]) -> str:
    if cell is None or cell == "":
        return _portable(_named_by(messages))
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        raise _UnusableError(f"'id' must be a text or a whole number, not {cell!r}.")
    return _portable(_whole(str(cell)))


def _named_by(messages: tuple[str, ...]) -> str:
    """By content, not by position: a line put in before others leaves their names, and so their results, alone."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", messages[0]).lower())
    slug = "-".join(words)[:_SLUG_LENGTH].encode()[:_SLUG_BYTES].decode(errors="ignore").strip("-_") or "requirement"
    digest = hashlib.sha256("\0".join(messages).encode()).hexdigest()
    return f"{slug}-{digest[:8]}"


def _portable(name: str) -> str:
    """The id as a file name that every system takes, or ValueError saying why it is none."""
    name = unicodedata.normalize("NFC", name.strip())
    bad = _NOT_IN_NAMES.search(name)
    problem = (
        ("it is empty" if not name else "")
        or (f"it has {bad.group()!r}" if bad else "")
        or ("it begins or ends with a dot" if name.startswith(".") or name.endswith(".") else "")
        or ("it begins with a hyphen" if name.startswith("-") else "")
        or ("it is a reserved name on Windows" if _RESERVED.fullmatch(name) else "")
        or ("" if _takes(name) else "file names are not UTF-8 here (set PYTHONUTF8=1)")
        or (f"it is longer than {_ID_LENGTH} bytes" if len(name.encode()) > _ID_LENGTH else "")
    )
    if problem:
        raise _UnusableError(f"id {name!r} cannot name a file: {problem}. Use letters, digits, '_', '-' and '.' alone.")
    return name


def _takes(name: str) -> bool:
    """Whether Python can make a file name of it in this locale."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _names(columns: Mapping[str, object], column: str) -> tuple[str, ...] | None:
    cell = columns.get(column)
    if cell is None:
        return None
    if isinstance(cell, str):
        cell = _json_or_text(cell) if cell.lstrip().startswith("[") else _split(cell, ";")
    return _checked_names(cell, column)


def _node_types(columns: Mapping[str, object]) -> tuple[str, ...] | None:
    """The names; one that is nearly a node type is a slip, one far from all may be a tool of a plugin."""
    names = _names(columns, "related_nodes")
    for name in names or ():
        plain = name.casefold().replace("_", "-").replace(" ", "-")
        near = difflib.get_close_matches(plain, _NODE_TYPES, n=1, cutoff=_NEARLY)
        if near and name not in _NODE_TYPES:
            raise _UnusableError(f"'related_nodes' has {name!r}, no node type of Dify. Did you mean {near[0]!r}?")
    return names


def _outputs(cell: object) -> tuple[tuple[str, ...], ...] | None:
    if cell is None:
        return None
    if isinstance(cell, str):
        as_json = cell.lstrip().startswith("[")
        cell = _json_or_text(cell) if as_json else [_split(part, ";") for part in _split(cell, "|")]
    if isinstance(cell, list) and cell and all(isinstance(names, list) for names in cell):
        return tuple(_checked_names(names, "outputs") for names in cell)
    return (_checked_names(cell, "outputs"),)


def _checked_names(cell: object, column: str) -> tuple[str, ...]:
    if not isinstance(cell, list) or not all(isinstance(name, str) and name.strip() for name in cell):
        raise _UnusableError(f"{column!r} must be a list of names, not {cell!r}.")
    return tuple(_whole(name.strip()) for name in cell)


def _tags(columns: Mapping[str, object]) -> dict[str, str]:
    cell = columns.get("tags", {})
    if isinstance(cell, str):
        cell = _json_or_text(cell) if cell.lstrip().startswith("{") else dict(_pairs(cell))
    if not isinstance(cell, Mapping) or not all(_is_plain(value) for value in cell.values()):
        raise _UnusableError("'tags' must be an object of names and plain values, in CSV name=value;name=value.")
    described = {name: columns[name] for name in sorted(TAG_COLUMNS & columns.keys()) if _is_plain(columns[name])}
    return {_whole(str(name)): _whole(str(value)) for name, value in {**described, **cell}.items()}


def _pairs(cell: str) -> Iterator[tuple[str, str]]:
    for part in _split(cell, ";"):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise _UnusableError(f"tag {part!r} is not name=value.")
        yield name.strip(), value.strip()


def _split(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator) if part.strip()]


def _json_or_text(cell: str) -> object:
    """A cell that merely begins like JSON is a text ('[urgent] route tickets')."""
    try:
        return json.loads(cell)
    except (json.JSONDecodeError, RecursionError):
        return cell


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)
