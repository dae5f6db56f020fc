"""Clean workflows that tests break: one with most node types, one chatflow."""

from __future__ import annotations

import copy
from typing import Any

from dslkit.dify.plan import Plan
from dslkit.dify.workflow import Workflow

RICH: dict[str, Any] = {
    "nodes_info": [
        {
            "id": "1",
            "type": "start",
            "param": {
                "variables": [
                    ["topic", "string"],
                    ["count", "number"],
                    ["brief", "boolean"],
                    ["report", "file"],
                    ["papers", "array[file]"],
                ]
            },
        },
        {"id": "2", "type": "document-extractor", "param": {"variable_selector": ["report", "1"]}},
        {
            "id": "3",
            "type": "llm",
            "param": {"system": "Be brief.", "user": "Sum up {{#2.text#}} about {{#1.topic#}}."},
        },
        {
            "id": "4",
            "type": "if-else",
            "param": {
                "cases": [
                    ["and", [[["text", "3"], "contains", "yes"], [["count", "1"], ">", "3"]]],
                    [None, [[["brief", "1"], "is", True]]],
                ]
            },
        },
        {
            "id": "5",
            "type": "parameter-extractor",
            "param": {
                "query": ["text", "3"],
                "parameters": [["The chapters' titles", "chapters", "array[string]"], ["A year", "year", "number"]],
                "instruction": "Extract both.",
            },
        },
        {
            "id": "6",
            "type": "iteration",
            "param": {"iterator_selector": ["chapters", "5"], "output_selector": ["text", "6-2"]},
        },
        {"id": "6-1", "type": "iteration-start", "param": {}},
        {"id": "6-2", "type": "llm", "param": {"system": "", "user": "Write {{#6.item#}} for {{#5.year#}}."}},
        {
            "id": "7",
            "type": "template-transform",
            "param": {
                "variables": [["parts", ["output", "6"]], ["topic", ["topic", "1"]]],
                "template": "# {{ topic }}\n{% for part in parts %}{{ loop.index }}. {{ part }}\n{% endfor %}",
            },
        },
        {
            "id": "8",
            "type": "code",
            "param": {
                "variables": [["text", ["text", "3"]]],
                "outputs": [["short", "string"], ["size", "number"]],
                "code": "def main(text: str) -> dict:\n    return {'short': text[:9], 'size': len(text)}",
            },
        },
        {
            "id": "9",
            "type": "question-classifier",
            "param": {"query_variable_selector": ["short", "8"], "classes": ["fact", "opinion"]},
        },
        {"id": "10", "type": "http-request", "param": {"url": "https://example.org/{{#1.topic#}}"}},
        {
            "id": "11",
            "type": "list-operator",
            "param": {"variable": ["papers", "1"], "operator": ["filter_by", "in", "document"]},
        },
        {"id": "12", "type": "variable-aggregator", "param": {"variables": [["body", "10"], ["output", "7"]]}},
        {"id": "13", "type": "markdown-exporter", "param": {"target_type": "docx", "md_text": "{{#12.output#}}"}},
        {
            "id": "14",
            "type": "end",
            "param": {
                "outputs": [["text", ["output", "12"]], ["file", ["files", "13"]], ["first", ["first_record", "11"]]]
            },
        },
        {"id": "15", "type": "end", "param": {"outputs": [["text", ["short", "8"]]]}},
    ],
    "edges": [
        ["1", 0, "2"],
        ["2", 0, "3"],
        ["3", 0, "4"],
        ["4", 0, "5"],
        ["5", 0, "6"],
        ["6-1", 0, "6-2"],
        ["6", 0, "7"],
        ["7", 0, "12"],
        ["4", 1, "8"],
        ["8", 0, "9"],
        ["9", 0, "10"],
        ["9", 1, "15"],
        ["4", 2, "15"],
        ["10", 0, "12"],
        ["1", 0, "11"],
        ["11", 0, "14"],
        ["12", 0, "13"],
        ["13", 0, "14"],
    ],
}

SMALL: dict[str, Any] = {
    "nodes_info": [
        {"id": "1", "type": "start", "param": {"variables": [["topic", "string"]]}},
        {"id": "2", "type": "llm", "param": {"system": "", "user": "About {{#1.topic#}}"}},
        {"id": "3", "type": "end", "param": {"outputs": [["text", ["text", "2"]]]}},
    ],
    "edges": [["1", 0, "2"], ["2", 0, "3"]],
}


def rich() -> dict[str, Any]:
    """A fresh document of the rich plan."""
    return copy.deepcopy(_RICH_DOCUMENT)


def small(**changes: Any) -> dict[str, Any]:
    """A copy of the small plan, by node id with other parameters."""
    plan = copy.deepcopy(SMALL)
    for node in plan["nodes_info"]:
        node["param"] |= changes.get(f"n{node['id']}", {})
    return plan


def compiled(plan: dict[str, Any], *, repair: bool = False, mode: Any = "workflow") -> Workflow:
    """A plan given as plain data, compiled."""
    return Workflow.from_plan(Plan.model_validate(plan), name="Sample", repair=repair, mode=mode)


def node(document: dict[str, Any], id_: str) -> dict[str, Any]:
    """A node of a document."""
    return next(entry for entry in document["workflow"]["graph"]["nodes"] if entry["id"] == id_)


def data(document: dict[str, Any], id_: str) -> dict[str, Any]:
    """A node's data."""
    return node(document, id_)["data"]


def edges(document: dict[str, Any]) -> list[dict[str, Any]]:
    """A document's edges."""
    return document["workflow"]["graph"]["edges"]


def codes(findings: Any) -> list[str]:
    """The codes of some findings or repairs."""
    return [finding.code for finding in findings]


_RICH_DOCUMENT = compiled(RICH).document
