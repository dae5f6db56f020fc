"""What models get wrong in plans: mistakes with one way to mend them, and mistakes that must stay findings."""

from __future__ import annotations

import copy
from typing import Any

from .workflow_samples import small

Plan = dict[str, Any]


def with_nodes(*nodes: dict[str, Any], plan_edges: list[Any], **changes: Any) -> Plan:
    plan = small(**changes)
    plan["nodes_info"] += [{**found, "param": found["param"] | changes.get(f"n{found['id']}", {})} for found in nodes]
    plan["edges"] = plan_edges
    return plan


def entry(id_: str, type_: str, **param: Any) -> dict[str, Any]:
    return {"id": id_, "type": type_, "param": param}


def after_model(found: dict[str, Any], output: str) -> Plan:
    """Node 4 between the model and the end, which takes its output."""
    straight = [["1", 0, "2"], ["2", 0, "4"], ["4", 0, "3"]]
    return with_nodes(found, plan_edges=straight, n3={"outputs": [["text", [output, "4"]]]})


def templated(template: str) -> Plan:
    return after_model(
        entry("4", "template-transform", variables=[["text", ["text", "2"]]], template=template), "output"
    )


ITERATION = [
    entry(
        "4",
        "parameter-extractor",
        query=["topic", "1"],
        parameters=[["parts", "parts", "array[string]"]],
        instruction="",
    ),
    entry("5", "iteration", iterator_selector=["parts", "4"], output_selector=["text", "5-2"]),
    entry("5-1", "iteration-start"),
    entry("5-2", "llm", system="", user="{{#5.item#}}"),
]
STRAIGHT = [["1", 0, "4"], ["4", 0, "5"], ["5-1", 0, "5-2"], ["5", 0, "2"], ["2", 0, "3"]]


def iterating(*, plan_edges: list[Any] | None = None, **changes: Any) -> Plan:
    plan = with_nodes(*copy.deepcopy(ITERATION), plan_edges=plan_edges or STRAIGHT)
    for found in plan["nodes_info"]:
        found["param"] |= changes.get(f"n{found['id']}".replace("-", "_"), {})
    return plan


CODE = "def main(text: str):\n    return {'short': text[:9]}"

MENDED: list[tuple[str, Plan, str]] = [
    ("reference-output", small(n3={"outputs": [["text", ["output", "2"]]]}), "an LLM gives text"),
    ("reference-output", iterating(n5_2={"user": "{{#5-1.item#}}"}), "the item comes from the iteration"),
    (
        "reference-output",
        with_nodes(
            entry("4", "code", variables=[["text", ["text", "2"]]], outputs=[["short", "string"]], code=CODE),
            entry("5", "llm", system="", user="{{#1.short#}}"),
            plan_edges=[["1", 0, "2"], ["2", 0, "4"], ["4", 0, "5"], ["5", 0, "3"]],
        ),
        "a name that one node before gives",
    ),
    ("reference-output", iterating(n5_2={"user": "{{#5.part#}}"}), "inside, an iteration gives its item"),
    ("reference-form", small(n2={"user": "About {{#topic#}}"}), "one node before gives topic"),
    ("reference-form", iterating(n5_2={"user": "{{#item#}}"}), "inside an iteration"),
    (
        "edge-across-border",
        iterating(
            plan_edges=[
                ["1", 0, "4"],
                ["4", 0, "5"],
                ["5", 0, "5-1"],
                ["5-1", 0, "5-2"],
                ["5-2", 0, "2"],
                ["2", 0, "3"],
            ]
        ),
        "in and out of a container",
    ),
    ("edge-across-border", iterating(plan_edges=[*STRAIGHT, ["5-2", 0, "5"]]), "back to the container"),
    ("edge-handle", small() | {"edges": [["1", 0, "2"], ["2", 1, "3"]]}, "a node with one output"),
    ("edge-repeated", small() | {"edges": [["1", 0, "2"], ["2", 0, "3"], ["2", 0, "3"]]}, "the same edge twice"),
    (
        "edge-missing",
        with_nodes(
            entry("4", "llm", system="", user="Also {{#1.topic#}}"),
            plan_edges=[["1", 0, "2"], ["1", 0, "4"], ["2", 0, "3"]],
            n3={"outputs": [["text", ["text", "2"]], ["more", ["text", "4"]]]},
        ),
        "an end that does not wait",
    ),
    (
        "node-unreachable",
        with_nodes(
            entry("4", "llm", system="", user="Also {{#2.text#}}"),
            plan_edges=[["1", 0, "2"], ["4", 0, "3"]],
            n3={"outputs": [["text", ["text", "4"]]]},
        ),
        "a node that nothing leads to",
    ),
    (
        "node-unreachable",
        with_nodes(
            entry("4", "question-classifier", query_variable_selector=["topic", "1"], classes=["a", "b"]),
            entry("5", "template-transform", variables=[], template="Nothing."),
            entry("6", "variable-aggregator", variables=[["text", "2"], ["output", "5"]]),
            plan_edges=[["1", 0, "4"], ["4", 0, "2"], ["2", 0, "6"], ["6", 0, "3"]],
            n3={"outputs": [["text", ["output", "6"]]]},
        ),
        "a fixed text that nothing leads to",
    ),
    (
        "template-reference",
        after_model(
            entry("4", "template-transform", variables=[], template="# {{#2.text#}} of {{#1.topic#}}"),
            "output",
        ),
        "references inside Jinja",
    ),
    (
        "template-variable",
        templated("{{ topic }}: {{ text }}"),
        "a variable that a node before gives",
    ),
    (
        "template-call",
        templated("{{ len(text) }}"),
        "Python's len",
    ),
    (
        "code-fault",
        after_model(
            entry(
                "4",
                "code",
                variables=[["text", ["text", "2"]]],
                outputs=[["short", "string"]],
                code=CODE.replace("\n", "\\n"),
            ),
            "short",
        ),
        "code escaped twice",
    ),
    (
        "code-argument",
        after_model(
            entry("4", "code", variables=[["answer", ["text", "2"]]], outputs=[["short", "string"]], code=CODE),
            "short",
        ),
        "an argument by another name",
    ),
    (
        "code-returns",
        after_model(
            entry(
                "4",
                "code",
                variables=[["text", ["text", "2"]]],
                outputs=[["a", "number"]],
                code="def main(text):\n return {'a': 1, 'b': 'x'}",
            ),
            "b",
        ),
        "an output that is not declared",
    ),
    ("start-variable-type", small(n1={"variables": [["topic", "image"]]}), "an image is a file"),
    ("iterator-type", iterating(n4={"parameters": [["parts", "parts", "string"]]}), "a text to go over"),
    ("value-type", iterating(n4={"parameters": [["parts", "parts", "list[str]"]]}), "Python's name of a type"),
    (
        "operator-type",
        with_nodes(
            entry("4", "if-else", cases=[[None, [[["topic", "1"], "==", "x"]]]]),
            plan_edges=[["1", 0, "4"], ["4", 0, "2"], ["4", 1, "3"], ["2", 0, "3"]],
        ),
        "texts compared by =",
    ),
    (
        "operator-type",
        with_nodes(
            *copy.deepcopy(ITERATION),
            entry("5-3", "if-else", cases=[[None, [[["item.kind", "5"], "=", "long"]]]]),
            plan_edges=[*STRAIGHT[:2], ["5-1", 0, "5-3"], ["5-3", 0, "5-2"], *STRAIGHT[3:]],
            n4={"parameters": [["parts", "parts", "array[object]"]]},
        ),
        "a field compared by = with a word",
    ),
    (
        "iterator-split",
        with_nodes(
            entry("5", "iteration", iterator_selector=["text", "2"], output_selector=["text", "5-2"]),
            entry("5-1", "iteration-start"),
            entry("5-2", "llm", system="", user="{{#5.item#}}"),
            plan_edges=[["1", 0, "2"], ["2", 0, "5"], ["5-1", 0, "5-2"], ["5", 0, "3"]],
            n3={"outputs": [["text", ["output", "5"]]]},
        ),
        "a model's answer to go over",
    ),
    (
        "iterator-split",
        with_nodes(
            *copy.deepcopy(ITERATION[1:]),
            plan_edges=[["1", 0, "5"], ["5-1", 0, "5-2"], ["5", 0, "2"], ["2", 0, "3"]],
            n1={"variables": [["topic", "array[string]"]]},
            n5={"iterator_selector": ["topic", "1"]},
            n2={"user": "{{#5.output#}}"},
        ),
        "a list that a user cannot enter",
    ),
    (
        "iteration-body",
        with_nodes(
            *copy.deepcopy(ITERATION[:3]),
            entry("6", "llm", system="", user="{{#5.item#}}"),
            plan_edges=[["1", 0, "4"], ["4", 0, "5"], ["5-1", 0, "6"], ["5", 0, "2"], ["2", 0, "3"]],
            n5={"output_selector": ["text", "6"]},
        ),
        "steps beside their iteration",
    ),
    (
        "iteration-body",
        with_nodes(
            *copy.deepcopy(ITERATION[:3]),
            entry("6", "llm", system="", user="{{#5.item#}}"),
            entry("7", "llm", system="", user="{{#6.text#}}"),
            plan_edges=[["1", 0, "4"], ["4", 0, "5"], ["5-1", 0, "6"], ["6", 0, "7"], ["7", 0, "2"], ["2", 0, "3"]],
            n2={"user": "{{#5.output#}}"},
            n5={"output_selector": ["text", "9"]},
        ),
        "steps that the start leads to, up to what takes the result",
    ),
    (
        "iteration-body",
        with_nodes(
            *copy.deepcopy(ITERATION[:2]),
            entry("6", "llm", system="", user="{{#5.part#}}"),
            plan_edges=[["1", 0, "4"], ["4", 0, "5"], ["5", 0, "6"], ["6", 0, "2"], ["2", 0, "3"]],
            n5={"output_selector": ["text", "6"]},
        ),
        "a step that takes what it is collected from",
    ),
    ("edge-next-pass", iterating(plan_edges=[*STRAIGHT, ["5-2", 0, "5-1"]]), "back to the start inside"),
    (
        "edge-over-gap",
        small() | {"edges": [["1", 0, "2"], ["2", 0, "9"], ["9", 0, "3"]]},
        "over a node that is not there",
    ),
    ("iteration-output", iterating(n5={"output_selector": ["text", "5-9"]}), "collecting from nothing"),
    (
        "aggregator-nodes",
        with_nodes(
            entry("4", "question-classifier", query_variable_selector=["topic", "1"], classes=["a", "b"]),
            entry("5", "llm", system="", user="{{#1.topic#}}"),
            entry("6", "variable-aggregator", variables=[["result", "text"], ["result", "text"]]),
            plan_edges=[["1", 0, "4"], ["4", 0, "2"], ["4", 1, "5"], ["2", 0, "6"], ["5", 0, "6"], ["6", 0, "3"]],
            n3={"outputs": [["text", ["output", "6"]]]},
        ),
        "outputs named without nodes",
    ),
    (
        "aggregator-groups",
        with_nodes(
            entry("4", "question-classifier", query_variable_selector=["topic", "1"], classes=["a", "b"]),
            entry("5", "llm", system="", user="{{#1.topic#}}"),
            entry("6", "variable-aggregator", variables=[[name, id_] for name in ("title", "body") for id_ in "25"]),
            plan_edges=[["1", 0, "4"], ["4", 0, "2"], ["4", 1, "5"], ["2", 0, "6"], ["5", 0, "6"], ["6", 0, "3"]],
            n3={"outputs": [["text", ["title", "6"]], ["more", ["body", "6"]]]},
        ),
        "several values asked of one aggregator",
    ),
    (
        "extracted-as-one",
        after_model(
            entry(
                "4",
                "parameter-extractor",
                query=["text", "2"],
                parameters=[["A", "a", "string"], ["B", "b", "number"]],
                instruction="",
            ),
            "output",
        ),
        "the whole of what is extracted",
    ),
    (
        "extracted-as-one",
        after_model(
            entry(
                "4",
                "code",
                variables=[["text", ["text", "2"]]],
                outputs=[["short", "string"], ["size", "number"]],
                code="def main(text):\n return {'short': text[:9], 'size': len(text)}",
            ),
            "result",
        ),
        "the whole of what code returns",
    ),
    ("template-call", templated("{% for i, t in enumerate(text) %}{{ i }}{{ t }}{% endfor %}"), "Python's enumerate"),
    (
        "template-fault",
        templated("{% for a, b in text|zip(text) %}{{ a }}{{ b }}{% endfor %}"),
        "Python's zip",
    ),
    (
        "template-fault",
        templated("{{#if text}}{{#each text}}{{@index}}{{this}}{{/each}}{{else}}none{{/if}}"),
        "Handlebars' sections",
    ),
    (
        "chart-by-variable",
        after_model(
            entry("4", "echarts", chart_type="{{#1.topic#}}", chart_title="t", data="1;2", x_axisORcategories="a;b"),
            "text",
        ),
        "a kind of chart that a variable names",
    ),
    ("template-date", templated("{{ text }} of {{ today }}"), "the date, which nobody gives"),
    (
        "answer-fields",
        small(n2={"user": "{{#1.topic#}}"}, n3={"outputs": [["text", ["title", "2"]], ["more", ["body", "2"]]]}),
        "several values asked of one answer",
    ),
    (
        "template-fault",
        after_model(
            entry(
                "4",
                "template-transform",
                variables=[["text", ["text", "2"]]],
                template="{{% if text %}}{{ text | markdown }}{{% endif %}}",
            ),
            "output",
        ),
        "braces doubled once too often",
    ),
]

LEFT: list[tuple[str, Plan]] = [
    ("template-variable", templated("{{ text }} of {{ author }}")),
    ("template-variable", templated("{{ text }} of {{ today.year }}")),
    ("start-variable-type", small(n1={"variables": [["topic", "array[string]"]]})),
    ("reference-node", small(n3={"outputs": [["text", ["text", "9"]]]})),
    ("reference-form", small(n2={"user": "{{#subject#}}"})),
    ("terminal-missing", small() | {"nodes_info": small()["nodes_info"][:2], "edges": [["1", 0, "2"]]}),
    ("cycle", small() | {"edges": [["1", 0, "2"], ["2", 0, "3"], ["2", 0, "2"]]}),
]
