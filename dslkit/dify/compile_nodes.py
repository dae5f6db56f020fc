"""A plan node's parameters to Dify's ``data``: one small builder a node type, right by construction.

Builders take parameters in the plan's own form; what ``parse_plan`` could not read stays in ``data`` as it was, for the
checks to name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.nodes import PREFIXES
from dslkit.dify.references import LOOSE_REFERENCE, copy_data, rename_nodes
from dslkit.dify.tools import CHART_TOOLS, DEFAULT_MODEL, TOOLS, ToolKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Data = dict[str, Any]

_START_TYPES: Final[Mapping[str, str]] = {
    "string": "paragraph",
    "number": "number",
    "boolean": "checkbox",
    "file": "file",
    "array[file]": "file-list",
    "object": "json_object",
}
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
            {"variable": entry[0], "value_selector": self.selector(entry[1])} if _is_pair(entry) else entry
            for entry in entries
        ]


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2  # noqa: PLR2004 name and reference


def build_data(type_: str, param: Mapping[str, Any], context: Context, id_: str) -> Data:
    """The node's ``data`` but for title and container fields.  Types without a builder keep Dify's own form."""
    tool = TOOLS.get(type_)
    if tool:
        return {"type": "tool", **_tool(tool, param, context)}
    builder = _BUILDERS.get(type_)
    if builder is None:
        return {**rename_nodes(dict(param), context.id, type_), "type": type_}
    return {"type": type_, **builder(param, context, id_)}


def _start(param: Mapping[str, Any], context: Context, id_: str) -> Data:
    entries = param.get("variables", [])
    return {
        "variables": [_start_variable(entry, context, id_) for entry in entries]
        if isinstance(entries, list)
        else entries
    }


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


def _end(param: Mapping[str, Any], context: Context, _: str) -> Data:
    return {"outputs": context.named(param.get("outputs", []))}


def _answer(param: Mapping[str, Any], context: Context, _: str) -> Data:
    return {"answer": context.text(param.get("answer", "")), "variables": []}


def _model(param: Mapping[str, Any], context: Context) -> Data:
    given = param.get("model")
    return {**copy_data(context.model), **(given if isinstance(given, dict) else {})}


def _llm(param: Mapping[str, Any], context: Context, _: str) -> Data:
    given = param.get("messages")
    spoken = given if isinstance(given, list) else [[role, param.get(role)] for role in ("system", "user")]
    messages = [
        {"id": f"{entry[0]}-{number}", "role": entry[0], "text": context.text(entry[1])}
        for number, entry in enumerate(spoken, start=1)
        if _is_pair(entry) and entry[1] is not None and (entry[1] or entry[0] == "user")
    ]
    data: Data = {
        "model": _model(param, context),
        "prompt_template": messages,
        "context": {"enabled": False, "variable_selector": []},
        "vision": {"enabled": False},
        "variables": [],
    }
    if "context" in param:
        data["context"] = {"enabled": True, "variable_selector": context.selector(param["context"])}
    if isinstance(param.get("structured_output"), dict):
        data |= {"structured_output": {"schema": param["structured_output"]}, "structured_output_enabled": True}
    if isinstance(param.get("memory"), dict):
        data["memory"] = param["memory"]
    return data


def _classifier(param: Mapping[str, Any], context: Context, _: str) -> Data:
    classes = param.get("classes", [])
    named = enumerate(classes, start=1) if isinstance(classes, list) else ()
    return {
        "query_variable_selector": context.selector(param.get("query_variable_selector", [])),
        "model": _model(param, context),
        "classes": [{"id": str(number), "name": name} for number, name in named],
        "instruction": context.text(param.get("instruction", "")),
        "topics": [],
        "vision": {"enabled": False},
    }


def _code(param: Mapping[str, Any], context: Context, _: str) -> Data:
    outputs = param.get("outputs", [])
    declared = {
        entry[0]: {"type": entry[1], "children": None}
        for entry in outputs
        if isinstance(entry, list) and len(entry) > 1
    }
    return {
        "variables": context.named(param.get("variables", [])),
        "code_language": param.get("language", "python3"),
        "code": param.get("code", ""),
        "outputs": declared if isinstance(outputs, list) else outputs,
    }


def _document(param: Mapping[str, Any], context: Context, _: str) -> Data:
    return {"variable_selector": context.selector(param.get("variable_selector", [])), "is_array_file": False}


def _http(param: Mapping[str, Any], context: Context, _: str) -> Data:
    return {
        "variables": [],
        "method": str(param.get("method", "get")).lower(),
        "url": context.text(param.get("url", "")),
        "authorization": param.get("authorization", {"type": "no-auth", "config": None}),
        "headers": _lines(param.get("headers"), context),
        "params": _lines(param.get("params"), context),
        "body": rename_nodes(param.get("body", {"type": "none", "data": []}), context.id, "http-request"),
        "timeout": {"max_connect_timeout": 0, "max_read_timeout": 0, "max_write_timeout": 0},
        "retry_config": {"retry_enabled": True, "max_retries": 3, "retry_interval": 100},
    }


def _lines(value: Any, context: Context) -> str:
    """Headers or parameters as Dify keeps them, one ``name:value`` a line."""
    if isinstance(value, dict):
        return "\n".join(f"{name}:{context.text(text)}" for name, text in value.items())
    return context.text(value) if isinstance(value, str) else ""


def _if_else(param: Mapping[str, Any], context: Context, _: str) -> Data:
    cases = param.get("cases", [])
    return {
        "cases": [_case(case, index, context) for index, case in enumerate(cases)] if isinstance(cases, list) else cases
    }


def case_handle(index: int) -> str:
    """The handle of an if-else's case: Dify calls the first one ``true``."""
    return "true" if index == 0 else f"case_{index + 1}"


def _case(case: Any, index: int, context: Context) -> Any:
    match case:
        case [operator, list() as conditions]:
            pass
        case _:
            return case
    handle = case_handle(index)
    return {
        "id": handle,
        "case_id": handle,
        "logical_operator": operator or "and",
        "conditions": [build_condition(condition, f"{handle}-{n}", context) for n, condition in enumerate(conditions)],
    }


def build_condition(condition: Any, id_: str, context: Context) -> Any:
    """``[reference, operator, value?]`` as Dify has it."""
    match condition:
        case [reference, str() as operator, *value]:
            return {
                "id": id_,
                "variable_selector": context.selector(reference),
                "comparison_operator": _OPERATORS.get(operator.strip().lower(), operator.strip()),
                "value": _compared(value[0], context) if value else "",
            }
        case _:
            return condition


def _compared(value: Any, context: Context) -> Any:
    """A condition's value: text, true or false, or a list of texts; numbers are text to the engine."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return context.text(value)
    return str(value)


def _list_operator(param: Mapping[str, Any], context: Context, _: str) -> Data:
    data: Data = {
        "variable": context.selector(param.get("variable", [])),
        "filter_by": {"enabled": False, "conditions": []},
        "extract_by": {"enabled": False, "serial": "1"},
        "order_by": {"enabled": False, "key": "", "value": "asc"},
        "limit": {"enabled": False, "size": 10},
    }
    match param.get("operator"):
        case ["extract_by", serial, *_]:
            data["extract_by"] = {"enabled": True, "serial": context.text(str(serial))}
        case ["limit", size, *_]:
            data["limit"] = {"enabled": True, "size": size}
        case ["order_by", key, order]:
            data["order_by"] = {"enabled": True, "key": key, "value": order}
        case ["order_by", order]:
            data["order_by"] = {"enabled": True, "key": "", "value": order}
        case ["filter_by", str() as operator, *value]:
            data["filter_by"] = {"enabled": True, "conditions": [_filter(operator, value, context)]}
        case other:
            data["operator"] = other
    return data


def _filter(operator: str, value: list[Any], context: Context) -> Data:
    """A list operator's condition.  Files are filtered by their type (see ``derive``), which compares with a list."""
    compared = value[0] if value else ""
    return {
        "key": "",
        "comparison_operator": _OPERATORS.get(operator.strip().lower(), operator.strip()),
        "value": _compared(compared, context),
    }


def _extractor(param: Mapping[str, Any], context: Context, _: str) -> Data:
    entries = param.get("parameters", [])
    return {
        "model": _model(param, context),
        "query": context.selector(param.get("query", [])),
        "parameters": [_parameter(entry) for entry in entries] if isinstance(entries, list) else entries,
        "instruction": context.text(param.get("instruction", "")),
        "reasoning_mode": "prompt",
        "vision": {"enabled": False},
    }


def _parameter(entry: Any) -> Any:
    match entry:
        case [str() as description, str() as name, str() as type_, *settings]:
            given = settings[0] if settings and isinstance(settings[0], dict) else {}
            return {"name": name, "type": type_, "description": description, "required": True, **given}
        case _:
            return entry


def _template(param: Mapping[str, Any], context: Context, _: str) -> Data:
    return {"variables": context.named(param.get("variables", [])), "template": param.get("template", "")}


def _aggregator(param: Mapping[str, Any], context: Context, id_: str) -> Data:
    entries = param.get("variables", [])
    if not isinstance(entries, list):
        return {"variables": entries}
    groups: dict[str, list[Any]] = {}
    for entry in entries:
        match entry:
            case [str() as name, [str(), str()] as reference]:
                groups.setdefault(name, []).append(context.selector(reference))
            case _:
                groups.setdefault("", []).append(context.selector(entry))
    selectors = [selector for group in groups.values() for selector in group]
    asked = context.asked.get(id_, frozenset())
    if "" in groups or "output" in asked or not asked & groups.keys():
        return {"variables": selectors}
    named = [{"group_name": name, "output_type": "any", "variables": group} for name, group in groups.items()]
    return {"variables": selectors, "advanced_settings": {"group_enabled": True, "groups": named}}


def _iteration(param: Mapping[str, Any], context: Context, _: str) -> Data:
    data: Data = {
        "iterator_selector": context.selector(param.get("iterator_selector", [])),
        "output_selector": context.selector(param.get("output_selector", [])),
        "is_parallel": False,
        "parallel_nums": 10,
        "error_handle_mode": param.get("on_error", "terminated"),
        "flatten_output": True,
    }
    if isinstance(param.get("parallel"), int):
        data |= {"is_parallel": True, "parallel_nums": param["parallel"]}
    return data


def _loop(param: Mapping[str, Any], context: Context, id_: str) -> Data:
    conditions = param.get("break_conditions", [])
    return {
        "loop_count": param.get("count", 1),
        "break_conditions": [build_condition(c, f"{id_}-{n}", context) for n, c in enumerate(conditions)],
        "logical_operator": param.get("logical_operator", "and"),
        "loop_variables": rename_nodes(param.get("variables", []), context.id, "loop"),
        "error_handle_mode": "terminated",
    }


def _nothing(_: Mapping[str, Any], __: Context, ___: str) -> Data:
    return {}


def _tool(kind: ToolKind, param: Mapping[str, Any], context: Context) -> Data:
    names = dict(kind.parameters)
    chart = str(param.get("chart_type", "")).strip().lower().removesuffix("_chart")
    if chart == "pie":
        names["x_axisORcategories"] = "categories"
    tool = kind.tool.format(
        target_type=str(param.get("target_type", "")).strip().lower().lstrip("."),
        chart_type=CHART_TOOLS.get(chart, str(param.get("chart_type", ""))),
    )
    configured = _tool_model(param.get("model"))
    return {
        "provider_id": kind.provider,
        "provider_name": kind.provider,
        "provider_type": "builtin",
        "tool_name": tool,
        "tool_label": tool,
        "tool_node_version": "2",
        "tool_configurations": {
            name: {"type": "constant", "value": value} for name, value in {**kind.configurations, **configured}.items()
        },
        "tool_parameters": {
            own: {"type": "mixed", "value": context.text(param[name])} for name, own in names.items() if name in param
        },
    }


def _tool_model(model: Any) -> Data:
    """A plan's model as tools name it, ``provider#model``."""
    match model:
        case {"provider": str() as provider, "name": str() as name}:
            return {"model": f"{provider}#{name}"}
        case _:
            return {}


_BUILDERS: Final[Mapping[str, Callable[[Mapping[str, Any], Context, str], Data]]] = {
    "start": _start,
    "end": _end,
    "answer": _answer,
    "llm": _llm,
    "question-classifier": _classifier,
    "code": _code,
    "document-extractor": _document,
    "http-request": _http,
    "if-else": _if_else,
    "list-operator": _list_operator,
    "parameter-extractor": _extractor,
    "template-transform": _template,
    "variable-aggregator": _aggregator,
    "iteration": _iteration,
    "iteration-start": _nothing,
    "loop": _loop,
    "loop-start": _nothing,
    "loop-end": _nothing,
}
