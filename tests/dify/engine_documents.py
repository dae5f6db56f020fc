"""Small Dify documents for the engine's tests, written as a person would say them."""

from __future__ import annotations

import copy
from typing import Any

MODEL = {"provider": "openai", "name": "gpt-4o-mini", "mode": "chat", "completion_params": {}}


def node(id_: str, kind: str, *, inside: str | None = None, **data: Any) -> dict[str, Any]:
    built: dict[str, Any] = {"id": id_, "type": "custom", "data": {"type": kind, "title": id_, **data}}
    if inside:
        built["parentId"] = inside
    return built


def edge(text: str) -> dict[str, Any]:
    """``a->b`` or ``a:handle->b``."""
    source, target = text.split("->")
    source, _, handle = source.partition(":")
    return {
        "id": text,
        "source": source,
        "target": target,
        "sourceHandle": handle or "source",
        "targetHandle": "target",
    }


def document(nodes: list[dict[str, Any]], edges: str, *, mode: str = "workflow", **workflow: Any) -> dict[str, Any]:
    graph = {"nodes": copy.deepcopy(nodes), "edges": [edge(each) for each in edges.split()]}
    return {
        "version": "0.6.0",
        "kind": "app",
        "app": {"name": "test", "mode": mode},
        "workflow": {"graph": graph, "features": {}, **workflow},
    }


def start(*variables: tuple[str, str], **more: Any) -> dict[str, Any]:
    entries = [{"variable": name, "label": name, "type": kind, **more} for name, kind in variables]
    return node("start", "start", variables=entries)


def end(id_: str = "end", **outputs: str) -> dict[str, Any]:
    """``end(answer="llm.text")``"""
    return node(id_, "end", outputs=[{"variable": k, "value_selector": v.split(".")} for k, v in outputs.items()])


def llm(id_: str = "llm", prompt: str = "{{#start.x#}}", **data: Any) -> dict[str, Any]:
    template = [{"role": "user", "text": prompt}]
    return node(id_, "llm", **{"model": MODEL, "prompt_template": template, "context": {"enabled": False}, **data})


def template(
    id_: str = "template", text: str = "{{ x }}", /, inside: str | None = None, **variables: str
) -> dict[str, Any]:
    selectors = [{"variable": name, "value_selector": path.split(".")} for name, path in variables.items()]
    return node(id_, "template-transform", inside=inside, template=text, variables=selectors)


def code(id_: str = "code", **outputs: str) -> dict[str, Any]:
    types = {name: {"type": kind, "children": None} for name, kind in outputs.items()}
    return node(id_, "code", variables=[], code_language="python3", code="raise SystemExit('never run')", outputs=types)


def if_else(id_: str = "if", *cases: str, variable: str = "start.x") -> dict[str, Any]:
    condition = {"variable_selector": variable.split("."), "comparison_operator": "is", "value": "y"}
    entries = [
        {"case_id": case, "logical_operator": "and", "conditions": [{"id": case, **condition}]} for case in cases
    ]
    return node(id_, "if-else", cases=entries)


def rendering(text: str) -> dict[str, Any]:
    """A workflow that renders one template of x (a text) and things (a list of objects)."""
    nodes = [
        start(("x", "text-input")),
        code(things="array[object]"),
        template("template", text, x="start.x", things="code.things"),
        end(out="template.output"),
    ]
    return document(nodes, "start->code code->template template->end")
