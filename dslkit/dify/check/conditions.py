"""Conditions of if-else nodes and loops: operators that exist, fit the type compared, and have a value to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.nodes import ANY, is_one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.dify.check.shape import Fields

UNARY: Final = frozenset({"empty", "not empty", "null", "not null", "exists", "not exists"})
_WORDS: Final = frozenset({"contains", "not contains", "start with", "end with", "is", "is not"})
_LISTS: Final = frozenset({"in", "not in", "all of"})
NUMERIC: Final = frozenset({"=", "≠", ">", "<", "≥", "≤"})
OPERATORS: Final = UNARY | _WORDS | _LISTS | NUMERIC

# What the engine evaluates without an error, by the type of the value; types not listed take anything.
_FITTING: Final[Mapping[str, frozenset[str]]] = {
    "string": UNARY | _WORDS | _LISTS,
    "number": UNARY | NUMERIC | _LISTS,
    "integer": UNARY | NUMERIC | _LISTS,
    "boolean": UNARY | {"is", "is not", "=", "≠", "in", "not in"},
    "object": UNARY | _LISTS,
    "file": UNARY | _LISTS,
}
_ARRAY: Final = UNARY | {"contains", "not contains", "all of", "in", "not in"}


def fitting(value_type: str) -> frozenset[str]:
    """The operators that the engine can evaluate on values of a type."""
    return _ARRAY if value_type.startswith("array[") else _FITTING.get(value_type, OPERATORS)


def check_conditions(fields: Fields, owner: Mapping[str, Any], path: str, name: str = "conditions") -> None:
    """Every condition of one case or loop."""
    conditions = fields.entries(owner, name, path)
    if not conditions and name == "conditions":
        where = f"{path}/{name}" if path else name
        message = "A case has no conditions, so it always holds."
        fields.report.warning("case-empty", message, "Give it a condition, or remove it.", fields.node, where)
    for here, condition in conditions:
        selector = fields.selector(condition, "variable_selector", here)
        operator = condition.get("comparison_operator")
        if not is_one_of(operator, OPERATORS):
            message = f"Dify has no operator {operator!r}."
            remedy = f"Use one of: {', '.join(sorted(OPERATORS))}."
            fields.wrong(f"{here}/comparison_operator", message, remedy, "operator-unknown")
        elif selector:
            found = fields.report.graph.value_type(selector) or ANY
            _check_operator(fields, condition, str(operator), found, here)


def _check_operator(fields: Fields, condition: Mapping[str, Any], operator: str, value_type: str, path: str) -> None:
    where = f"{path}/comparison_operator"
    if operator not in fitting(value_type):
        usable = ", ".join(sorted(fitting(value_type)))
        fields.wrong(where, f"{operator!r} cannot compare a {value_type}.", f"Use one of: {usable}.", "operator-type")
    elif value_type == ANY and operator in NUMERIC and _is_word(condition.get("value")):
        message = f"{operator!r} compares numbers, and {condition['value']!r} is none."
        fields.wrong(where, message, "Compare texts by is or is not.", "operator-type")
    elif operator not in UNARY:
        _check_value(fields, condition, operator, value_type, path)


def _check_value(fields: Fields, condition: Mapping[str, Any], operator: str, value_type: str, path: str) -> None:
    value = condition.get("value")
    where = f"{path}/value"
    if operator in _LISTS:
        if not isinstance(value, list) and not condition.get("sub_variable_condition"):
            fields.wrong(where, f"{operator!r} compares with a list, not {value!r}.", "Give a list.", "condition-value")
    elif not isinstance(value, str | bool | list) and not condition.get("sub_variable_condition"):
        fields.wrong(where, f"The value compared with is {value!r}.", "Give it as text.", "condition-value")
    elif operator in NUMERIC and value_type in ("number", "integer") and not _is_number(value):
        fields.wrong(where, f"{value!r} is no number to compare with.", "Give a number as text.", "condition-value")
    elif value_type == "boolean" and not (isinstance(value, bool) or value in ("true", "false", "0", "1")):
        fields.wrong(where, f"{value!r} is neither true nor false.", "Give true or false.", "condition-value")


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value) and not _is_number(value) and value.lower() not in ("true", "false")


def _is_number(value: object) -> bool:
    if not isinstance(value, str) or "{{#" in value:
        return isinstance(value, str)
    try:
        float(value)
    except ValueError:
        return False
    return True
