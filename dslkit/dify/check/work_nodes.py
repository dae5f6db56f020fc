"""The fields of nodes that do the work: models, code, templates, requests, documents, tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from dslkit.dify.check.report import named
from dslkit.dify.check.shape import Fields
from dslkit.dify.nodes import (
    CODE_OUTPUT_TYPES,
    PARAMETER_TYPES,
    is_one_of,
    mappings,
)

_CHAT_MODES: Final = frozenset({"chat", "completion"})
_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})
_BODY_TYPES: Final = frozenset({"none", "form-data", "x-www-form-urlencoded", "raw-text", "json", "binary"})
_PROVIDER_TYPES: Final = frozenset({"plugin", "builtin", "workflow", "api", "app", "dataset-retrieval", "mcp"})
_INPUT_TYPES: Final = frozenset({"mixed", "variable", "constant"})
_RESERVED_PARAMETERS: Final = frozenset({"__reason", "__is_success"})
_NAME: Final = re.compile(r"[^\W\d]\w*")


def _model(fields: Fields) -> None:
    if (model := fields.mapping(fields.data, "model")) is None:
        return
    for name in ("provider", "name"):
        value = model.get(name)
        if not isinstance(value, str):
            fields.wrong(
                f"model/{name}", f"{named(fields.node)} names no model {name}.", "Choose a model.", "model-missing"
            )
    if not is_one_of(model.get("mode"), _CHAT_MODES):
        fields.wrong("model/mode", f"model.mode is {model.get('mode')!r}.", "Use chat or completion.", "model-mode")


def _llm(fields: Fields) -> None:
    data = fields.data
    _model(fields)
    template = data.get("prompt_template")
    if isinstance(template, list):
        for path, message in fields.entries(data, "prompt_template"):
            fields.choice(message, "role", frozenset({"system", "user", "assistant"}), path)
            if "text" in message:
                fields.text(message, "text", path)
        texts = [m for m in mappings(template) if m.get("text") or m.get("jinja2_text")]
        if not texts:
            fields.wrong(
                "prompt_template", f"{named(fields.node)} has an empty prompt.", "Write a prompt.", "prompt-empty"
            )
    elif not isinstance(template, Mapping) and fields.given("prompt_template"):
        fields.wrong("prompt_template", "prompt_template is no list of messages.", "Write [{role, text}, …].")
    _context(fields)


def _context(fields: Fields) -> None:
    context = fields.mapping(fields.data, "context")
    if context is not None and not isinstance(context.get("enabled"), bool):
        fields.wrong("context/enabled", "context.enabled is neither true nor false.", "Set it to false.")
    if context and context.get("enabled") and context.get("variable_selector"):
        fields.selector(context, "variable_selector", "context")


def _code(fields: Fields) -> None:
    data = fields.data
    _named_selectors(fields)
    fields.choice(data, "code_language", frozenset({"python3", "javascript"}))
    if (outputs := fields.mapping(data, "outputs")) is None:
        return
    for name, spec in outputs.items():
        type_ = spec.get("type") if isinstance(spec, Mapping) else None
        if not is_one_of(type_, CODE_OUTPUT_TYPES):
            remedy = f"Use one of: {', '.join(sorted(CODE_OUTPUT_TYPES))}."
            fields.wrong(f"outputs/{name}", f"Code cannot give {name} as {type_!r}.", remedy, "code-output-type")


def _named_selectors(fields: Fields) -> None:
    seen: set[str] = set()
    for path, variable in fields.entries(fields.data, "variables"):
        name = fields.text(variable, "variable", path, empty=False)
        if name in seen:
            fields.wrong(
                path, f"{named(fields.node)} has two variables {name}.", "Rename one of them.", "variable-twice"
            )
        seen.add(str(name))
        if name is not None and not _NAME.fullmatch(name):
            fields.wrong(path, f"{name!r} is no name for a variable.", "Use letters, digits and _.", "variable-name")
        fields.selector(variable, "value_selector", path)


def _template(fields: Fields) -> None:
    _named_selectors(fields)
    fields.text(fields.data, "template")


def _http(fields: Fields) -> None:
    data = fields.data
    if fields.given("method") and str(data.get("method")).lower() not in _METHODS:
        fields.wrong(
            "method", f"method is {data.get('method')!r}.", "Use get, post, put, patch, delete, head or options."
        )
    fields.text(data, "url", empty=False)
    for name in ("headers", "params"):
        fields.text(data, name)
    if (authorization := fields.mapping(data, "authorization")) is not None:
        fields.choice(authorization, "type", frozenset({"no-auth", "api-key"}), "authorization")
    if "body" in data and (body := fields.mapping(data, "body")) is not None:
        fields.choice(body, "type", _BODY_TYPES, "body")


def _classifier(fields: Fields) -> None:
    _model(fields)
    fields.selector(fields.data, "query_variable_selector")
    classes = fields.entries(fields.data, "classes")
    if fields.given("classes") and not classes:
        fields.wrong("classes", f"{named(fields.node)} has no classes.", "Name at least two.", "class-missing")
    for path, entry in classes:
        fields.text(entry, "id", path, empty=False)
        fields.text(entry, "name", path)


def _extractor(fields: Fields) -> None:
    _model(fields)
    fields.selector(fields.data, "query")
    parameters = fields.entries(fields.data, "parameters")
    if fields.given("parameters") and not parameters:
        fields.wrong("parameters", f"{named(fields.node)} extracts nothing.", "Name a parameter.", "parameter-missing")
    for path, parameter in parameters:
        _parameter(fields, parameter, path)


def _parameter(fields: Fields, parameter: Mapping[str, Any], path: str) -> None:
    name = fields.text(parameter, "name", path, empty=False)
    if name in _RESERVED_PARAMETERS:
        fields.wrong(f"{path}/name", f"{name} is reserved.", "Rename the parameter.", "parameter-name")
    if not is_one_of(parameter.get("type"), PARAMETER_TYPES):
        message = f"A parameter cannot be extracted as {parameter.get('type')!r}."
        fields.wrong(f"{path}/type", message, f"Use one of: {', '.join(PARAMETER_TYPES)}.", "parameter-type")
    fields.text(parameter, "description", path)
    if not isinstance(parameter.get("required"), bool):
        fields.wrong(f"{path}/required", f"{path}/required is neither true nor false.", "Set it.")


def _document(fields: Fields) -> None:
    fields.selector(fields.data, "variable_selector")


def _tool(fields: Fields) -> None:
    data = fields.data
    for name in ("provider_id", "provider_name", "tool_name"):
        fields.text(data, name, empty=False)
    fields.choice(data, "provider_type", _PROVIDER_TYPES)
    fields.mapping(data, "tool_configurations")
    if (parameters := fields.mapping(data, "tool_parameters")) is None:
        return
    for name, entry in parameters.items():
        path = f"tool_parameters/{name}"
        if not isinstance(entry, Mapping):
            fields.report.note("tool-parameter-old", f"{path} has the form of older versions.", "", fields.node, path)
        elif entry.get("value") is not None:
            _tool_input(fields, entry, path)


def _tool_input(fields: Fields, entry: Mapping[str, Any], path: str) -> None:
    type_ = fields.choice(entry, "type", _INPUT_TYPES, path)
    value = entry.get("value")
    if type_ == "mixed" and not isinstance(value, str):
        fields.wrong(f"{path}/value", f"{path}/value is {value!r}, not text.", "Write text, references included.")
    elif type_ == "variable" and not (isinstance(value, list) and all(isinstance(part, str) for part in value)):
        fields.wrong(f"{path}/value", f"{path}/value is {value!r}, not a reference.", "Write [node id, output].")


def _knowledge(fields: Fields) -> None:
    if fields.given("dataset_ids") and not isinstance(fields.data.get("dataset_ids"), list):
        fields.wrong("dataset_ids", "dataset_ids is not a list.", "List the knowledge bases' ids.")
    elif fields.data.get("dataset_ids") == []:
        fields.report.warning(
            "dataset-missing", "No knowledge base is chosen.", "Choose one in Dify.", fields.node, "dataset_ids"
        )


def _agent(fields: Fields) -> None:
    fields.mapping(fields.data, "agent_parameters")


_Rule = Callable[[Fields], None]
WORK_RULES: Final[Mapping[str, _Rule]] = {
    "llm": _llm,
    "code": _code,
    "template-transform": _template,
    "http-request": _http,
    "question-classifier": _classifier,
    "parameter-extractor": _extractor,
    "document-extractor": _document,
    "tool": _tool,
    "knowledge-retrieval": _knowledge,
    "agent": _agent,
}
