"""The values of which a node's ``data`` is made: each from the plan's form to Dify's, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dslkit.dify.nodes import PREFIXES, mappings
from dslkit.dify.references import LOOSE_REFERENCE, copy_data, rename_nodes
from dslkit.dify.tools import DEFAULT_MODEL

Data = dict[str, Any]
Given = Mapping[str, Any]

_START_TYPES: Final[Mapping[str, str]] = {
    "string": "paragraph",
    "number": "number",
    "boolean": "checkbox",
    "file": "file",
    "array[file]": "file-list",
    "object": "json_object",
}
_PLAN_TYPES: Final = {theirs: ours for ours, theirs in _START_TYPES.items()}
_OPERATORS: Final[Mapping[str, str]] = {
    "!=": "≠",
    "<>": "≠",
    "==": "=",
    ">=": "≥",
    "<=": "≤",
    "startswith": "start with",
    "starts with": "start with",
    "endswith": "end with",
    "ends with": "end with",
    "does not contain": "not contains",
    "is empty": "empty",
    "is not empty": "not empty",
    "exist": "exists",
    "not exist": "not exists",
}
UPLOAD_METHODS: Final = ["local_file", "remote_url"]
ALL_FILE_TYPES: Final = ["document", "image", "audio", "video"]


@dataclass(frozen=True, slots=True)
class Context:
    """What a builder may ask of the rest of the plan: the Dify id of a plan id, and which outputs others ask for."""

    ids: Mapping[str, str]
    asked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tested_for_presence: frozenset[tuple[str, str]] = frozenset()
    model: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULT_MODEL))

    def id(self, plan_id: str) -> str:
        """The Dify id; prefixes such as ``sys`` and ids of no node stay as they are."""
        return plan_id if plan_id in PREFIXES else self.ids.get(plan_id, plan_id)

    def selector(self, reference: Any) -> Any:
        """``["file.type", "1"]`` -> ``["1", "file", "type"]``; what is no reference stays as it is."""
        if isinstance(reference, list) and len(reference) == 2 and all(isinstance(part, str) for part in reference):  # noqa: PLR2004 a pair
            return [self.id(reference[1]), *reference[0].split(".")]
        return reference

    def text(self, value: Any) -> Any:
        """A text with its references' ids made Dify's; for anything but text see the checks."""
        if not isinstance(value, str) or "{{#" not in value:
            return value
        return LOOSE_REFERENCE.sub(self._renamed, value)

    def _renamed(self, match: Any) -> str:
        head, dot, rest = match.group(1).strip().partition(".")
        return "{{#" + self.id(head) + dot + rest + "#}}" if dot else str(match.group())

    def named(self, entries: Any) -> Any:
        """``[[name, reference], …]`` -> ``[{variable, value_selector}, …]``."""
        if not isinstance(entries, list):
            return entries
        return [
            {"variable": entry[0], "value_selector": self.selector(entry[1])} if is_pair(entry) else entry
            for entry in entries
        ]


def is_pair(entry: Any) -> bool:
    """Whether it is a list of two, such as a name and a reference."""
    return isinstance(entry, list) and len(entry) == 2  # noqa: PLR2004 name and reference


def reference(selector: object) -> Any:
    """``["1", "file", "type"]`` -> ``["file.type", "1"]``; what is no selector stays as it is."""
    if isinstance(selector, list) and len(selector) > 1 and all(isinstance(part, str) for part in selector):
        return [".".join(selector[1:]), selector[0]]
    return copy_data(selector)


@dataclass(frozen=True, slots=True)
class Way:
    """One kind of value: from the plan to Dify (with the node's id), and back."""

    to_dify: Callable[[Any, Context, str], Any]
    to_plan: Callable[[Any], Any]


def _each(to_dify: Callable[[Any, Context, str], Any], to_plan: Callable[[Given], Any]) -> Way:
    """A list, entry by entry; an entry's id is the node's and its number."""

    def all_to_dify(value: Any, context: Context, id_: str) -> Any:
        if not isinstance(value, list):
            return value
        return [to_dify(entry, context, f"{id_}-{number}") for number, entry in enumerate(value)]

    return Way(all_to_dify, lambda value: [to_plan(entry) for entry in mappings(value)])


def _start_to_dify(value: Any, context: Context, id_: str) -> Any:
    return [_start_variable(entry, context, id_) for entry in value] if isinstance(value, list) else value


def _start_variable(entry: Any, context: Context, id_: str) -> Any:
    match entry:
        case [str() as name, str() as type_, *settings]:
            given = settings[0] if settings and isinstance(settings[0], dict) else {}
        case _:
            return entry
    kind = _START_TYPES.get(type_, type_)
    variable: Data = {
        "variable": name,
        "label": name,
        "type": kind,
        "required": (id_, name) not in context.tested_for_presence,
    }
    if kind in ("file", "file-list"):
        variable |= {
            "allowed_file_types": list(ALL_FILE_TYPES),
            "allowed_file_extensions": [],
            "allowed_file_upload_methods": list(UPLOAD_METHODS),
        }
    if kind == "file-list":
        variable["max_length"] = 10
    return {**variable, "options": [], **given}


def _start_to_plan(value: Any) -> list[Any]:
    return [
        [
            str(variable.get("variable", "")),
            _PLAN_TYPES.get(str(variable.get("type", "")), str(variable.get("type", ""))),
            {key: copy_data(entry) for key, entry in variable.items() if key not in ("variable", "type")},
        ]
        for variable in mappings(value)
    ]


def _named_to_plan(value: Any) -> list[Any]:
    return [
        [entry["variable"], reference(entry.get("value_selector"))] if "variable" in entry else copy_data(entry)
        for entry in mappings(value)
    ]


def _classes_to_dify(value: Any, _: Context, __: str) -> Any:
    named = enumerate(value, start=1) if isinstance(value, list) else ()
    return [{"id": str(number), "name": name} for number, name in named]


def _outputs_to_dify(value: Any, _: Context, __: str) -> Any:
    if not isinstance(value, list):
        return value
    declared = (entry for entry in value if isinstance(entry, list) and len(entry) > 1)
    return {entry[0]: {"type": entry[1], "children": None} for entry in declared}


def _outputs_to_plan(value: Any) -> list[Any]:
    declared = value.items() if isinstance(value, Mapping) else ()
    return [[name, spec.get("type", "string")] for name, spec in declared if isinstance(spec, Mapping)]


def _parameter_to_dify(entry: Any, _: Context, __: str) -> Any:
    match entry:
        case [str() as description, str() as name, str() as type_, *settings]:
            given = settings[0] if settings and isinstance(settings[0], dict) else {}
            return {"name": name, "type": type_, "description": description, "required": True, **given}
        case _:
            return entry


def _parameter_to_plan(parameter: Given) -> list[Any]:
    known = ("description", "name", "type")
    settings = {key: copy_data(value) for key, value in parameter.items() if key not in known}
    return [*(str(parameter.get(key, "")) for key in known), *([settings] if settings else [])]


def _cases_to_dify(value: Any, context: Context, _: str) -> Any:
    if not isinstance(value, list):
        return value
    return [_case_to_dify(case, "true" if n == 0 else f"case_{n + 1}", context) for n, case in enumerate(value)]


def _case_to_dify(case: Any, handle: str, context: Context) -> Any:
    match case:
        case [operator, list() as conditions]:
            tests = CONDITIONS.to_dify(conditions, context, handle)
            return {"id": handle, "case_id": handle, "logical_operator": operator or "and", "conditions": tests}
        case _:
            return case


def condition_to_dify(condition: Any, context: Context, id_: str) -> Any:
    """``[reference, operator, value?]`` as Dify has it."""
    match condition:
        case [compared, str() as operator, *value]:
            return {
                "id": id_,
                "variable_selector": context.selector(compared),
                "comparison_operator": _OPERATORS.get(operator.strip().lower(), operator.strip()),
                "value": _compared(value[0], context) if value else "",
            }
        case _:
            return condition


def _condition_to_plan(condition: Given) -> list[Any]:
    value = condition.get("value")
    compared = [] if value in (None, "") else [copy_data(value)]
    return [reference(condition.get("variable_selector")), condition.get("comparison_operator"), *compared]


def _compared(value: Any, context: Context) -> Any:
    """A condition's value: text, true or false, or a list of texts; numbers are text to the engine."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return context.text(value)
    return str(value)


TEXT: Final = Way(lambda value, context, _: context.text(value), lambda value: "" if value is None else value)
PLAIN: Final = Way(lambda value, _, __: value, lambda value: value)
REFERENCE: Final = Way(lambda value, context, _: context.selector(value), reference)
NAMED: Final = Way(lambda value, context, _: context.named(value), _named_to_plan)
CONDITIONS: Final = _each(condition_to_dify, _condition_to_plan)
LOOP_VARIABLES: Final = Way(
    lambda value, context, _: rename_nodes(value, context.id, "loop"), lambda value: copy_data(value or [])
)
CASES: Final = Way(
    _cases_to_dify,
    lambda value: [
        [case.get("logical_operator"), CONDITIONS.to_plan(case.get("conditions"))] for case in mappings(value)
    ],
)
CLASSES: Final = Way(_classes_to_dify, lambda value: [str(entry.get("name", "")) for entry in mappings(value)])
START_VARIABLES: Final = Way(_start_to_dify, _start_to_plan)
OUTPUTS: Final = Way(_outputs_to_dify, _outputs_to_plan)
PARAMETERS: Final = _each(_parameter_to_dify, _parameter_to_plan)
