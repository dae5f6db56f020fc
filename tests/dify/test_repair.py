"""Repairs: what they mend, that they mend it once, and what they leave alone."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

import pytest

from dslkit.dify.check import check
from dslkit.dify.graph import Graph
from dslkit.dify.repair import REPAIRS, repair_document
from dslkit.dify.workflow import Workflow

from .mistakes import ITERATION, LEFT, MENDED, Plan, after_model, entry, iterating, with_nodes
from .workflow_samples import RICH, codes, compiled, data, edges, node, rich, small

if TYPE_CHECKING:
    from dslkit.dify.engine import Engine


@pytest.mark.parametrize(("code", "plan", "_why"), MENDED, ids=[f"{code}: {why}" for code, _, why in MENDED])
def test_a_mistake_is_mended_and_named(code: str, plan: Plan, _why: str) -> None:
    assert compiled(plan).errors
    workflow = compiled(plan, repair=True)
    assert workflow.errors == ()
    assert code in codes(workflow.repairs)


@pytest.mark.parametrize(("code", "plan", "_why"), MENDED, ids=[f"{code}: {why}" for code, _, why in MENDED])
def test_mending_twice_changes_nothing_more(code: str, plan: Plan, _why: str) -> None:
    document = compiled(plan, repair=True).document
    before = copy.deepcopy(document)
    assert repair_document(document) == ()
    assert document == before


@pytest.mark.parametrize(("code", "plan", "_why"), MENDED, ids=[f"{code}: {why}" for code, _, why in MENDED])
def test_no_node_is_dropped_and_no_name_changed(code: str, plan: Plan, _why: str) -> None:
    before, after = compiled(plan), compiled(plan, repair=True)
    assert set(Graph(before.document).nodes) <= set(Graph(after.document).nodes)
    assert before.inputs == after.inputs
    assert before.outputs == after.outputs


def test_a_clean_workflow_is_left_alone() -> None:
    document = rich()
    assert repair_document(document) == ()
    assert document == rich()


@pytest.mark.parametrize(("code", "plan"), LEFT, ids=[code for code, _ in LEFT])
def test_what_has_no_one_reading_stays_a_finding(code: str, plan: Plan) -> None:
    workflow = compiled(plan, repair=True)
    assert code in codes(workflow.errors)
    assert all(error.remedy for error in workflow.errors)


def test_an_edge_is_not_led_where_it_would_make_a_branch_run() -> None:
    """Node 5 runs on one branch only: to wait for what runs always, its branch must wait, not the node itself."""
    plan = with_nodes(
        entry("4", "question-classifier", query_variable_selector=["topic", "1"], classes=["a", "b"]),
        entry("5", "llm", system="", user="{{#6.text#}}"),
        entry("6", "llm", system="", user="{{#1.topic#}}"),
        plan_edges=[["1", 0, "4"], ["1", 0, "6"], ["4", 0, "5"], ["4", 1, "2"], ["5", 0, "3"], ["2", 0, "3"]],
    )
    workflow = compiled(plan, repair=True)
    assert workflow.errors == ()
    added = {(e["source"], e["target"]) for e in edges(workflow.document)} - {(s, t) for s, _, t in plan["edges"]}
    assert added == {("6", "4")}


def test_an_iteration_without_a_start_gets_one() -> None:
    document = compiled(iterating()).document
    graph = document["workflow"]["graph"]
    graph["nodes"] = [n for n in graph["nodes"] if n["id"] != "5_1"]
    graph["edges"] = [e for e in graph["edges"] if e["source"] != "5_1"]
    assert "container-start" in codes(repair_document(document))
    assert not [f for f in check(document) if f.severity == "error"]
    start = node(document, data(document, "5")["start_node_id"])
    assert (start["type"], start["parentId"]) == ("custom-iteration-start", "5")


def test_fields_asked_of_an_entry_are_what_is_taken_out_of_the_text() -> None:
    """Several names that an iteration does not give are fields of its entries; a single one is the entry."""
    asked = {"one": "{{#5-1.part#}}", "several": "{{#5-1.name#}} {{#5-1.size#}}"}
    types, texts = {}, {}
    for count, user in asked.items():
        plan = with_nodes(
            *copy.deepcopy(ITERATION[1:]),
            plan_edges=[["1", 0, "2"], ["2", 0, "5"], ["5-1", 0, "5-2"], ["5", 0, "3"]],
            n5={"iterator_selector": ["text", "2"]},
            n3={"outputs": [["text", ["output", "5"]]]},
        )
        plan["nodes_info"][-1]["param"]["user"] = user
        document = compiled(plan, repair=True).document
        types[count] = data(document, "5_list")["parameters"][0]["type"]
        texts[count] = data(document, "5_2")["prompt_template"][-1]["text"]
    assert types == {"one": "array[string]", "several": "array[object]"}
    assert texts == {"one": "{{#5.item#}}", "several": "{{#5.item.name#}} {{#5.item.size#}}"}


def test_a_model_answers_with_the_fields_asked_for() -> None:
    document = compiled(next(plan for code, plan, _ in MENDED if code == "answer-fields"), repair=True).document
    assert list(data(document, "2")["structured_output"]["schema"]["properties"]) == ["title", "body"]
    assert data(document, "3")["outputs"][0]["value_selector"] == ["2", "structured_output", "title"]


def test_a_model_whose_text_is_used_too_goes_on_answering_in_text() -> None:
    names = [["a", ["title", "2"]], ["b", ["body", "2"]], ["c", ["text", "2"]]]
    document = compiled(small(n3={"outputs": names}), repair=True).document
    assert [entry["value_selector"] for entry in data(document, "3")["outputs"]] == [["2", "text"]] * 3


def test_an_aggregator_joins_each_value_by_itself() -> None:
    document = compiled(next(plan for code, plan, _ in MENDED if code == "aggregator-groups"), repair=True).document
    groups = data(document, "6")["advanced_settings"]["groups"]
    names = ("title", "body")
    assert [group["group_name"] for group in groups] == list(names)
    assert [g["variables"] for g in groups] == [[[id_, "structured_output", name] for id_ in "25"] for name in names]
    assert data(document, "3")["outputs"][1]["value_selector"] == ["6", "body", "output"]


def test_an_aggregator_of_one_value_is_not_taken_for_several() -> None:
    plan = after_model(entry("4", "variable-aggregator", variables=[["text", "2"]]), "title")
    plan["nodes_info"][2]["param"]["outputs"].append(["more", ["body", "4"]])
    assert codes(compiled(plan, repair=True).errors) == ["reference-output", "reference-output"]


def test_the_date_is_made_where_the_template_runs() -> None:
    document = compiled(next(plan for code, plan, _ in MENDED if code == "template-date"), repair=True).document
    assert {("2", "4_today"), ("4_today", "4")} <= {(e["source"], e["target"]) for e in edges(document)}
    assert "strftime" in data(document, "4_today")["code"]


def test_dify_yaml_is_mended_on_request() -> None:
    document = rich()
    document["version"] = 0.6
    data(document, "12").pop("output_type")
    data(document, "13").pop("tool_label")
    data(document, "1")["variables"][0].pop("label")
    text = compiled(RICH).__class__(document, ()).yaml
    assert Workflow.from_yaml(text).errors
    mended = Workflow.from_yaml(text, repair=True)
    assert mended.errors == ()
    assert set(codes(mended.repairs)) == {"version-not-text", "field-default", "start-variable-label"}
    assert mended.document["version"] == "0.6.0"


def test_every_repair_is_of_a_code_that_checks_use() -> None:
    """The catalogue of planted mistakes knows every code that a repair answers."""
    from .test_mutations import MISTAKES

    assert set(REPAIRS) <= {code for code, _, _ in MISTAKES}


def test_repairs_and_forgiveness_are_told_together() -> None:
    reply = json.dumps(small(n3={"outputs": [["text", ["output", "2"]]]}))[:-1] + ",}"
    assert codes(Workflow.from_reply(reply).repairs) == ["trailing-comma", "reference-output"]


def test_a_repaired_chart_is_drawn_by_one_of_three() -> None:
    plan = next(plan for code, plan, _ in MENDED if code == "chart-by-variable")
    document = compiled(plan, repair=True).document
    tools = {n["data"].get("tool_name") for n in document["workflow"]["graph"]["nodes"]} - {None}
    assert tools == {"line_chart", "bar_chart", "pie_chart"}
    assert "categories" in data(document, "4_pie")["tool_parameters"]
    assert data(document, "3")["outputs"][0]["value_selector"] == ["4_joined", "output"]


@pytest.mark.engine
@pytest.mark.parametrize("plan", [RICH, *(plan for _, plan, _ in MENDED)], ids=["rich", *(why for _, _, why in MENDED)])
def test_what_is_clean_runs_on_the_engine(engine: Engine, plan: Plan) -> None:
    """The checks' promise: free of errors means that Dify's own engine runs it to the end."""
    run = engine.run(compiled(plan, repair=True).document)
    assert run.status == "ran", run.findings
