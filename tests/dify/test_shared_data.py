"""Real apps and real replies, where the test data is at hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from dslkit.dify.check import check
from dslkit.dify.compile import compile_plan
from dslkit.dify.decompile import decompile
from dslkit.dify.graph import Graph
from dslkit.dify.repair import repair_document
from dslkit.dify.workflow import Workflow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.shared


def _edges(document: object) -> list[tuple[str, str, str]]:
    return sorted((edge.source, edge.handle, edge.target) for edge in Graph(document).edges)  # type: ignore[arg-type]  # any document will do


def test_real_apps_have_no_errors_and_survive(shared: Path) -> None:
    """People exported and shared these: no false alarm, no repair, and back and forth through the plan unchanged."""
    apps = sorted((shared / "data" / "dify-apps").glob("*.yml"))
    assert apps
    for path in apps:
        workflow = Workflow.from_yaml(path.read_bytes())
        assert [f for f in workflow.findings if f.severity == "error"] == [], path.name
        assert repair_document(workflow.document) == (), path.name
        again = compile_plan(decompile(workflow.document), name="again")
        assert _edges(again) == _edges(workflow.document), path.name
        before, after = Graph(workflow.document).nodes, Graph(again).nodes
        assert {i: (n.type, n.parent) for i, n in before.items()} == {i: (n.type, n.parent) for i, n in after.items()}
        assert [f for f in check(again) if f.severity == "error"] == [], path.name


def test_replies_that_need_no_repair_get_none(shared: Path) -> None:
    clean = 0
    for path in sorted((shared / "data" / "chat2workflow" / "replies").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = json.loads(line)["workflow"] or ""
            plain = Workflow.from_reply(text, repair=False)
            if plain.errors or not plain.document:
                continue
            clean += 1
            assert Workflow.from_reply(text).document == plain.document
    assert clean > 250
