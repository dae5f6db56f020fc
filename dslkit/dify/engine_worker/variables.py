"""What the variable pool holds before a run: system, environment and conversation variables."""

# mypy: ignore-missing-imports, allow-subclassing-any
# ruff: noqa: D102 -- graphon says what its pool's methods are for
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from graphon.runtime.variable_pool import VariablePool
from graphon.variables.factory import TypeMismatchError, build_segment, build_segment_with_type
from graphon.variables.segments import ObjectSegment, Segment
from graphon.variables.types import SegmentType
from pydantic import PrivateAttr

from .samples import ITEMS, KEY, TEXT, sample_file, sample_value

_PLAIN_SELECTOR: Final = 2  # node and output; what follows are fields of that output
_TIMESTAMP: Final = 1_700_000_000
_FILL_WHEN_EMPTY: Final = ("array[string]", "array[number]", "array[object]", "array[boolean]", "array[file]")


class DryRunPool(VariablePool):
    """The engine's pool, but a field asked of an object that was invented without any shape is invented too."""

    _lists: frozenset[tuple[str, ...]] = PrivateAttr(default=frozenset())

    def expect_lists(self, selectors: Iterable[object]) -> None:
        """Name the selectors that something goes through item by item."""
        self._lists = frozenset(tuple(map(str, each)) for each in selectors if isinstance(each, list))

    def get(self, selector: Sequence[str], /) -> Segment | None:
        found = super().get(selector)
        if found is not None or len(selector) <= _PLAIN_SELECTOR:
            return found
        whole = super().get(selector[:_PLAIN_SELECTOR])
        if not isinstance(whole, ObjectSegment) or KEY not in whole.value:
            return None
        return build_segment(sample_value("array[string]" if tuple(selector) in self._lists else "string"))


def system_values(mode: str, features: object) -> dict[str, Any]:
    """``sys.…`` of a run, by app mode; the conversation's own only where there is one."""
    values: dict[str, Any] = {
        "user_id": "sample-user",
        "app_id": "sample-app",
        "workflow_id": "sample-workflow",
        "workflow_run_id": "sample-run",
        "timestamp": _TIMESTAMP,
        "files": [sample_file(kind) for kind in _upload_kinds(features)],
    }
    if mode == "advanced-chat":
        values |= {"query": TEXT, "conversation_id": "sample-conversation", "dialogue_count": 1}
    return values


def _upload_kinds(features: object) -> list[str]:
    """The kinds of the files uploaded: documents where they are allowed, none when uploads are off."""
    upload = features.get("file_upload") if isinstance(features, Mapping) else None
    if not isinstance(upload, Mapping):
        return []
    image = upload.get("image")
    if not upload.get("enabled"):
        return ["image"] if isinstance(image, Mapping) and image.get("enabled") else []
    allowed = upload.get("allowed_file_types")
    kinds = [str(kind) for kind in allowed] if isinstance(allowed, list) and allowed else ["image"]
    return ["document" if "document" in kinds else kinds[0]] * ITEMS


def typed_variables(namespace: str, variables: object) -> Iterator[tuple[tuple[str, str], Any]]:
    """(selector, value) of each declared variable; secrets, which exports leave empty, are filled."""
    for variable in variables if isinstance(variables, list) else ():
        if isinstance(variable, Mapping) and isinstance(variable.get("name"), str):
            yield (namespace, variable["name"]), _typed_value(variable)


def _typed_value(variable: Mapping[str, Any]) -> Any:
    declared, value = str(variable.get("value_type") or ""), variable.get("value")
    if declared == "secret":
        return str(value or "sample-secret")
    if declared in _FILL_WHEN_EMPTY and not value:
        value = sample_value(declared)
    if isinstance(value, list):
        value = value[:ITEMS]
    try:
        return build_segment_with_type(SegmentType(declared), value)
    except (TypeMismatchError, ValueError, TypeError):
        return value
