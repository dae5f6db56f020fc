"""Values a dry run invents, by type: the engine's value types, start variables and JSON Schemas."""

# mypy: ignore-missing-imports
from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from graphon.file.enums import FileTransferMethod, FileType
from graphon.file.models import File

TEXT: Final = "sample text"
NUMBER: Final = 1
KEY: Final = "sample"  # the one key of an object of which nothing is known
ITEMS: Final = 2
MAX_SCHEMA_DEPTH: Final = 8
_BASE_URL: Final = "https://files.invalid/"

_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "document": ("sample.pdf", "application/pdf"),
    "image": ("sample.png", "image/png"),
    "audio": ("sample.mp3", "audio/mpeg"),
    "video": ("sample.mp4", "video/mp4"),
    "custom": ("sample.txt", "text/plain"),
}


def sample_file(kind: str = "document") -> File:
    """A file of a Dify file type that is never fetched."""
    name, mime_type = _FILES.get(kind, _FILES["custom"])
    return File(
        file_type=FileType(kind if kind in _FILES else "custom"),
        transfer_method=FileTransferMethod.REMOTE_URL,
        remote_url=_BASE_URL + name,
        related_id=name,
        filename=name,
        extension="." + name.rpartition(".")[2],
        mime_type=mime_type,
        size=1024,
    )


def sample_value(value_type: str) -> Any:
    """One value of an engine type: ``string``, ``array[object]``, …; of ``any`` type a text."""
    if value_type.startswith("array["):
        return [sample_value(value_type[6:-1]) for _ in range(ITEMS)]
    make = _MAKERS.get(value_type)
    return make() if make else TEXT


_MAKERS: Final[Mapping[str, Callable[[], Any]]] = {
    "number": lambda: NUMBER,
    "integer": lambda: NUMBER,
    "float": lambda: float(NUMBER),
    "boolean": lambda: True,
    "object": lambda: {KEY: TEXT},
    "file": sample_file,
}


def sample_start_value(variable: Mapping[str, Any]) -> Any:
    """What a user might enter for a start variable of a workflow."""
    kind = _file_kind(variable)
    match variable.get("type"):
        case "select":
            options = variable.get("options")
            return str(options[0]) if isinstance(options, list) and options else TEXT
        case "file":
            return sample_file(kind)
        case "file-list":
            return [sample_file(kind) for _ in range(ITEMS)]
        case "json_object":
            return _sample_object(variable.get("json_schema"))
        case other:
            return sample_value({"number": "number", "checkbox": "boolean"}.get(str(other), "string"))


def _sample_object(schema: object) -> Any:
    """An object of a JSON Schema, which the editor keeps as text."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError:  # the engine's own model of the start node will say so
            schema = None
    return sample_of_schema(schema) if isinstance(schema, Mapping) and schema else {KEY: TEXT}


def _file_kind(variable: Mapping[str, Any]) -> str:
    """A kind of file that may be uploaded; documents, if they may: most nodes can read them."""
    allowed = variable.get("allowed_file_types")
    kinds = [str(kind) for kind in allowed] if isinstance(allowed, list) and allowed else ["document"]
    return "document" if "document" in kinds else kinds[0]


def sample_of_schema(schema: object, depth: int = 0) -> Any:
    """A value that satisfies a JSON Schema as far as its types, properties, enums, bounds and first choices say."""
    if not isinstance(schema, Mapping) or depth > MAX_SCHEMA_DEPTH:
        return TEXT
    for fixed in ("const", "default"):
        if fixed in schema and schema[fixed] is not None:
            return schema[fixed]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(choice), list) and schema[choice]:
            return sample_of_schema(schema[choice][0], depth + 1)
    return _sample_of_type(schema, depth)


def _sample_of_type(schema: Mapping[str, Any], depth: int) -> Any:
    declared = schema.get("type")
    declared = declared[0] if isinstance(declared, list) and declared else declared
    match declared:
        case "object":
            properties = schema.get("properties")
            entries = properties.items() if isinstance(properties, Mapping) else ()
            return {str(name): sample_of_schema(each, depth + 1) for name, each in entries}
        case "array":
            count = max(ITEMS, _number(schema.get("minItems"), 0))
            return [sample_of_schema(schema.get("items"), depth + 1) for _ in range(min(count, 20))]
        case "integer" | "number":
            return _number(schema.get("minimum"), NUMBER)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return TEXT.ljust(min(_number(schema.get("minLength"), 0), 1000), ".")


def _number(value: object, default: int) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
