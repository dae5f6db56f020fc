"""The fields of nodes that steer a run: start, ends, branches, containers, lists and variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dslkit.dify.check.conditions import check_conditions
from dslkit.dify.check.report import named
from dslkit.dify.check.shape import Fields
from dslkit.dify.nodes import (
    CODE_OUTPUT_TYPES,
    FILE_TYPES,
    START_VARIABLE_TYPES,
    VALUE_TYPES,
    is_one_of,
)
from dslkit.dify.references import FIELD_PATTERN

_END_TYPES: Final = VALUE_TYPES | {"array"}
_ERROR_MODES: Final = frozenset({"terminated", "continue-on-error", "remove-abnormal-output"})
_OPERATIONS: Final = frozenset(
    {"over-write", "clear", "append", "extend", "set", "+=", "-=", "*=", "/=", "remove-first", "remove-last"}
)


def _start(fields: Fields) -> None:
    if "variables" not in fields.data:
        return
    seen: set[str] = set()
    for path, variable in fields.entries(fields.data, "variables"):
        name = fields.text(variable, "variable", path, empty=False)
        if name is not None:
            _variable_name(fields, name, path, seen)
        if not isinstance(variable.get("label"), str):
            fields.wrong(
                f"{path}/label", f"The start variable {name} has no label.", "Give it a label.", "start-variable-label"
            )
        _variable_type(fields, variable, path)


def _variable_name(fields: Fields, name: str, path: str, seen: set[str]) -> None:
    if name in seen:
        fields.wrong(path, f"The start node has two variables {name}.", "Rename one of them.", "start-variable-twice")
    seen.add(name)
    if not FIELD_PATTERN.fullmatch(name):
        fields.report.warning(
            "start-variable-name",
            f"No text can refer to the variable {name!r}: letters, digits and _ resolve, up to 30, no digit first.",
            "Rename it.",
            fields.node,
            path,
        )


def _variable_type(fields: Fields, variable: Mapping[str, Any], path: str) -> None:
    type_, name = variable.get("type"), variable.get("variable")
    if not is_one_of(type_, START_VARIABLE_TYPES):
        message = f"The start variable {name} is of type {type_!r}, which a user cannot enter."
        fields.wrong(f"{path}/type", message, f"Use one of: {', '.join(START_VARIABLE_TYPES)}.", "start-variable-type")
    elif type_ == "select" and not variable.get("options"):
        fields.wrong(
            f"{path}/options", f"The choice {name} has no options.", "List the options.", "start-variable-options"
        )
    elif type_ in ("file", "file-list"):
        _file_types(fields, variable, path)


def _file_types(fields: Fields, variable: Mapping[str, Any], path: str) -> None:
    allowed = variable.get("allowed_file_types")
    name, where = variable.get("variable"), f"{path}/allowed_file_types"
    if not allowed:
        message = f"The file variable {name} allows no type of file."
        fields.wrong(where, message, "List image, document, audio, video.", "file-types")
    elif not isinstance(allowed, list) or not set(map(str, allowed)) <= FILE_TYPES:
        message = f"allowed_file_types of {name} is {allowed!r}."
        fields.wrong(where, message, f"Use {', '.join(sorted(FILE_TYPES))}.", "file-types")


def _end(fields: Fields) -> None:
    seen: set[str] = set()
    for path, output in fields.entries(fields.data, "outputs"):
        name = fields.text(output, "variable", path, empty=False)
        if name in seen:
            fields.wrong(path, f"The end node gives {name} twice.", "Rename one of them.", "end-output-twice")
        seen.add(str(name))
        fields.selector(output, "value_selector", path)
        type_ = output.get("value_type")
        if type_ is not None and str(type_).lower() not in _END_TYPES:
            fields.wrong(
                f"{path}/value_type", f"value_type is {type_!r}.", "Use string, number, object, file, array[…] or any."
            )


def _answer(fields: Fields) -> None:
    fields.text(fields.data, "answer")


def _if_else(fields: Fields) -> None:
    data = fields.data
    if "cases" not in data:
        if data.get("conditions"):
            check_conditions(fields, data, "")
        else:
            fields.wrong("cases", f"{named(fields.node)} has no cases.", "Give it at least one.", "case-missing")
        return
    cases = fields.entries(data, "cases")
    if not cases:
        fields.wrong("cases", f"{named(fields.node)} has no cases.", "Give it at least one.", "case-missing")
    for path, case in cases:
        fields.text(case, "case_id", path, empty=False)
        fields.choice(case, "logical_operator", frozenset({"and", "or"}), path)
        check_conditions(fields, case, path)


def _iteration(fields: Fields) -> None:
    data = fields.data
    for name in ("iterator_selector", "output_selector"):
        fields.selector(data, name)
    if "error_handle_mode" in data:
        fields.choice(data, "error_handle_mode", _ERROR_MODES)


def _loop(fields: Fields) -> None:
    data = fields.data
    count = data.get("loop_count")
    if fields.given("loop_count") and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        fields.wrong("loop_count", f"loop_count is {count!r}.", "Use a whole number from 1.")
    fields.choice(data, "logical_operator", frozenset({"and", "or"}))
    if fields.given("break_conditions"):
        check_conditions(fields, data, "", "break_conditions")
    for path, variable in fields.entries(data, "loop_variables") if "loop_variables" in data else ():
        fields.text(variable, "label", path, empty=False)
        fields.choice(variable, "var_type", CODE_OUTPUT_TYPES, path)
        fields.choice(variable, "value_type", frozenset({"variable", "constant"}), path)


def _aggregator(fields: Fields) -> None:
    variables = fields.data.get("variables")
    settings = fields.data.get("advanced_settings")
    grouped = isinstance(settings, Mapping) and settings.get("group_enabled") is True
    if not fields.given("variables"):
        return
    if not isinstance(variables, list):
        fields.wrong("variables", "variables is not a list of references.", "List [node id, output] pairs.")
        return
    if not variables and not grouped:
        fields.wrong(
            "variables", f"{named(fields.node)} joins nothing.", "List the variables to join.", "aggregator-empty"
        )
    for index in range(len(variables)):
        fields.selector({str(n): entry for n, entry in enumerate(variables)}, str(index), "variables")


def _assigner(fields: Fields) -> None:
    for path, item in fields.entries(fields.data, "items"):
        fields.selector(item, "variable_selector", path)
        fields.choice(item, "input_type", frozenset({"variable", "constant"}), path)
        fields.choice(item, "operation", _OPERATIONS, path)


def _list(fields: Fields) -> None:
    data = fields.data
    fields.selector(data, "variable")
    parts = {name: fields.mapping(data, name) for name in ("filter_by", "order_by", "limit")}
    limit = parts.get("limit")
    if limit and limit.get("enabled") and not isinstance(limit.get("size"), int):
        fields.wrong("limit/size", f"limit.size is {limit.get('size')!r}.", "Use a whole number.")
    order = parts.get("order_by")
    if order and order.get("enabled") and order.get("value", "asc") not in ("asc", "desc"):
        fields.wrong("order_by/value", f"order_by.value is {order.get('value')!r}.", "Use asc or desc.")
    if not any(isinstance(data.get(n), Mapping) and data[n].get("enabled") for n in (*parts, "extract_by")):
        message = f"{named(fields.node)} changes nothing."
        fields.report.warning("list-operator-idle", message, "Filter, extract, order or limit.", fields.node)


_Rule = Callable[[Fields], None]
FLOW_RULES: Final[Mapping[str, _Rule]] = {
    "start": _start,
    "end": _end,
    "answer": _answer,
    "if-else": _if_else,
    "iteration": _iteration,
    "loop": _loop,
    "variable-aggregator": _aggregator,
    "assigner": _assigner,
    "list-operator": _list,
}
