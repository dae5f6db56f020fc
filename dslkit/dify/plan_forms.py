"""What each node type of a plan takes, and reading a node's parameters by it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.nodes import NODE_KINDS, OLD_NAMES
from dslkit.dify.plan_readers import (
    AGGREGATED,
    ANYTHING,
    CASES,
    CONDITIONS,
    EXTRACTED,
    MESSAGES,
    NAMED_REFERENCES,
    NAMED_TYPES,
    NAMES,
    NUMBER,
    OBJECT,
    OPERATION,
    REFERENCE,
    TEXT,
    TEXTS,
    Form,
    NotThisFormError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.dify.plan_notes import Notes
    from dslkit.dify.plan_references import NodeIds

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


def known_type(name: str, node: str, notes: Notes) -> str:
    """The node type's own spelling; unknown ones stay, for the check to name."""
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    plain = OTHER_NAMES.get(plain, plain)
    if plain not in PARAMETERS and plain not in NODE_KINDS:
        return name
    if plain != name:
        notes.forgive("type-name", f"Read the node type {name} as {plain}.", node)
    return plain


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
    except NotThisFormError as error:
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
