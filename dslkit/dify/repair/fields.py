"""Fields of one node: defaults that say nothing, types by another name, operators of another type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.check.conditions import fitting
from dslkit.dify.derive import type_of
from dslkit.dify.node_values import ALL_FILE_TYPES, UPLOAD_METHODS
from dslkit.dify.nodes import ANY, CODE_OUTPUT_TYPES
from dslkit.dify.references import copy_data, value_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dslkit.dify.graph import Node
    from dslkit.dify.repair.mend import Mend
    from dslkit.records import Finding

# Fields that the engine demands and whose plain value changes nothing.
_DEFAULTS: Final[Mapping[tuple[str, str], Any]] = {
    ("llm", "context"): {"enabled": False, "variable_selector": []},
    ("code", "variables"): [],
    ("template-transform", "variables"): [],
    ("http-request", "authorization"): {"type": "no-auth", "config": None},
    ("http-request", "headers"): "",
    ("http-request", "params"): "",
    ("http-request", "method"): "get",
    ("loop", "break_conditions"): [],
    ("loop", "logical_operator"): "and",
    ("list-operator", "filter_by"): {"enabled": False, "conditions": []},
    ("list-operator", "order_by"): {"enabled": False, "key": "", "value": "asc"},
    ("list-operator", "limit"): {"enabled": False, "size": 10},
    ("parameter-extractor", "reasoning_mode"): "prompt",
    ("tool", "tool_configurations"): {},
    ("tool", "tool_parameters"): {},
    ("tool", "provider_type"): "builtin",
}
_COPIES: Final[Mapping[tuple[str, str], str]] = {
    ("tool", "tool_label"): "tool_name",
    ("tool", "provider_name"): "provider_id",
    ("tool", "provider_id"): "provider_name",
    ("agent", "agent_strategy_label"): "agent_strategy_name",
}
_START_TYPES: Final[Mapping[str, str]] = {
    "string": "paragraph", "str": "paragraph", "text": "paragraph", "textarea": "paragraph", "url": "text-input",
    "int": "number", "integer": "number", "float": "number", "bool": "checkbox", "boolean": "checkbox",
    "dict": "json_object", "object": "json_object", "json": "json_object",
    "image": "file", "document": "file", "audio": "file", "video": "file", "pdf": "file",
    "array[file]": "file-list", "array[image]": "file-list", "array[document]": "file-list", "files": "file-list",
    "list[file]": "file-list", "images": "file-list", "file[]": "file-list", "file_list": "file-list",
}  # fmt: skip
_FILE_KINDS: Final = ("image", "document", "audio", "video")
_VALUE_TYPES: Final[Mapping[str, str]] = {
    "str": "string", "text": "string", "int": "number", "integer": "number", "float": "number", "bool": "boolean",
    "dict": "object", "json": "object", "list": "array[string]", "array": "array[string]",
    "list[string]": "array[string]",
    "list[str]": "array[string]", "list[number]": "array[number]", "list[int]": "array[number]",
    "list[float]": "array[number]", "list[object]": "array[object]", "list[dict]": "array[object]",
    "array[integer]": "array[number]", "array[int]": "array[number]", "array[float]": "array[number]",
    "array[str]": "array[string]", "array[dict]": "array[object]", "array[json]": "array[object]",
    "string[]": "array[string]", "number[]": "array[number]", "object[]": "array[object]",
}  # fmt: skip
_TEXT_OPERATORS: Final[Mapping[str, str]] = {"=": "is", "≠": "is not"}
_NUMBER_OPERATORS: Final[Mapping[str, str]] = {"is": "=", "is not": "≠"}


def missing_fields(mend: Mend, findings: Sequence[Finding]) -> None:
    """Give a node the fields it must have and that say nothing, and those that follow from others."""
    for finding, node in mend.nodes(findings):
        name = str(mend.field_of(finding, node)[0])
        value = _value_for(mend, node, name)
        if value is not None:
            node.data[name] = value
            mend.log("field-default", f"{node.type} has {name} now, as it must.", node.id)


def _value_for(mend: Mend, node: Node, name: str) -> Any:
    if (node.type, name) == ("variable-aggregator", "output_type"):
        found = type_of(mend.graph, [node.id, "output"])
        return "string" if found == ANY else found
    if (node.type, name) == ("code", "code_language"):
        return "python3" if "def main" in str(node.data.get("code")) else None
    copied = _COPIES.get((node.type, name))
    if copied:
        return node.data.get(copied)
    return copy_data(_DEFAULTS.get((node.type, name)))


def start_labels(mend: Mend, findings: Sequence[Finding]) -> None:
    """Label a start variable by its name."""
    for node, variable in mend.entries(findings):
        if isinstance(variable.get("variable"), str):
            variable["label"] = variable["variable"]
            mend.log("start-variable-label", f"{variable['variable']} is labelled by its name.", node.id)


def start_types(mend: Mend, findings: Sequence[Finding]) -> None:
    """Say in Dify's words what type a start variable is of."""
    for node, variable in mend.entries(findings):
        written = str(variable.get("type")).strip().lower()
        type_ = _START_TYPES.get(written) or _as_text(mend, node, variable, written)
        if type_:
            variable["type"] = type_
            if type_ in ("file", "file-list"):
                kinds = [kind for kind in _FILE_KINDS if kind in written]
                _allow_files(variable, kinds or list(ALL_FILE_TYPES))
            mend.log("start-variable-type", f"{variable.get('variable')} is a {type_}, not a {written}.", node.id)


def _as_text(mend: Mend, node: Node, variable: dict[str, Any], written: str) -> str | None:
    """A user can enter a list of texts only as one text; that serves where iterations alone go over it."""
    selector = (node.id, variable.get("variable"))
    takers = [use.path for uses in mend.graph.uses.values() for use in uses if use.selector == selector]
    is_list = _VALUE_TYPES.get(written, written) == "array[string]"
    return "paragraph" if is_list and takers and all(path == ("iterator_selector",) for path in takers) else None


def _allow_files(variable: dict[str, Any], kinds: list[str]) -> None:
    variable["allowed_file_types"] = kinds
    variable.setdefault("allowed_file_extensions", [])
    variable.setdefault("allowed_file_upload_methods", list(UPLOAD_METHODS))
    if variable["type"] == "file-list":
        variable.setdefault("max_length", 10)


def file_types(mend: Mend, findings: Sequence[Finding]) -> None:
    """Allow every type of file where none is allowed."""
    for node, variable in mend.entries(findings):
        if not variable.get("allowed_file_types"):
            _allow_files(variable, list(ALL_FILE_TYPES))
            mend.log("file-types", f"{variable.get('variable')} takes any type of file.", node.id)


def value_types(mend: Mend, findings: Sequence[Finding]) -> None:
    """Say in Dify's words what type a code output or extracted parameter is of."""
    for finding, node in mend.nodes(findings):
        path = mend.field_of(finding, node)
        owner = value_at(node.data, path[:-1] if path[-1] == "type" else path)
        was = owner.get("type") if isinstance(owner, dict) else None
        written = str(was).strip().lower().replace(" ", "")
        type_ = written if written in CODE_OUTPUT_TYPES else _VALUE_TYPES.get(written)
        if type_ and isinstance(owner, dict):
            owner["type"] = type_
            mend.log("value-type", f"{was} is called {type_}.", node.id)


def operators(mend: Mend, findings: Sequence[Finding]) -> None:
    """Compare texts by ``is`` and numbers by ``=``."""
    for node, condition in mend.entries(findings):
        found = type_of(mend.graph, condition.get("variable_selector"))
        written = str(condition.get("comparison_operator"))
        meant = _TEXT_OPERATORS.get(written) or _NUMBER_OPERATORS.get(written)
        if meant in fitting(found):
            condition["comparison_operator"] = meant
            mend.log(
                "operator-type",
                f"A {found if found != ANY else 'text'} is compared by {meant!r}, not {written!r}.",
                node.id,
            )


def condition_values(mend: Mend, findings: Sequence[Finding]) -> None:
    """Numbers to compare with are text; one word to look for is a list of one."""
    for node, condition in mend.entries(findings):
        value, operator = condition.get("value"), condition.get("comparison_operator")
        if operator in ("in", "not in", "all of") and isinstance(value, str) and value:
            condition["value"] = [part.strip() for part in value.split(",")]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            condition["value"] = str(value)
        else:
            continue
        mend.log("condition-value", f"The value {value!r} is written as {operator!r} needs it.", node.id)


def version_text(mend: Mend, _: Sequence[Finding]) -> None:
    """``0.6`` -> ``"0.6.0"``."""
    version = str(mend.document["version"])
    if version.replace(".", "").isdecimal():
        mend.document["version"] = version + ".0" * (2 - version.count("."))
        mend.log("version-not-text", f"version is {mend.document['version']!r} in quotes.")
