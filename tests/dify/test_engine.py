"""Dry runs on Dify's engine: what counts as ran, what as failed, and who is blamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.dify.engine_documents import MODEL, code, document, end, if_else, llm, node, rendering, start, template

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.dify.engine import Engine
    from dslkit.records import EngineRun

pytestmark = pytest.mark.engine

ITERATION = {"start_node_id": "begin", "output_type": "array[string]", "iterator_selector": ["code", "things"]}


def errors(run: EngineRun) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.node) for finding in run.findings if finding.severity == "error"]


def one_node(middle: dict[str, Any], *outputs: str, **variables: str) -> dict[str, Any]:
    """start -> middle -> end, with the end reading ``outputs`` of the middle node."""
    wanted = {name.strip("_"): f"{middle['id']}.{name}" for name in outputs}
    nodes = [start(*[("x", "text-input"), *variables.items()]), middle, end(**wanted)]
    return document(nodes, f"start->{middle['id']} {middle['id']}->end")


def test_a_sound_workflow_ran(engine: Engine) -> None:
    run = engine.run(one_node(llm(), "text"))
    assert (run.status, run.findings) == ("ran", ())
    assert run.nodes_run == ("start", "llm", "end")
    assert run.outputs == ({"text": "A sample answer."},)
    assert run.seconds > 0


def test_yaml_is_taken_as_well(engine: Engine) -> None:
    assert engine.run(yaml.safe_dump(one_node(llm(), "text"))).status == "ran"


SCHEMA = {
    "schema": {
        "type": "object",
        "properties": {"score": {"type": "number"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}},
        "required": ["score", "tags"],
    }
}
PARAMETERS = [
    {"name": "city", "type": "string", "description": "", "required": True},
    {"name": "unit", "type": "select", "options": ["C", "F"], "description": "", "required": True},
    {"name": "days", "type": "array[number]", "description": "", "required": True},
    {"name": "loud", "type": "bool", "description": "", "required": False},
]
TOOL = {
    "provider_id": "p", "provider_type": "builtin", "provider_name": "p", "tool_name": "t", "tool_label": "t",
    "tool_configurations": {}, "tool_node_version": "2",
    "tool_parameters": {"query": {"type": "mixed", "value": "about {{#start.x#}}"}},
}  # fmt: skip
HTTP = {
    "method": "post", "url": "https://example.com/{{#start.x#}}", "authorization": {"type": "no-auth"},
    "headers": "a: b", "params": "",
    "body": {"type": "json", "data": [{"type": "text", "key": "", "value": '{"q": "{{#start.x#}}"}'}]},
}  # fmt: skip
AGENT = {
    "agent_strategy_provider_name": "a", "agent_strategy_name": "b", "agent_strategy_label": "c",
    "agent_parameters": {"query": {"type": "variable", "value": ["start", "x"]}},
}  # fmt: skip
LIST = {"filter_by": {"enabled": False}, "order_by": {"enabled": False}, "limit": {"enabled": True, "size": 1}}

STUBBED = {
    "llm with structured output": (
        llm(structured_output_enabled=True, structured_output=SCHEMA),
        {"structured_output": {"score": 1, "tags": ["a", "a"]}},
    ),
    "parameter-extractor": (
        node(
            "pe",
            "parameter-extractor",
            model=MODEL,
            query=["start", "x"],
            parameters=PARAMETERS,
            reasoning_mode="prompt",
        ),
        {"city": "sample text", "unit": "C", "days": [1, 1], "loud": True, "__is_success": 1},
    ),
    "tool": (node("tool", "tool", **TOOL), {"text": "sample text"}),
    "http-request": (node("http", "http-request", **HTTP), {"status_code": 200, "body": '{"sample": "sample text"}'}),
    "code": (
        code(a="string", b="number", c="object", d="array[string]", e="array[object]", f="boolean"),
        {"a": "sample text", "b": 1, "c": {"sample": "sample text"}, "d": ["sample text"] * 2, "f": True},
    ),
    "agent": (node("agent", "agent", **AGENT), {"text": "sample text"}),
    "older aggregator": (
        node("agg", "variable-assigner", output_type="string", variables=[["start", "x"]]),
        {"output": "sample text"},
    ),
}


@pytest.mark.parametrize("name", STUBBED)
def test_stubs_answer_in_the_declared_types(engine: Engine, name: str) -> None:
    middle, expected = STUBBED[name]
    run = engine.run(one_node(middle, *expected))
    assert run.status == "ran", run.findings
    assert run.outputs[0] == {key.strip("_"): value for key, value in expected.items()}


FILES = {
    "document-extractor on a file": (
        ("f", "file"),
        node("doc", "document-extractor", variable_selector=["start", "f"]),
        "text",
        "sample text",
    ),
    "document-extractor on files": (
        ("f", "file-list"),
        node("doc", "document-extractor", variable_selector=["start", "f"]),
        "text",
        ["sample text", "sample text"],
    ),
    "list-operator": (
        ("f", "file-list"),
        node("list", "list-operator", variable=["start", "f"], **LIST),
        "first_record",
        "sample.pdf",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_start_files_are_invented(engine: Engine, name: str) -> None:
    (variable, kind), middle, output, expected = FILES[name]
    run = engine.run(one_node(middle, output, **{variable: kind}))
    assert run.status == "ran", run.findings
    assert run.outputs[0][output] == expected


def test_knowledge_feeds_a_model(engine: Engine) -> None:
    retrieval = node(
        "kb",
        "knowledge-retrieval",
        query_variable_selector=["start", "x"],
        dataset_ids=["d"],
        retrieval_mode="multiple",
    )
    answer = llm(prompt="{{#context#}}", context={"enabled": True, "variable_selector": ["kb", "result"]})
    run = engine.run(
        document([start(("x", "text-input")), retrieval, answer, end(a="llm.text")], "start->kb kb->llm llm->end")
    )
    assert run.status == "ran", run.findings


def test_every_branch_is_visited(engine: Engine) -> None:
    """Nine branches behind one another need only as many runs as the widest fork, plus those behind one branch."""
    nodes = [
        start(("x", "text-input")),
        if_else("if", "one", "two"),
        if_else("deep", "yes"),
        *(end(name, o="start.x") for name in ("e1", "e2", "e3", "e4")),
    ]
    edges = "start->if if:one->e1 if:two->e2 if:false->deep deep:yes->e3 deep:false->e4"
    run = engine.run(document(nodes, edges))
    assert run.status == "ran", run.findings
    assert set(run.nodes_run) == {"start", "if", "deep", "e1", "e2", "e3", "e4"}
    assert len(run.outputs) == 4


def test_classes_of_a_classifier_are_chosen_in_turn(engine: Engine) -> None:
    classes = [{"id": "1", "name": "praise"}, {"id": "2", "name": "complaint"}]
    classifier = node("qc", "question-classifier", query_variable_selector=["start", "x"], model=MODEL, classes=classes)
    nodes = [start(("x", "text-input")), classifier, end("e1", c="qc.class_name"), end("e2", c="qc.class_name")]
    run = engine.run(document(nodes, "start->qc qc:1->e1 qc:2->e2"))
    assert run.status == "ran", run.findings
    assert [output["c"] for output in run.outputs] == ["praise", "complaint"]


def test_the_fail_branch_is_tried(engine: Engine) -> None:
    http = node("http", "http-request", error_strategy="fail-branch", **HTTP)
    nodes = [start(("x", "text-input")), http, end("good", b="http.body"), end("bad", e="http.error_message")]
    run = engine.run(document(nodes, "start->http http->good http:fail-branch->bad"))
    assert (run.status, run.findings) == ("ran", ())
    assert {"good", "bad"} <= set(run.nodes_run)


def test_human_input_and_its_timeout(engine: Engine) -> None:
    ask = node(
        "ask", "human-input", user_actions=[{"id": "ok", "title": "OK"}], inputs=[{"output_variable_name": "why"}]
    )
    nodes = [start(("x", "text-input")), ask, end("e1", w="ask.why"), end("e2")]
    run = engine.run(document(nodes, "start->ask ask:ok->e1 ask:__timeout->e2"))
    assert run.status == "ran", run.findings
    assert run.outputs == ({"w": "sample text"}, {})


@pytest.mark.parametrize("edges", ["start->slow start->llm", "start->llm start->slow"])
def test_reading_a_parallel_branch_is_never_a_matter_of_luck(engine: Engine, edges: str) -> None:
    """The model does not wait for the code whose output it reads, whichever is drawn first."""
    nodes = [start(("x", "text-input")), code("slow", text="string"), llm(prompt="{{#slow.text#}}"), end(a="llm.text")]
    run = engine.run(document(nodes, f"{edges} llm->end"))
    assert errors(run) == [("engine-run-failed", "llm")]


def test_a_join_waits_for_its_parallel_branches(engine: Engine) -> None:
    nodes = [start(("x", "text-input")), code("a", text="string"), code("b", text="string")]
    nodes += [llm(prompt="{{#a.text#}} {{#b.text#}}"), end(a="llm.text")]
    run = engine.run(document(nodes, "start->a start->b a->llm b->llm llm->end"))
    assert run.status == "ran", run.findings
    assert len(run.outputs) == 2


def iteration(child: dict[str, Any], **data: Any) -> dict[str, Any]:
    nodes = [
        start(("x", "text-input")),
        code(things="array[string]", number="number"),
        node("loop", "iteration", **{**ITERATION, "output_selector": [child["id"], "output"], **data}),
        node("begin", "iteration-start", inside="loop"),
        child,
        end(all="loop.output"),
    ]
    return document(nodes, f"start->code code->loop loop->end begin->{child['id']}")


def test_iterations_run_over_two_items(engine: Engine) -> None:
    run = engine.run(iteration(template("t", "{{ i }}: {{ item }}", inside="loop", i="loop.index", item="loop.item")))
    assert run.status == "ran", run.findings
    assert run.outputs[0]["all"] == ["0: sample text", "1: sample text"]


def test_branches_inside_an_iteration_are_visited(engine: Engine) -> None:
    fork = {**if_else("fork", "yes", variable="loop.item"), "parentId": "loop"}
    built = iteration(fork, output_selector=["join", "output"])
    join = node(
        "join", "variable-aggregator", inside="loop", output_type="string", variables=[["a", "output"], ["b", "output"]]
    )
    graph = built["workflow"]["graph"]
    graph["nodes"] += [template("a", "A", inside="loop"), template("b", "B", inside="loop"), join]
    more = document([], "fork:yes->a fork:false->b a->join b->join")["workflow"]["graph"]["edges"]
    graph["edges"] += more
    run = engine.run(built)
    assert run.status == "ran", run.findings
    assert run.outputs[0]["all"] == ["A", "B"]


def test_loops_are_bounded(engine: Engine) -> None:
    nodes = [
        start(("x", "text-input")),
        node("loop", "loop", start_node_id="begin", loop_count=100, break_conditions=[], logical_operator="and",
             loop_variables=[{"label": "n", "var_type": "number", "value_type": "constant", "value": 0}]),
        node("begin", "loop-start", inside="loop"),
        node("count", "assigner", inside="loop", version="2", items=[{"variable_selector": ["loop", "n"],
             "input_type": "constant", "operation": "+=", "value": 1, "write_mode": "over-write"}]),
        end(n="loop.n"),
    ]  # fmt: skip
    run = engine.run(document(nodes, "start->loop loop->end begin->count"))
    assert run.status == "ran", run.findings
    assert run.outputs == ({"n": 2},)


def test_a_chatflow_answers(engine: Engine) -> None:
    nodes = [
        node("start", "start", variables=[]),
        llm(
            prompt="{{#sys.query#}} {{#conversation.topic#}} {{#env.KEY#}}",
            memory={"window": {"enabled": False, "size": 5}},
        ),
        node("answer", "answer", answer="{{#llm.text#}}"),
    ]
    variables = {
        "conversation_variables": [{"name": "topic", "value_type": "array[string]", "value": []}],
        "environment_variables": [{"name": "KEY", "value_type": "secret", "value": ""}],
    }
    run = engine.run(document(nodes, "start->llm llm->answer", mode="advanced-chat", **variables))
    assert run.status == "ran", run.findings
    assert run.outputs[0]["answer"] == "A sample answer."


def test_triggers_are_roots(engine: Engine) -> None:
    hook = node("hook", "trigger-webhook", body=[{"name": "mail", "type": "string"}])
    nodes = [hook, node("daily", "trigger-schedule"), template("t", "{{ m }}", m="hook.mail"), end(o="t.output")]
    run = engine.run(document(nodes, "hook->t daily->t t->end"))
    assert run.status == "ran", run.findings
    assert [output["o"] for output in run.outputs] == ["sample text", "None"]


def broken(nodes: list[dict[str, Any]], edges: str, **workflow: Any) -> dict[str, Any]:
    return document([start(("x", "text-input")), *nodes], edges, **workflow)


NOWHERE = {"type": "variable", "value": ["nobody", "x"]}
INSIDE = template("t", "a", inside="loop")

FAULTS = {
    "prompt refers to nothing": (one_node(llm(prompt="{{#nobody.text#}}"), "text"), "engine-run-failed", "llm"),
    "undefined name in a template": (rendering("{{ missing }}"), "engine-run-failed", "template"),
    "unknown filter": (rendering("{{ x | nonsense }}"), "engine-run-failed", "template"),
    "template of Dify references": (rendering("{{#start.x#}}"), "engine-run-failed", "template"),
    "iteration over a number": (
        iteration(template("t", "a", inside="loop"), iterator_selector=["code", "number"]),
        "engine-run-failed",
        "loop",
    ),
    "fault inside an iteration": (iteration(template("t", "{{ no }}", inside="loop")), "engine-run-failed", "t"),
    "document-extractor on a text": (
        one_node(node("doc", "document-extractor", variable_selector=["start", "x"]), "text"),
        "engine-run-failed",
        "doc",
    ),
    "address without a scheme": (
        one_node(node("http", "http-request", **{**HTTP, "url": "example.com"}), "body"),
        "engine-run-failed",
        "http",
    ),
    "agent bound to nothing": (
        one_node(node("agent", "agent", **{**AGENT, "agent_parameters": {"q": NOWHERE}})),
        "engine-run-failed",
        "agent",
    ),
    "only the second branch is broken": (
        broken(
            [if_else("if", "yes"), end("fine", o="start.x"), template("bad", "{{ no }}"), end()],
            "start->if if:yes->fine if:false->bad bad->end",
        ),
        "engine-run-failed",
        "bad",
    ),
    "a branch that leads to no end": (
        broken([if_else("if", "yes"), end(), llm("last")], "start->if if:yes->end if:false->last"),
        "engine-no-output",
        "last",
    ),
    "missing field": (broken([node("llm", "llm"), end()], "start->llm llm->end"), "engine-load-failed", "llm"),
    "unknown node type": (broken([node("n", "teleport"), end()], "start->n n->end"), "engine-load-failed", "n"),
    "edge to nowhere": (broken([end()], "start->end start->nowhere"), "engine-load-failed", "start"),
    "a cycle": (broken([llm("a"), llm("b"), end()], "start->a a->b b->a b->end"), "engine-load-failed", "a"),
    "edge across a container's border": (
        broken(iteration(INSIDE)["workflow"]["graph"]["nodes"][1:], "start->code code->t t->end"),
        "engine-load-failed",
        "code",
    ),
    "no start": (document([end()], ""), "engine-load-failed", None),
    "two starts": (broken([node("second", "start", variables=[]), end()], "start->end"), "engine-load-failed", None),
    "wrong output type of code": (one_node(code(a="text")), "engine-load-failed", "code"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults_fail_and_name_their_node(engine: Engine, name: str) -> None:
    faulty, expected_code, expected_node = FAULTS[name]
    run = engine.run(faulty)
    assert run.status == "failed"
    assert errors(run)[0] == (expected_code, expected_node)
    assert all(finding.remedy for finding in run.findings)


def test_all_invalid_nodes_are_named_at_once(engine: Engine) -> None:
    run = engine.run(broken([node("a", "llm"), node("b", "code"), end()], "start->a a->b b->end"))
    assert errors(run) == [("engine-load-failed", "a"), ("engine-load-failed", "b")]


def test_fields_of_invented_objects_need_not_exist(engine: Engine) -> None:
    body = "{{ t.name | upper }} {{ t.price * 2 }} {{ t.a.b | round(1) }}{% if t.n > 3 %}!{% endif %}"
    run = engine.run(rendering("{% for t in things %}" + body + "{% endfor %}"))
    assert run.status == "ran", run.findings


def test_values_of_invented_objects_may_be_numbers(engine: Engine) -> None:
    body = "{% for k, v in t.items() %}{{ '%.2f' | format(v) }} {{ v | round }} {{ v - 1 }} {{ v | upper }}{% endfor %}"
    run = engine.run(rendering("{% for t in things %}" + body + "{{ t.values() | sum }}{% endfor %}"))
    assert run.status == "ran", run.findings


def test_references_into_invented_objects_resolve(engine: Engine) -> None:
    """Fields of an object of no declared shape, also as something to iterate over."""
    child = template("t", "{{ i }}", inside="loop", i="loop.item")
    built = iteration(child, iterator_selector=["data", "record", "names"])
    graph = built["workflow"]["graph"]
    graph["nodes"] += [code("data", record="object"), llm(prompt="{{#data.record.author.name#}}")]
    graph["edges"] += document([], "start->data data->llm llm->loop")["workflow"]["graph"]["edges"]
    run = engine.run(built)
    assert run.status == "ran", run.findings
    assert run.outputs[0]["all"] == ["sample text", "sample text"]


def test_references_into_objects_of_a_known_shape_must_be_there(engine: Engine) -> None:
    known = llm("first", structured_output_enabled=True, structured_output=SCHEMA)
    nodes = [start(("x", "text-input")), known, llm(prompt="{{#first.structured_output.grade#}}"), end()]
    assert errors(engine.run(document(nodes, "start->first first->llm llm->end"))) == [("engine-run-failed", "llm")]


def test_an_address_known_only_at_run_time_is_made_up(engine: Engine) -> None:
    assert (
        engine.run(one_node(node("http", "http-request", **{**HTTP, "url": "{{#start.x#}}"}), "body")).status == "ran"
    )


def test_a_handled_failure_is_a_warning(engine: Engine) -> None:
    faulty = template("t", "{{ no }}")
    faulty["data"] |= {
        "error_strategy": "default-value",
        "default_value": [{"key": "output", "type": "string", "value": "?"}],
    }
    run = engine.run(one_node(faulty, "output"))
    assert run.status == "ran"
    assert [(finding.code, finding.severity, finding.node) for finding in run.findings] == [
        ("engine-node-failed", "warning", "t")
    ]


@pytest.mark.parametrize("mode", ["chat", "agent-chat", "completion"])
def test_an_app_without_a_graph_is_not_run(engine: Engine, mode: str) -> None:
    run = engine.run({"kind": "app", "version": "0.6.0", "app": {"mode": mode}, "model_config": {}})
    assert (run.status, run.findings[0].code, run.findings[0].severity) == ("not run", "engine-no-graph", "note")


OLD_TOOL = {**TOOL, "tool_configurations": {"unset": None, "kept": 1}}


def test_older_forms_are_lifted_and_said(engine: Engine) -> None:
    """Null tool settings, an iteration without a start node, a document without a kind: notes, not errors."""
    built = iteration(template("t", "a", inside="loop"), start_node_id="t")
    graph = built["workflow"]["graph"]
    graph["nodes"] = [each for each in graph["nodes"] if each["id"] != "begin"] + [node("tool", "tool", **OLD_TOOL)]
    graph["edges"] = document([], "start->code code->loop loop->tool tool->end")["workflow"]["graph"]["edges"]
    del built["kind"]
    run = engine.run(built)
    assert run.status == "ran", run.findings
    assert [(finding.code, finding.severity) for finding in run.findings] == [("engine-old-form", "note")] * 3


@pytest.mark.shared
def test_real_apps_run(engine: Engine, shared: Path) -> None:
    apps = sorted((shared / "data" / "dify-apps").glob("*.yml"))
    runs = {path.name: engine.run(path.read_text(encoding="utf-8")) for path in apps}
    assert len(runs) > 20
    assert {name: run.findings for name, run in runs.items() if run.status != "ran"} == {}
