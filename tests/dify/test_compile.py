"""Plans compiled to Dify documents, and back."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.dify.compile import DSL_VERSIONS, compile_plan, dify_ids
from dslkit.dify.decompile import decompile
from dslkit.dify.graph import Graph
from dslkit.dify.plan import Plan
from dslkit.dify.plan_forms import PARAMETERS
from dslkit.dify.workflow import Workflow

from .workflow_samples import RICH, SMALL, codes, compiled, data, edges, node, rich, small


def test_a_good_plan_compiles_without_errors() -> None:
    workflow = compiled(RICH)
    assert workflow.errors == ()
    assert workflow.inputs == ("topic", "count", "brief", "report", "papers")
    assert workflow.outputs == (("text", "file", "first"), ("text",))


def test_the_yaml_is_what_dify_reads() -> None:
    workflow = compiled(RICH)
    assert yaml.safe_load(workflow.yaml) == workflow.document
    assert workflow.document["version"] == "0.6.0"
    assert workflow.document["kind"] == "app"


def test_ids_resolve_in_texts() -> None:
    """A hyphen in an id would never resolve: it becomes an underscore, in references too."""
    document = rich()
    assert node(document, "6_2")["parentId"] == "6"
    assert data(document, "6_2")["prompt_template"][-1]["text"] == "Write {{#6.item#}} for {{#5.year#}}."
    assert data(document, "6")["output_selector"] == ["6_2", "text"]
    assert data(document, "6")["start_node_id"] == "6_1"


def test_handles_follow_ports() -> None:
    found = {(edge["source"], edge["target"]): edge["sourceHandle"] for edge in edges(rich())}
    assert found[("4", "5")] == "true"
    assert found[("4", "8")] == "case_2"
    assert found[("4", "15")] == "false"
    assert found[("9", "10")] == "1"
    assert found[("9", "15")] == "2"
    assert found[("1", "2")] == "source"


def test_a_port_that_does_not_exist_stays_wrong() -> None:
    plan = {**RICH, "edges": [*RICH["edges"], ["4", 7, "15"], ["2", 1, "3"]]}
    assert codes(compiled(plan).errors) == ["edge-handle", "edge-handle"]


def test_types_follow_from_what_is_joined() -> None:
    document = rich()
    assert data(document, "12")["output_type"] == "string"
    assert data(document, "6")["output_type"] == "array[string]"
    assert data(document, "11")["filter_by"]["conditions"] == [
        {"key": "type", "comparison_operator": "in", "value": ["document"]}
    ]
    assert [output["value_type"] for output in data(document, "14")["outputs"]] == ["string", "array[file]", "file"]
    assert data(document, "2")["is_array_file"] is False


def test_files_in_a_prompt_turn_vision_on() -> None:
    plan = small(n1={"variables": [["topic", "file"]]})
    assert data(compiled(plan).document, "2")["vision"]["enabled"] is True
    assert data(compiled(SMALL).document, "2")["vision"] == {"enabled": False}


def test_variables_asked_to_be_there_are_optional() -> None:
    plan = small()
    plan["nodes_info"].append(
        {"id": "4", "type": "if-else", "param": {"cases": [[None, [[["topic", "1"], "exists"]]]]}}
    )
    assert data(compiled(plan).document, "1")["variables"][0]["required"] is False
    assert data(compiled(SMALL).document, "1")["variables"][0]["required"] is True


def test_tools_bring_their_plugins() -> None:
    document = rich()
    assert data(document, "13")["tool_name"] == "md_to_docx"
    assert data(document, "13")["tool_parameters"] == {"md_text": {"type": "mixed", "value": "{{#12.output#}}"}}
    found = [entry["value"]["marketplace_plugin_unique_identifier"].split(":")[0] for entry in document["dependencies"]]
    assert found == ["langgenius/openai", "bowenliang123/md_exporter"]


def test_an_aggregator_groups_where_others_ask_for_its_names() -> None:
    plan = small(n3={"outputs": [["text", ["left.output", "4"]]]})
    plan["nodes_info"].append(
        {
            "id": "4",
            "type": "variable-aggregator",
            "param": {"variables": [["left", ["text", "2"]], ["right", ["topic", "1"]]]},
        }
    )
    plan["edges"] = [["1", 0, "2"], ["2", 0, "4"], ["4", 0, "3"]]
    workflow = compiled(plan)
    assert workflow.errors == ()
    groups = data(workflow.document, "4")["advanced_settings"]["groups"]
    assert [group["group_name"] for group in groups] == ["left", "right"]


def test_chatflows_end_in_answers() -> None:
    plan = small()
    plan["nodes_info"][2] = {"id": "3", "type": "answer", "param": {"answer": "{{#2.text#}}"}}
    workflow = compiled(plan, mode="advanced-chat")
    assert workflow.errors == ()
    assert workflow.document["app"]["mode"] == "advanced-chat"


@pytest.mark.parametrize("version", DSL_VERSIONS)
def test_every_version_offered_is_clean(version: str) -> None:
    workflow = Workflow.from_plan(Plan.model_validate(RICH), dsl_version=version)
    assert workflow.document["version"] == version
    assert workflow.errors == ()


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ValueError, match="dsl_version must be one of"):
        compile_plan(Plan.model_validate(SMALL), name="x", dsl_version="9.9.9")


@given(st.lists(st.text(max_size=60), unique=True, max_size=20))
def test_ids_are_fit_for_references_and_all_different(plan_ids: list[str]) -> None:
    ids = dify_ids(plan_ids)
    assert len(set(ids.values())) == len(plan_ids)
    assert all(id_.isascii() and id_.replace("_", "a").isalnum() and len(id_) <= 50 for id_ in ids.values())


def _boxes(document: dict[str, Any], parent: str | None) -> list[tuple[float, float, float, float]]:
    nodes = [n for n in document["workflow"]["graph"]["nodes"] if n.get("parentId") == parent]
    return [(n["position"]["x"], n["position"]["y"], n["width"], n["height"]) for n in nodes]


@pytest.mark.parametrize("parent", [None, "6"])
def test_no_two_nodes_overlap(parent: str | None) -> None:
    for (x, y, width, height), (a, b, wide, high) in itertools.combinations(_boxes(rich(), parent), 2):
        assert x + width <= a or a + wide <= x or y + height <= b or b + high <= y


def test_edges_lead_to_the_right_and_children_lie_inside() -> None:
    document = rich()
    places = {n["id"]: n["positionAbsolute"]["x"] for n in document["workflow"]["graph"]["nodes"]}
    assert all(places[edge["source"]] < places[edge["target"]] for edge in edges(document))
    owner = node(document, "6")
    for x, y, width, height in _boxes(document, "6"):
        assert 0 <= x <= owner["width"] - width
        assert 0 <= y <= owner["height"] - height


def graph_as_values(document: dict[str, Any]) -> tuple[Any, Any]:
    """Nodes with their data, and edges, as plain values; what only the editor needs left out."""
    graph = Graph(document)
    skipped = ("selected", "width", "height", "desc")
    nodes = {
        id_: (found.parent, {key: value for key, value in found.data.items() if key not in skipped and value})
        for id_, found in graph.nodes.items()
    }
    return nodes, sorted((edge.source, edge.handle, edge.target) for edge in graph.edges)


@pytest.mark.parametrize("plan", [RICH, SMALL])
def test_taking_back_and_compiling_keeps_the_graph(plan: dict[str, Any]) -> None:
    document = compiled(plan).document
    assert graph_as_values(compile_plan(decompile(document), name="again")) == graph_as_values(document)


def test_the_short_form_is_short() -> None:
    """What compiling makes by itself is not in the plan."""
    taken_back = decompile(rich())
    assert [found.dify for found in taken_back.nodes_info if found.type in ("llm", "code", "if-else", "iteration")] == [
        {}
    ] * 5
    assert taken_back.dependencies == []


def test_what_the_short_form_has_no_words_for_is_kept() -> None:
    document = rich()
    data(document, "3")["retry_config"] = {"retry_enabled": True, "max_retries": 2, "retry_interval": 10}
    data(document, "2")["error_strategy"] = "fail-branch"
    document["workflow"]["graph"]["nodes"].append({"id": "note", "type": "custom-note", "data": {"text": "hello"}})
    edges(document).append(
        {**edges(document)[0], "id": "e", "source": "2", "target": "15", "sourceHandle": "fail-branch"}
    )
    again = compile_plan(decompile(document), name="again")
    assert graph_as_values(again) == graph_as_values(document)
    assert again["workflow"]["graph"]["nodes"][-1]["id"] == "note"


def test_nothing_to_take_back_is_said() -> None:
    with pytest.raises(ValueError, match="no graph"):
        Workflow.from_yaml("kind: app").plan()


_words = st.text("abc .#{}[]'-_1", max_size=8)
_param = st.recursive(
    _words | st.integers(-2, 9) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=6,
)
_nodes = st.builds(
    dict,
    id=st.sampled_from(["1", "2", "2-1", "2-2", "3", "a b"]),
    type=st.sampled_from([*PARAMETERS, "agent", "nonsense"]),
    param=st.dictionaries(
        st.sampled_from(sorted({n for p in PARAMETERS.values() for n in p.required})), _param, max_size=4
    ),
)
_edges = st.tuples(
    st.sampled_from(["1", "2", "2-1", "3", "x"]), st.integers(-1, 3) | _words, st.sampled_from(["1", "2", "2-2"])
)


@settings(deadline=None, max_examples=200)
@given(nodes=st.lists(_nodes, min_size=1, max_size=6), plan_edges=st.lists(_edges, max_size=8), repair=st.booleans())
def test_any_plan_compiles_is_checked_and_mended(nodes: list[Any], plan_edges: list[Any], *, repair: bool) -> None:
    """Nonsense gives findings, never an exception; what is left can be written and read again."""
    workflow = compiled({"nodes_info": nodes, "edges": plan_edges}, repair=repair)
    assert yaml.safe_load(workflow.yaml) == workflow.document
    if workflow.document["workflow"]["graph"]["nodes"]:
        compile_plan(workflow.plan(), name="again")
