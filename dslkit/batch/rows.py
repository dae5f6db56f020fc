"""Requirement files as rows with line numbers: JSONL, JSON, CSV, YAML and plain text.

A row is a mapping of column to value, or a bare string where the file has no columns.  Every complaint names the line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CSV_FIELD_LIMIT = 16 * 1024 * 1024
_BETWEEN = re.compile(r"[\s,]*")
_MAIN = "requirements"  # the name of the file, without its suffix, that a folder has its requirements in
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a requirement file; ``line`` counts from 1 and is where the record begins."""

    line: int
    value: object


class BadRowError(ValueError):
    """What is wrong with one row; becomes part of one UsageError for the whole file."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")


def files_of(path: Path) -> tuple[Path, ...]:
    """The requirement files of a folder: ``requirements.…`` in it, else all in and below it; a file is its own.

    Text files do not count there: licences and notes are such.  Raises UsageError when there are none.
    """
    if not path.is_dir():
        return (path,)
    suffixes = set(_READERS) - {".txt", ""}
    main = tuple(file for file in sorted(path.glob(f"{_MAIN}.*")) if file.suffix.lower() in suffixes)
    below = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in suffixes and file.is_file())
    files = main or tuple(file for file in below if not any(part[0] == "." for part in file.relative_to(path).parts))
    if not files:
        raise UsageError(f"{path}: the folder has no requirement file ({', '.join(sorted(suffixes))}).")
    return files


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of ``path``, by its suffix.  Raises UsageError when the file is no text, BadRowError for a bad row."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(suffix for suffix in _READERS if suffix)
        raise UsageError(f"{path}: unknown kind of file {path.suffix!r}. Requirements come as one of {known}.")
    return reader(read_text(path))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark; UsageError with the remedy when it is anything else."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}). Give the path of a requirements file.") from None
    if not data.strip():
        raise UsageError(f"{path}: the file is empty. Write one requirement a line and try again.")
    if data.startswith(_UTF16_MARKS):
        raise UsageError(f"{path}: the file is UTF-16. Save it as UTF-8 and try again.")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise UsageError(f"{path}: line {line}: binary data, not text. Give a JSONL, CSV, YAML or text file in UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise UsageError(
            f"{path}: line {line}: byte 0x{byte:02x} is not UTF-8. Save the file as UTF-8 and try again "
            f"(for example: iconv -f WINDOWS-1252 -t UTF-8 FILE)."
        ) from None


def _read_jsonl(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            what = (
                f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deep"
            )
            raise BadRowError(number, f"not JSON ({what}). Each line must be one whole JSON object.") from None
        yield Row(number, value)


def _read_json(text: str) -> Iterator[Row]:
    """One object, or a list of them."""
    try:
        root = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise BadRowError(line, f"not JSON ({error}). Write one object, or a list of them.") from None
    if not isinstance(root, list):
        yield Row(1, root)
        return
    decoder, place = json.JSONDecoder(), text.index("[") + 1
    for _ in root:
        start = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]  # it matches anywhere
        value, place = decoder.raw_decode(text, start)
        yield Row(text.count("\n", 0, start) + 1, value)


def _read_csv(text: str) -> Iterator[Row]:
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start, header = 1, None
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _csv_header(line, cells)
            else:
                yield Row(line, _csv_record(line, header, cells))
    except csv.Error as error:
        raise BadRowError(start, f"not CSV ({error}). Quote a cell that holds quotes, commas or line breaks.") from None


def _csv_header(line: int, cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadRowError(line, f"column {twice[0]!r} stands twice in the header. Name each column once.")
    if "requirement" not in header:
        raise BadRowError(line, "the header has no column 'requirement'. The first line names the columns.")
    return header


def _csv_record(line: int, header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        problem = f"{len(cells)} cells, but the header has {len(header)}. Quote a cell that holds commas."
        raise BadRowError(line, problem)
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()}


def _read_yaml(text: str) -> Iterator[Row]:
    try:
        root = yaml.compose(text, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadRowError(line, f"not YAML ({error.problem}). Check indentation and quotes there.") from None
    except yaml.YAMLError as error:
        raise BadRowError(1, f"not YAML ({error}).") from None
    if not isinstance(root, yaml.SequenceNode):
        raise BadRowError(1, "a YAML file of requirements is one list: begin each requirement with '- '.")
    for node in root.value:
        yield Row(node.start_mark.line + 1, _yaml_value(node))


def _yaml_value(node: yaml.Node) -> object:
    line = node.start_mark.line + 1
    try:
        return yaml.constructor.SafeConstructor().construct_document(node)
    except (yaml.MarkedYAMLError, RecursionError, ValueError) as error:
        raise BadRowError(line, f"not plain YAML ({getattr(error, 'problem', error)}).") from None


def _read_plain(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield Row(number, line.strip())


_READERS: dict[str, Callable[[str], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".txt": _read_plain,
    "": _read_plain,
}
