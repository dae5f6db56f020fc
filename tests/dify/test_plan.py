"""Parsing replies into plans."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.dify.plan import parse_plan, plan_schema
from dslkit.dify.plan_forms import PARAMETERS

from .workflow_samples import RICH, SMALL, codes, small

TEXT = json.dumps(SMALL)

WRAPPED = [
    (TEXT, None),
    (f"<node_selection>llm</node_selection><workflow>\n{TEXT}\n</workflow>", None),
    (f"Here it is:\n```json\n{TEXT}\n```\nEnjoy.", "code-fence"),
    (f"Sure: {TEXT}", "prose"),
    (json.dumps({"workflow": SMALL}), "wrapped"),
    (f"<workflow>{TEXT[:-3]}", "cut-off"),
]


@pytest.mark.parametrize(("reply", "code"), WRAPPED)
def test_finds_the_plan_in_a_reply(reply: str, code: str | None) -> None:
    parsed = parse_plan(reply)
    assert parsed.plan is not None
    assert [node.id for node in parsed.plan.nodes_info] == ["1", "2", "3"]
    assert codes(parsed.forgiven) == ([code] if code else [])


def _with(**changes: Any) -> Any:
    return parse_plan(json.dumps(small(**changes)))


PARAMS: list[tuple[dict[str, Any], str, Any, str | None]] = [
    ({"n3": {"outputs": [["text", ["2", "text"]]]}}, "3", {"outputs": [["text", ["text", "2"]]]}, "swapped-reference"),
    ({"n3": {"outputs": [["text", "{{#2.text#}}"]]}}, "3", {"outputs": [["text", ["text", "2"]]]}, "reference-in-text"),
    ({"n3": {"outputs": [["text", "2"]]}}, "3", {"outputs": [["text", ["text", "2"]]]}, "entry-without-name"),
    ({"n3": {"outputs": ["text", ["text", "2"]]}}, "3", {"outputs": [["text", ["text", "2"]]]}, "single-as-list"),
    ({"n3": {"outputs": {"text": ["text", "2"]}}}, "3", {"outputs": [["text", ["text", "2"]]]}, "object-as-list"),
    (
        {"n3": {"outputs": [{"name": "text", "value": {"variable": "text", "node_id": 2}}]}},
        "3",
        {"outputs": [["text", ["text", "2"]]]},
        "entry-object",
    ),
    ({"n3": {"outputs": [["text", ["'text'", '"2"']]]}}, "3", {"outputs": [["text", ["text", "2"]]]}, None),
    ({"n2": {"user": "{{#'1'.topic#}}"}}, "2", {"system": "", "user": "{{#1.topic#}}"}, None),
    ({"n2": {"user": '{{#"1".topic#}}'}}, "2", {"system": "", "user": "{{#1.topic#}}"}, None),
    ({"n2": {"user": "{{#'1.topic#}}"}}, "2", {"system": "", "user": "{{#1.topic#}}"}, None),
    ({"n2": {"user": "{{#topic.1#}}"}}, "2", {"system": "", "user": "{{#1.topic#}}"}, "swapped-reference"),
    ({"n2": {"user": ["topic", "1"]}}, "2", {"system": "", "user": "{{#1.topic#}}"}, "reference-as-text"),
    (
        {"n1": {"variables": [{"name": "topic", "type": "string"}]}},
        "1",
        {"variables": [["topic", "string"]]},
        "entry-object",
    ),
]


@pytest.mark.parametrize(("changes", "node", "param", "code"), PARAMS)
def test_reads_parameters_in_their_own_form(changes: dict[str, Any], node: str, param: Any, code: str | None) -> None:
    """Form is forgiven and named; what the plan format itself allows (quoted ids) needs no forgiveness."""
    parsed = _with(**changes)
    assert parsed.plan is not None
    assert next(n.param for n in parsed.plan.nodes_info if n.id == node) == param
    assert not parsed.findings
    assert code in codes(parsed.forgiven) if code else not parsed.forgiven


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        (["1", "2"], ("1", 0, "2")),
        ([1, 0, 2], ("1", 0, "2")),
        (["1", 0, "2", 0], ("1", 0, "2")),
        ({"source": "1", "target": "2"}, ("1", 0, "2")),
        (["1", "true", "2"], ("1", "true", "2")),
    ],
)
def test_reads_edges(edge: Any, expected: tuple[str, Any, str]) -> None:
    parsed = parse_plan(json.dumps({**SMALL, "edges": [edge]}))
    assert parsed.plan is not None
    assert parsed.plan.edges == [expected]


def test_never_guesses_meaning() -> None:
    """An end output that names nothing readable is a finding at its place, and left as it was."""
    parsed = _with(n3={"outputs": [["text", 7]]})
    assert codes(parsed.findings) == ["plan-param-shape"]
    assert parsed.findings[0].node == "3"
    assert parsed.plan is not None
    assert parsed.plan.nodes_info[2].param == {"outputs": [["text", 7]]}


def test_a_missing_parameter_is_named() -> None:
    plan = small()
    del plan["nodes_info"][2]["param"]["outputs"]
    assert codes(parse_plan(json.dumps(plan)).findings) == ["plan-param-missing"]


def test_fields_beside_param_are_taken_into_it() -> None:
    plan = small()
    plan["nodes_info"][2] = {"id": "3", "type": "End", "outputs": [["text", ["text", "2"]]]}
    parsed = parse_plan(json.dumps(plan))
    assert parsed.plan is not None
    assert parsed.plan.nodes_info[2].param == {"outputs": [["text", ["text", "2"]]]}
    assert codes(parsed.forgiven) == ["type-name", "beside-param"]


@pytest.mark.parametrize("reply", ["", "I cannot.", "[]", "{}", '{"nodes_info": []}', "\x00\x01", '{"nodes_info": 3}'])
def test_without_a_plan_there_is_a_finding(reply: str) -> None:
    parsed = parse_plan(reply)
    assert parsed.plan is None
    assert codes(parsed.findings) == ["plan-unreadable"]


def test_too_many_nodes_are_refused() -> None:
    nodes = [{"id": str(n), "type": "llm", "param": {}} for n in range(5_001)]
    assert parse_plan(json.dumps({"nodes_info": nodes, "edges": []})).plan is None


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(sorted(PARAMETERS)),
)
def test_any_parameters_are_read_or_named(value: Any, type_: str) -> None:
    """Whatever stands where a parameter should be, parsing answers."""
    param = dict.fromkeys((*PARAMETERS[type_].required, *PARAMETERS[type_].optional), value)
    reply = json.dumps({"nodes_info": [{"id": "1", "type": type_, "param": param}], "edges": [value]})
    assert parse_plan(reply).plan is not None


def test_schema_covers_every_node_type() -> None:
    variants = plan_schema()["properties"]["nodes_info"]["items"]["anyOf"]
    types = {variant["properties"]["type"]["const"] for variant in variants}
    assert types == set(PARAMETERS) - {"answer"}
    assert {node["type"] for node in RICH["nodes_info"]} <= types
    assert json.loads(json.dumps(plan_schema("advanced-chat")))
