"""Documents that mean harm, or are merely enormous: an answer within seconds, always findings, never an exception."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.dify.check import check
from dslkit.dify.repair import repair_document
from dslkit.dify.workflow import Workflow

from .workflow_samples import codes, data, edges, rich, small

if TYPE_CHECKING:
    from collections.abc import Callable


def _chain(count: int, *, circular: bool = False) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [
        {
            "id": f"n{n}",
            "type": "custom",
            "data": {"type": "answer", "title": "", "answer": f"{{{{#n{max(n - 1, 0)}.answer#}}}}"},
        }
        for n in range(count)
    ]
    nodes[0]["data"] = {"type": "start", "title": "", "variables": []}
    links = [{"source": f"n{n}", "target": f"n{n + 1}"} for n in range(count - 1)]
    links += [{"source": f"n{count - 1}", "target": "n1"}] if circular else []
    app = {"name": "x", "mode": "advanced-chat"}
    return {"kind": "app", "version": "0.6.0", "app": app, "workflow": {"graph": {"nodes": nodes, "edges": links}}}


def _nested_containers(count: int) -> dict[str, Any]:
    document = _chain(3)
    for n in range(count):
        document["workflow"]["graph"]["nodes"].append(
            {
                "id": f"c{n}",
                "parentId": f"c{n + 1}" if n + 1 < count else "c0",
                "data": {
                    "type": "iteration",
                    "iterator_selector": [f"c{n}", "item"],
                    "output_selector": [f"c{n}", "output"],
                },
            }
        )
    return document


def _deep_data() -> dict[str, Any]:
    document = rich()
    value: Any = "{{#x.y#}}"
    for _ in range(90):
        value = [{"a": value}]
    data(document, "3")["extra"] = value
    return document


def _template(text: str) -> dict[str, Any]:
    document = rich()
    data(document, "7")["template"] = text
    return document


def _code(text: str) -> dict[str, Any]:
    document = rich()
    data(document, "8")["code"] = text
    return document


DOCUMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "5,000 nodes in a row": lambda: _chain(5_000),
    "5,000 nodes in a circle": lambda: _chain(5_000, circular=True),
    "6,000 nodes": lambda: _chain(6_000),
    "containers inside each other in a circle": lambda: _nested_containers(300),
    "deeply nested data": _deep_data,
    "an endless template": lambda: _template("{% for a in range(9999999999) %}{{ a }}{% endfor %}"),
    "a template that computes": lambda: _template(
        "{{ 9 ** 9 ** 9 ** 9 }}{{ 'a' * 9999999999 }}{{ 'a'|center(999999999) }}"
    ),
    "a nested template": lambda: _template("{{ " + "(" * 5_000 + ")" * 5_000 + " }}"),
    "a huge template": lambda: _template("{{ x }}" * 100_000),
    "a template that reaches for os": lambda: _template("{{ cycler.__init__.__globals__.os.popen('id') }}"),
    "a template of open references": lambda: _template("{{#" * 33_000),
    "a template of spaces": lambda: _template("{{ x |" + " " * 90_000 + "markdown }}"),
    "nested code": lambda: _code("x = " + "-" * 50_000 + "1"),
    "code in brackets": lambda: _code("x = " + "(" * 50_000),
    "huge code": lambda: _code("x = 1\n" * 200_000),
    "code with a null byte": lambda: _code("def main():\x00"),
}


@pytest.mark.parametrize("make", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_is_answered_within_seconds(make: Callable[[], dict[str, Any]]) -> None:
    document = make()
    started = time.process_time()
    repair_document(document)
    findings = check(document)
    assert time.process_time() - started < 5
    assert len(findings) < 1_500


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTS if not any(word in name for word in ("in a row", "nested data", "computes"))]
)
def test_is_a_finding(name: str) -> None:
    assert [finding for finding in check(DOCUMENTS[name]()) if finding.severity == "error"]


@pytest.mark.parametrize("document", [None, 3, "text", [], {}, {"app": 1, "workflow": 2}, {"workflow": {"graph": []}}])
def test_what_is_no_document_is_a_finding(document: Any) -> None:
    assert codes(check(document))


_junk: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "1", "text", "{{#1.a#}}", "{{#", "6", "source", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "id", "value", "variable"]), inner)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_any_field_may_hold_anything(draw: st.DataObject) -> None:
    """One to three fields of a good document are replaced by junk; checks and repairs answer all the same."""
    document = rich()
    for _ in range(draw.draw(st.integers(1, 3))):
        owner: Any = document
        for _ in range(draw.draw(st.integers(1, 9))):
            keys = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
            if not keys:
                break
            key = draw.draw(st.sampled_from(keys))
            if not isinstance(owner[key], dict | list):
                break
            last, owner = owner, owner[key]
        target, name = (owner, key) if key in (owner if isinstance(owner, dict) else range(len(owner))) else (last, key)
        target[name] = draw.draw(_junk)
    check(document)
    repair_document(document)
    assert edges(rich())


REPLIES = {
    "10 MB": "<workflow>" + "x" * 10_000_000,
    "an open reference": json.dumps(small(n2={"user": "{{#" + " " * 900_000})),
    "open references": json.dumps(small(n2={"user": "{{#1" * 200_000})),
    "a name of spaces": json.dumps(small(n3={"outputs": [["text", "a" + " " * 500_000]]})),
    "open fences": "```json " * 200_000,
    "open tags": "<workflow>" * 150_000,
    "5,000 nodes": json.dumps(
        {
            "nodes_info": [
                {"id": str(n), "type": "llm", "param": {"user": f"{{{{#{n - 1}.text#}}}}"}} for n in range(5_000)
            ],
            "edges": [[str(n), 0, str(n + 1)] for n in range(4_999)],
        }
    ),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=list(REPLIES))
def test_replies_are_answered_within_seconds(reply: str) -> None:
    started = time.process_time()
    workflow = Workflow.from_reply(reply)
    assert workflow.findings or workflow.document
    assert time.process_time() - started < 5
