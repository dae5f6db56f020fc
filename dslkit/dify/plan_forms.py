"""What each node type of a plan takes: one form a parameter, which knows its JSON Schema and reads it forgivingly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dslkit.dify.nodes import NODE_KINDS, OLD_NAMES
from dslkit.dify.plan_references import NodeIds, plain_text, split_reference, text_reference, unquoted
from dslkit.records import Finding, Repair

OTHER_NAMES: Final[Mapping[str, str]] = {
    **OLD_NAMES,
    "template": "template-transform",
    "doc-extractor": "document-extractor",
    "classifier": "question-classifier",
    "http": "http-request",
    "text-to-image": "text2image",
    "text-to-speech": "tts",
    "variable-assigner-v2": "assigner",
}


@dataclass(slots=True)
class Notes:
    """What was forgiven and found while reading, with the node it is about."""

    forgiven: list[Repair] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    node: str | None = None
    _seen: set[tuple[str, str | None]] = field(default_factory=set)

    def at(self, node: str) -> Notes:
        """The same notes, speaking of ``node``."""
        return Notes(self.forgiven, self.findings, node, self._seen)

    def forgive(self, code: str, message: str, node: str | None = None) -> None:
        """Name a liberty, once for each code and node."""
        node = node or self.node
        if (code, node) not in self._seen:
            self._seen.add((code, node))
            self.forgiven.append(Repair(code=code, message=message, node=node))

    def error(self, code: str, message: str, remedy: str, path: str | None = None) -> None:
        """Name what cannot be read."""
        self.findings.append(
            Finding(code=code, severity="error", message=message, remedy=remedy, node=self.node, path=path)
        )

    def known_type(self, name: str, node: str) -> str:
        """The node type's own spelling; unknown ones stay, for the check to name."""
        plain = name.strip().lower().replace("_", "-").replace(" ", "-")
        plain = OTHER_NAMES.get(plain, plain)
        if plain not in PARAMETERS and plain not in NODE_KINDS:
            return name
        if plain != name:
            self.forgive("type-name", f"Read the node type {name} as {plain}.", node)
        return plain


@dataclass(frozen=True, slots=True)
class Form:
    """How one parameter is written."""

    schema: Mapping[str, Any]
    read: Callable[[Any, NodeIds, Notes], Any]


class _NotThisFormError(ValueError):
    """The value cannot be read as this form; its text says what was expected."""


_PAIR: Final = 2

_TEXT_SCHEMA: Final = {"type": "string", "description": "text; references as {{#node id.variable#}}"}
_REFERENCE_SCHEMA: Final = {
    "type": "array",
    "description": "[variable, node id]",
    "prefixItems": [{"type": "string"}, {"type": "string"}],
    "minItems": 2,
    "maxItems": 2,
}


def _tuple_schema(*items: Mapping[str, Any], required: int | None = None) -> dict[str, Any]:
    return {
        "type": "array",
        "prefixItems": list(items),
        "minItems": len(items) if required is None else required,
        "maxItems": len(items),
    }


def _list_schema(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


_WORD: Final = {"type": "string"}


def _read_text(value: Any, ids: NodeIds, notes: Notes) -> str:
    if isinstance(value, str):
        return plain_text(value, ids, lambda: notes.forgive("swapped-reference", "Turned round references in text."))
    if _is_flat_reference(value):
        (variable, node), _ = ids.ordered(*map(unquoted, value))
        if node in ids:
            notes.forgive("reference-as-text", "Wrote a reference given instead of text into the text.")
            return "{{#" + f"{node}.{variable}" + "#}}"
    if value is None:
        return ""
    notes.forgive("value-as-text", "Wrote a value given instead of text as text.")
    return json.dumps(value, ensure_ascii=False)


def _read_reference(value: Any, ids: NodeIds, notes: Notes) -> list[str]:
    parts = _reference_parts(value, ids, notes)
    if parts is None:
        raise _NotThisFormError("a reference [variable, node id]")
    reference, swapped = ids.ordered(*parts)
    if swapped:
        notes.forgive("swapped-reference", "Turned round references that put the node first.")
    return list(reference)


def _reference_parts(value: Any, ids: NodeIds, notes: Notes) -> tuple[str, str] | None:
    """Variable and node, in the order given, of anything that can only be a reference."""
    if isinstance(value, Mapping):
        node = next((value[key] for key in ("node_id", "node", "id", "source") if key in value), None)
        variable = next((value[key] for key in ("variable", "name", "output", "field", "key") if key in value), None)
        if node is None or variable is None:
            return None
        notes.forgive("reference-object", "Read references given as objects.")
        value = [variable, node]
    if isinstance(value, str):
        return _parts_of_text(value, ids, notes)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list | str):
        notes.forgive("nested-reference", "Took references out of a list around them.")
        return _reference_parts(value[0], ids, notes)
    if not isinstance(value, list) or len(value) < _PAIR or not all(isinstance(part, str | int) for part in value):
        return None
    words = [unquoted(str(part)) for part in value]
    if len(words) > _PAIR:  # a path into a file or object, node first or last
        words = [".".join(words[1:]), words[0]] if words[0] in ids else [".".join(words[:-1]), words[-1]]
    return (words[0], words[1]) if all(words) else None


def _parts_of_text(value: str, ids: NodeIds, notes: Notes) -> tuple[str, str] | None:
    parts = text_reference(value) or split_reference(value.strip().strip("{}#"))
    if len(parts) < _PAIR or parts[0] not in ids:
        return None
    notes.forgive("reference-in-text", "Read references written as text.")
    return ".".join(parts[1:]), parts[0]


def _read_list(read: Callable[[Any, NodeIds, Notes], Any], single: Callable[[Any], bool]) -> Callable[..., list[Any]]:
    def reader(value: Any, ids: NodeIds, notes: Notes) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, Mapping):
            notes.forgive("object-as-list", "Read an object as a list of its entries.")
            value = [[name, entry] for name, entry in value.items()]
        elif single(value):
            notes.forgive("single-as-list", "Read a single entry as a list of one.")
            value = [value]
        if not isinstance(value, list):
            raise _NotThisFormError("a list")
        return [read(entry, ids, notes) for entry in value]

    return reader


def _read_named_reference(value: Any, ids: NodeIds, notes: Notes) -> list[Any]:
    """``[name, reference]``; a bare reference gets its variable's name."""
    if isinstance(value, Mapping):
        name = next((value[key] for key in ("name", "variable", "key") if isinstance(value.get(key), str)), None)
        reference = next((value[k] for k in ("value", "reference", "value_selector", "selector") if k in value), None)
        if name is None or reference is None:
            raise _NotThisFormError("[name, [variable, node id]]")
        notes.forgive("entry-object", "Read entries given as objects.")
        value = [name, reference]
    match value:
        case [str() as name, list() | dict() as reference]:
            return [name, _read_reference(reference, ids, notes)]
        case [list() | dict() as reference, str() as name]:
            notes.forgive("swapped-entry", "Turned round entries that put the reference before the name.")
            return [name, _read_reference(reference, ids, notes)]
        case [str() as name, str() as reference, str() as node] if node in ids:
            notes.forgive("flat-entry", "Read a flat entry as name and reference.")
            return [name, _read_reference([reference, node], ids, notes)]
        case [str() as first, str() as second] if text_reference(second):
            return [first, _read_reference(second, ids, notes)]
        case [str() as variable, str() as node] if unquoted(node) in ids:
            notes.forgive(
                "entry-without-name", "Gave entries that name no variable of their own the referred one's name."
            )
            return [variable.split(".")[-1], [variable, unquoted(node)]]
        case _:
            raise _NotThisFormError("[name, [variable, node id]]")


def _read_aggregated(value: Any, ids: NodeIds, notes: Notes) -> list[Any]:
    """A reference, or ``[name, reference]``: what others call the result decides whether the name is a group's."""
    match value:
        case [str() as name, list() | dict() as reference]:
            return [name, _read_reference(reference, ids, notes)]
        case _:
            return _read_reference(value, ids, notes)


def _read_anything(value: Any, _: NodeIds, __: Notes) -> Any:
    return value


def _read_named_type(value: Any, _: NodeIds, notes: Notes) -> list[Any]:
    """``[name, type]`` or ``[name, type, settings]``."""
    if isinstance(value, Mapping):
        name = next((value[key] for key in ("name", "variable") if isinstance(value.get(key), str)), None)
        type_ = value.get("type") or value.get("value_type")
        if name is None or not isinstance(type_, str):
            raise _NotThisFormError("[name, type]")
        notes.forgive("entry-object", "Read entries given as objects.")
        settings = {key: entry for key, entry in value.items() if key not in ("name", "variable", "type", "value_type")}
        return [name, type_, settings] if settings else [name, type_]
    match value:
        case [str() as name, str() as type_]:
            return [name, type_]
        case [str() as name, dict() as settings] if isinstance(settings.get("type"), str):
            return [name, settings["type"], {key: entry for key, entry in settings.items() if key != "type"}]
        case [str() as name, str() as type_, dict() as settings]:
            return [name, type_, settings]
        case [str() as name, str() as type_, bool() as required]:
            return [name, type_, {"required": required}]
        case _:
            raise _NotThisFormError("[name, type]")


def _read_parameter(value: Any, _: NodeIds, notes: Notes) -> list[Any]:
    """``[description, name, type]`` or with settings as a fourth."""
    if isinstance(value, Mapping):
        notes.forgive("entry-object", "Read entries given as objects.")
        known = ("description", "name", "type")
        settings = {key: entry for key, entry in value.items() if key not in known}
        value = [value.get("description") or value.get("name"), value.get("name"), value.get("type", "string")]
        value = [*value, settings] if settings else value
    match value:
        case [str() as description, str() as name, str() as type_]:
            return [description, name, type_]
        case [str() as description, str() as name, str() as type_, dict() as settings]:
            return [description, name, type_, settings]
        case [str() as name, str() as type_]:
            notes.forgive("parameter-without-description", "Described parameters without a description by their name.")
            return [name, name, type_]
        case _:
            raise _NotThisFormError("[description, name, type]")


def _read_name(value: Any, _: NodeIds, notes: Notes) -> str:
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("label") or value.get("title")
        notes.forgive("entry-object", "Read entries given as objects.")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str | int | float):
        return str(value)
    raise _NotThisFormError("a name")


def _read_case(value: Any, ids: NodeIds, notes: Notes) -> list[Any]:
    """``[null/and/or, [condition, …]]``."""
    if isinstance(value, Mapping):
        notes.forgive("entry-object", "Read entries given as objects.")
        value = [value.get("logical_operator"), value.get("conditions")]
    match value:
        case [None | str() as operator, list() as conditions, *_]:
            if conditions and _is_condition(conditions):
                notes.forgive("single-as-list", "Read a single entry as a list of one.")
                conditions = [conditions]
            logical = operator.lower() if isinstance(operator, str) else None
            return [logical if logical in ("and", "or") else None, [_read_condition(c, ids, notes) for c in conditions]]
        case _:
            raise _NotThisFormError("[null/and/or, [[reference, operator, value?], …]]")


def _is_condition(value: list[Any]) -> bool:
    """Whether a list is one condition rather than a list of them."""
    match value:
        case [str(), str(), *_] | [[str(), str()], str(), *_]:
            return True
        case _:
            return False


def _read_condition(value: Any, ids: NodeIds, notes: Notes) -> list[Any]:
    """``[reference, operator, value?]``."""
    if isinstance(value, Mapping):
        notes.forgive("entry-object", "Read entries given as objects.")
        reference = next((value[k] for k in ("variable", "reference", "variable_selector") if k in value), None)
        operator = value.get("operator") or value.get("comparison_operator")
        value = [reference, operator] + ([value["value"]] if "value" in value else [])
    match value:
        case [str() as variable, str() as node, str() as operator, *rest] if unquoted(node) in ids:
            notes.forgive("flat-entry", "Read a flat condition as reference and operator.")
            return [[variable, unquoted(node)], operator, *rest[:1]]
        case [(list() | dict()) as reference, str() as operator, None, str() as compared]:
            return [_read_reference(reference, ids, notes), operator, compared]
        case [(list() | dict()) as reference, str() as operator, *rest]:
            return [_read_reference(reference, ids, notes), operator, *_compared(rest, ids, notes)]
        case [str() as reference, str() as operator, *rest]:
            parts = _parts_of_text(reference, ids, notes) or (reference, "")
            return [list(parts), operator, *_compared(rest, ids, notes)]
        case _:
            raise _NotThisFormError("[[variable, node id], operator, value]")


def _compared(rest: list[Any], ids: NodeIds, notes: Notes) -> list[Any]:
    """The value compared with: text may hold references, a reference stands for its text."""
    if not rest or rest[0] is None:
        return []
    value = rest[0]
    is_reference = _is_flat_reference(value) and unquoted(value[1]) in ids
    return [_read_text(value, ids, notes)] if isinstance(value, str) or is_reference else [value]


def _read_operation(value: Any, _: NodeIds, __: Notes) -> list[Any]:
    match value:
        case [str(), *_]:
            return list(value)
        case {"type": str() as name, **rest}:
            return [name, *rest.values()]
        case _:
            raise _NotThisFormError("[extract_by/limit/order_by/filter_by, value, value2?]")


def _read_object(value: Any, _: NodeIds, __: Notes) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise _NotThisFormError("an object")


def _read_texts(value: Any, ids: NodeIds, notes: Notes) -> dict[str, Any]:
    return {name: _read_text(text, ids, notes) for name, text in _read_object(value, ids, notes).items()}


def _read_message(value: Any, ids: NodeIds, notes: Notes) -> list[Any]:
    match value:
        case [str() as role, text] | {"role": str() as role, "text": text} | {"role": str() as role, "content": text}:
            return [role, _read_text(text, ids, notes)]
        case _:
            raise _NotThisFormError("[role, text]")


def _read_number(value: Any, _: NodeIds, __: Notes) -> float | int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    raise _NotThisFormError("a number")


def _read_flag(value: Any, _: NodeIds, __: Notes) -> bool:
    if isinstance(value, bool):
        return value
    raise _NotThisFormError("true or false")


def _never(_: Any) -> bool:
    return False


def _is_entry(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and isinstance(value[0], str)


def _is_flat_reference(value: Any) -> bool:
    return isinstance(value, list) and len(value) == _PAIR and all(isinstance(part, str) for part in value)


_NAMED_TYPE_SCHEMA: Final = _tuple_schema(_WORD, _WORD, {"type": "object"}, required=2)
_CONDITION_SCHEMA: Final = _tuple_schema(
    _REFERENCE_SCHEMA, _WORD, {"type": ["string", "number", "boolean", "array"]}, required=2
)
_CASE_SCHEMA: Final = _tuple_schema({"enum": [None, "and", "or"]}, _list_schema(_CONDITION_SCHEMA))

TEXT: Final = Form(_TEXT_SCHEMA, _read_text)
REFERENCE: Final = Form(_REFERENCE_SCHEMA, _read_reference)
NAMED_REFERENCES: Final = Form(
    _list_schema(_tuple_schema(_WORD, _REFERENCE_SCHEMA)), _read_list(_read_named_reference, _is_entry)
)
AGGREGATED: Final = Form(_list_schema(_REFERENCE_SCHEMA), _read_list(_read_aggregated, _is_flat_reference))
NAMED_TYPES: Final = Form(_list_schema(_NAMED_TYPE_SCHEMA), _read_list(_read_named_type, _is_flat_reference))
EXTRACTED: Final = Form(
    _list_schema(_tuple_schema(_WORD, _WORD, _WORD, {"type": "object"}, required=3)),
    _read_list(_read_parameter, _is_entry),
)
NAMES: Final = Form(_list_schema(_WORD), _read_list(_read_name, lambda value: isinstance(value, str)))
CASES: Final = Form(_list_schema(_CASE_SCHEMA), _read_list(_read_case, _never))
CONDITIONS: Final = Form(_list_schema(_CONDITION_SCHEMA), _read_list(_read_condition, _never))
OPERATION: Final = Form({"type": "array", "minItems": 2}, _read_operation)
OBJECT: Final = Form({"type": "object"}, _read_object)
TEXTS: Final = Form({"type": "object", "additionalProperties": _TEXT_SCHEMA}, _read_texts)
MESSAGES: Final = Form(
    _list_schema(_tuple_schema({"enum": ["system", "user", "assistant"]}, _TEXT_SCHEMA)),
    _read_list(_read_message, _is_entry),
)
NUMBER: Final = Form({"type": "number"}, _read_number)
ANYTHING: Final = Form({}, _read_anything)
FLAG: Final = Form({"type": "boolean"}, _read_flag)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a node type takes: ``required`` by name, ``optional`` ones that widen it, and other names in use."""

    required: Mapping[str, Form] = field(default_factory=dict)
    optional: Mapping[str, Form] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)


_MODEL: Final = {"model": OBJECT}

PARAMETERS: Final[Mapping[str, Parameters]] = {
    "start": Parameters({"variables": NAMED_TYPES}),
    "end": Parameters({"outputs": NAMED_REFERENCES}),
    "answer": Parameters({"answer": TEXT}),
    "llm": Parameters(
        {"system": TEXT, "user": TEXT},
        {**_MODEL, "messages": MESSAGES, "context": REFERENCE, "structured_output": OBJECT, "memory": OBJECT},
        {"system_prompt": "system", "user_prompt": "user", "prompt": "user"},
    ),
    "question-classifier": Parameters(
        {"query_variable_selector": REFERENCE, "classes": NAMES},
        {**_MODEL, "instruction": TEXT},
        {"query": "query_variable_selector"},
    ),
    "code": Parameters({"variables": NAMED_REFERENCES, "outputs": NAMED_TYPES, "code": TEXT}, {"language": TEXT}),
    "document-extractor": Parameters({"variable_selector": REFERENCE}, {}, {"variable": "variable_selector"}),
    "http-request": Parameters(
        {"url": TEXT}, {"method": TEXT, "headers": TEXTS, "params": TEXTS, "body": OBJECT, "authorization": OBJECT}
    ),
    "if-else": Parameters({"cases": CASES}),
    "list-operator": Parameters({"variable": REFERENCE, "operator": OPERATION}),
    "parameter-extractor": Parameters(
        {"query": REFERENCE, "parameters": EXTRACTED}, {**_MODEL, "instruction": TEXT}
    ),
    "template-transform": Parameters({"variables": NAMED_REFERENCES, "template": TEXT}),
    "variable-aggregator": Parameters({"variables": AGGREGATED}, {"output_type": TEXT}),
    "iteration": Parameters(
        {"iterator_selector": REFERENCE, "output_selector": REFERENCE}, {"parallel": NUMBER, "on_error": TEXT}
    ),
    "iteration-start": Parameters(),
    "loop": Parameters(
        {"count": NUMBER, "break_conditions": CONDITIONS}, {"variables": ANYTHING, "logical_operator": TEXT}
    ),
    "loop-start": Parameters(),
    "loop-end": Parameters(),
    "tts": Parameters({"text": TEXT}, _MODEL),
    "text2image": Parameters({"image_prompt": TEXT}, _MODEL, {"prompt": "image_prompt"}),
    "mermaid-converter": Parameters({"mermaid_code": TEXT}),
    "markdown-exporter": Parameters({"target_type": TEXT, "md_text": TEXT}),
    "google-search": Parameters({"query": TEXT}),
    "echarts": Parameters(
        {"chart_type": TEXT, "chart_title": TEXT, "data": TEXT, "x_axisORcategories": TEXT},
        {},
        {"x_axis": "x_axisORcategories", "categories": "x_axisORcategories", "title": "chart_title"},
    ),
}  # fmt: skip


def read_parameters(type_: str, param: dict[str, Any], ids: NodeIds, notes: Notes) -> dict[str, Any]:
    """A node's parameters in their own form.  What cannot be read becomes a finding and is left as it was."""
    forms = PARAMETERS.get(type_)
    if forms is None:
        return param
    named = {_own_name(name, param, forms, notes): value for name, value in param.items()}
    known = {**forms.required, **forms.optional}
    result = {}
    for name, value in named.items():
        form = known.get(name)
        result[name] = _read_one(name, value, form, ids, notes) if form else value
    for name in forms.required if "messages" not in named else ():
        if name not in named:
            notes.error(
                "plan-param-missing",
                f"The {type_} node has no {name}.",
                f"Give it {name}: {json.dumps(forms.required[name].schema.get('description', 'see the plan format'))}.",
                path=f"param/{name}",
            )
    return result


def _own_name(name: str, param: Mapping[str, Any], forms: Parameters, notes: Notes) -> str:
    own = forms.other_names.get(name)
    if own is None or own in param or name in forms.optional:
        return name
    notes.forgive("field-name", f"Read {name} as {own}.")
    return own


def _read_one(name: str, value: Any, form: Form, ids: NodeIds, notes: Notes) -> Any:
    try:
        return form.read(value, ids, notes)
    except _NotThisFormError as error:
        shown = json.dumps(value, ensure_ascii=False, default=str)[:120]
        notes.error(
            "plan-param-shape",
            f"{name} is {shown}, which is not {error}.",
            f"Write it as {error}.",
            path=f"param/{name}",
        )
        return value


def parameter_schemas(mode: str) -> dict[str, dict[str, Any]]:
    """JSON Schema of the parameters of each node type that a workflow or a chatflow may have."""
    unwanted = "end" if mode == "advanced-chat" else "answer"
    return {
        type_: {
            "type": "object",
            "properties": {name: dict(form.schema) for name, form in {**forms.required, **forms.optional}.items()},
            "required": list(forms.required),
            "additionalProperties": False,
        }
        for type_, forms in PARAMETERS.items()
        if type_ != unwanted
    }
