"""The forms in which a plan writes a parameter: each knows its JSON Schema and how to read it forgivingly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.plan_references import MAX_REFERENCE, NodeIds, plain_text, split_reference, text_reference, unquoted

if TYPE_CHECKING:
    from dslkit.dify.plan_notes import Notes


@dataclass(frozen=True, slots=True)
class Form:
    """How one parameter is written."""

    schema: Mapping[str, Any]
    read: Callable[[Any, NodeIds, Notes], Any]


class NotThisFormError(ValueError):
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
        raise NotThisFormError("a reference [variable, node id]")
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
    if len(value) > MAX_REFERENCE:
        return None
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
            raise NotThisFormError("a list")
        return [read(entry, ids, notes) for entry in value]

    return reader


def _read_named_reference(value: Any, ids: NodeIds, notes: Notes) -> list[Any]:
    """``[name, reference]``; a bare reference gets its variable's name."""
    if isinstance(value, Mapping):
        name = next((value[key] for key in ("name", "variable", "key") if isinstance(value.get(key), str)), None)
        reference = next((value[k] for k in ("value", "reference", "value_selector", "selector") if k in value), None)
        if name is None or reference is None:
            raise NotThisFormError("[name, [variable, node id]]")
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
            raise NotThisFormError("[name, [variable, node id]]")


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
            raise NotThisFormError("[name, type]")
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
            raise NotThisFormError("[name, type]")


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
            raise NotThisFormError("[description, name, type]")


def _read_name(value: Any, _: NodeIds, notes: Notes) -> str:
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("label") or value.get("title")
        notes.forgive("entry-object", "Read entries given as objects.")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str | int | float):
        return str(value)
    raise NotThisFormError("a name")


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
            raise NotThisFormError("[null/and/or, [[reference, operator, value?], …]]")


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
            raise NotThisFormError("[[variable, node id], operator, value]")


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
            raise NotThisFormError("[extract_by/limit/order_by/filter_by, value, value2?]")


def _read_object(value: Any, _: NodeIds, __: Notes) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotThisFormError("an object")


def _read_texts(value: Any, ids: NodeIds, notes: Notes) -> dict[str, Any]:
    return {name: _read_text(text, ids, notes) for name, text in _read_object(value, ids, notes).items()}


def _read_message(value: Any, ids: NodeIds, notes: Notes) -> list[Any]:
    match value:
        case [str() as role, text] | {"role": str() as role, "text": text} | {"role": str() as role, "content": text}:
            return [role, _read_text(text, ids, notes)]
        case _:
            raise NotThisFormError("[role, text]")


def _read_number(value: Any, _: NodeIds, __: Notes) -> float | int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    raise NotThisFormError("a number")


def _read_flag(value: Any, _: NodeIds, __: Notes) -> bool:
    if isinstance(value, bool):
        return value
    raise NotThisFormError("true or false")


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
