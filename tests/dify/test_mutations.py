"""Planted mistakes: a clean workflow, broken in one place; each is found, by its code, at its node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dslkit.dify.check import check

from .workflow_samples import codes, data, edges, node, rich

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]


def _set(id_: str, **fields: Any) -> Callable[[Document], object]:
    return lambda document: data(document, id_).update(fields)


def _drop(id_: str, name: str) -> Callable[[Document], object]:
    return lambda document: data(document, id_).pop(name)


def _add_edge(source: str, target: str, **fields: Any) -> Callable[[Document], object]:
    def mutate(document: Document) -> None:
        edges(document).append(
            {**edges(document)[0], "id": f"{source}-{target}", "source": source, "target": target, **fields}
        )

    return mutate


def _edge(source: str, target: str, /, **fields: Any) -> Callable[[Document], object]:
    def mutate(document: Document) -> None:
        next(e for e in edges(document) if (e["source"], e["target"]) == (source, target)).update(fields)

    return mutate


def _cut(source: str, target: str) -> Callable[[Document], object]:
    def mutate(document: Document) -> None:
        edges(document)[:] = [e for e in edges(document) if (e["source"], e["target"]) != (source, target)]

    return mutate


def _prompt(text: str) -> Callable[[Document], object]:
    return lambda document: data(document, "3")["prompt_template"][-1].update(text=text)


def _variable(index: int, **fields: Any) -> Callable[[Document], object]:
    return lambda document: data(document, "1")["variables"][index].update(fields)


def _condition(case: int, **fields: Any) -> Callable[[Document], object]:
    return lambda document: data(document, "4")["cases"][case]["conditions"][-1].update(fields)


def _top(**fields: Any) -> Callable[[Document], object]:
    return lambda document: document.update(fields)


def _without_nodes(*ids: str) -> Callable[[Document], object]:
    def mutate(document: Document) -> None:
        graph = document["workflow"]["graph"]
        graph["nodes"] = [n for n in graph["nodes"] if n["id"] not in ids]
        graph["edges"] = [e for e in graph["edges"] if e["source"] not in ids and e["target"] not in ids]

    return mutate


def _second(id_: str) -> Callable[[Document], object]:
    return lambda document: document["workflow"]["graph"]["nodes"].append(node(document, id_))


def _chat(document: Document) -> None:
    document["app"]["mode"] = "advanced-chat"


def _unreachable_but_needed(document: Document) -> None:
    _cut("1", "11")(document)


def _outside(document: Document) -> None:
    node(document, "6_2").pop("parentId")
    data(document, "6_2").pop("iteration_id")


MISTAKES: list[tuple[str, str | None, Callable[[Document], object]]] = [
    # the document
    ("document-kind", None, _top(kind="dataset")),
    ("version-not-text", None, _top(version=0.6)),
    ("version-invalid", None, _top(version="latest")),
    ("app-missing", None, _top(app=None)),
    ("app-mode", None, lambda document: document["app"].update(mode="robot")),
    ("graph-missing", None, _top(workflow={})),
    ("graph-nodes", None, lambda document: document["workflow"]["graph"].update(nodes=[])),
    ("dependency-shape", None, _top(dependencies=["langgenius/openai"])),
    ("variable-name", None, lambda d: d["workflow"].update(environment_variables=[{"name": "my key", "value": ""}])),
    # nodes by themselves
    ("node-type", "3", _set("3", type="gpt")),
    ("node-id-twice", "3", _second("3")),
    ("node-id", None, lambda document: node(document, "14").update(id=14)),
    ("node-shape", None, lambda document: node(document, "14").pop("data")),
    ("node-field-missing", "12", _drop("12", "output_type")),
    ("node-field-missing", "13", _drop("13", "tool_name")),
    ("node-field-missing", "3", _drop("3", "context")),
    ("node-field", "10", _set("10", method="fetch")),
    ("start-variable-type", "1", _variable(0, type="image")),
    ("start-variable-options", "1", _variable(0, type="select")),
    ("start-variable-label", "1", _variable(0, label=None)),
    ("start-variable-twice", "1", _variable(1, variable="topic")),
    ("file-types", "1", _variable(3, allowed_file_types=[])),
    ("end-output-twice", "14", lambda document: data(document, "14")["outputs"][1].update(variable="text")),
    ("model-missing", "3", lambda document: data(document, "3")["model"].update(name=None)),
    ("model-mode", "3", lambda document: data(document, "3")["model"].update(mode="voice")),
    ("prompt-empty", "3", _set("3", prompt_template=[])),
    ("case-missing", "4", _set("4", cases=[])),
    ("class-missing", "9", _set("9", classes=[])),
    ("parameter-missing", "5", _set("5", parameters=[])),
    ("parameter-type", "5", lambda document: data(document, "5")["parameters"][0].update(type="list")),
    ("code-output-type", "8", lambda document: data(document, "8")["outputs"]["size"].update(type="int")),
    ("aggregator-empty", "12", _set("12", variables=[])),
    ("operator-unknown", "4", _condition(0, comparison_operator="matches")),
    ("operator-type", "4", _condition(0, comparison_operator="contains")),
    ("operator-type", "4", _condition(0, variable_selector=["3", "usage", "kind"], comparison_operator="=", value="x")),
    ("condition-value", "4", _condition(0, value="many")),
    # edges and containers
    ("edge-to-nowhere", "3", _edge("3", "4", target="44")),
    ("edge-handle", "4", _edge("4", "5", sourceHandle="source")),
    ("edge-handle", "2", _edge("2", "3", sourceHandle="1")),
    ("edge-id-twice", "2", lambda document: edges(document)[1].update(id=edges(document)[0]["id"])),
    ("edge-from-end", "14", _add_edge("14", "15")),
    ("edge-across-border", "6_2", _add_edge("6_2", "7")),
    ("cycle", "2", _add_edge("4", "2", sourceHandle="true")),
    ("container-empty", "6", _without_nodes("6_1", "6_2")),
    ("container-start", "6", _set("6", start_node_id="2")),
    ("parent-missing", "6_2", lambda document: node(document, "6_2").update(parentId="66")),
    ("parent-type", "6_2", lambda document: node(document, "6_2").update(parentId="7")),
    ("iteration-output", "6", _set("6", output_selector=["3", "text"])),
    # where a run goes
    ("start-missing", None, _without_nodes("1")),
    ("start-twice", "s", lambda d: d["workflow"]["graph"]["nodes"].append({**node(d, "1"), "id": "s"})),
    ("terminal-missing", None, _without_nodes("14", "15")),
    ("terminal-mode", "14", _chat),
    ("terminal-unreachable", "14", lambda document: (_cut("1", "2")(document), _cut("1", "11")(document))),
    # references
    ("reference-node", "3", _prompt("{{#33.text#}}")),
    ("reference-output", "3", _prompt("{{#2.content#}}")),
    ("reference-form", "3", _prompt("{{#topic#}}")),
    ("reference-form", "3", _prompt("{{#2-1.text#}}")),
    ("reference-form", "3", _prompt("{{#2." + "x" * 31 + "#}}")),
    ("reference-not-before", "3", _prompt("{{#8.short#}}")),
    ("reference-not-before", "6_2", lambda d: data(d, "6_2")["prompt_template"][-1].update(text="{{#6.output#}}")),
    ("reference-self", "3", _prompt("{{#3.text#}}")),
    ("reference-variable", "3", _prompt("{{#env.KEY#}}")),
    ("reference-chat-only", "3", _prompt("{{#sys.query#}}")),
    ("reference-into-container", "7", lambda d: data(d, "7")["variables"][0].update(value_selector=["6_2", "text"])),
    ("reference-unreachable", "14", _unreachable_but_needed),
    ("reference-shape", "2", _set("2", variable_selector=["1"])),
    ("iterator-type", "6", _set("6", iterator_selector=["3", "text"])),
    ("list-type", "11", _set("11", variable=["1", "topic"])),
    ("document-type", "2", _set("2", variable_selector=["1", "topic"])),
    # templates and code
    ("template-fault", "7", _set("7", template="{% for x in parts %}")),
    ("template-fault", "7", _set("7", template="{{ parts | markdown }}")),
    ("template-fault", "7", _set("7", template="{{ parts.__class__ }}")),
    ("template-fault", "7", _set("7", template="{% for x in range(999999999) %}{% endfor %}")),
    ("template-variable", "7", _set("7", template="{{ author }}")),
    ("template-reference", "7", _set("7", template="{{#3.text#}}")),
    ("code-empty", "8", _set("8", code=" ")),
    ("code-fault", "8", _set("8", code="def main(text):\nreturn {}")),
    ("code-main", "8", _set("8", code="def run(text):\n    return {}")),
    ("code-argument", "8", _set("8", code="def main(words):\n    return {'short': '', 'size': 1}")),
    ("code-returns", "8", _set("8", code="def main(text):\n    return {'short': ''}")),
    # tools
    ("tool-unknown", "13", _set("13", tool_name="md_to_gif")),
]


def test_the_workflow_is_clean_before() -> None:
    assert [finding for finding in check(rich()) if finding.severity == "error"] == []


def test_there_are_enough_of_them() -> None:
    assert len({code for code, _, _ in MISTAKES}) >= 40


@pytest.mark.parametrize(
    ("code", "where", "mutate"), MISTAKES, ids=[f"{c}@{w}-{i}" for i, (c, w, _) in enumerate(MISTAKES)]
)
def test_each_mistake_is_found_at_its_node(code: str, where: str | None, mutate: Callable[[Document], object]) -> None:
    document = rich()
    mutate(document)
    found = [finding for finding in check(document) if finding.code == code]
    assert found, codes(check(document))
    assert where in [finding.node for finding in found]
    assert found[0].severity == "error"
    assert found[0].message
    assert found[0].remedy


WARNINGS: list[tuple[str, str | None, Callable[[Document], object]]] = [
    (
        "node-id-form",
        "a-b",
        lambda document: document["workflow"]["graph"]["nodes"].append({**node(document, "2"), "id": "a-b"}),
    ),
    ("node-unreachable", "11", lambda d: (_cut("1", "11")(d), _set("14", outputs=data(d, "14")["outputs"][:2])(d))),
    ("edge-repeated", "2", lambda document: edges(document).append({**edges(document)[1], "id": "other"})),
    ("edge-into-start", "1", _add_edge("2", "1")),
    ("case-empty", "4", lambda document: data(document, "4")["cases"][1].update(conditions=[])),
    ("secret-in-text", "3", _prompt("Use sk-abcdefghijklmnopqrstuvwxyz")),
    ("version-newer", None, _top(version="9.0.0")),
]


@pytest.mark.parametrize(("code", "where", "mutate"), WARNINGS, ids=[code for code, _, _ in WARNINGS])
def test_what_may_not_be_meant_is_a_warning(code: str, where: str | None, mutate: Callable[[Document], object]) -> None:
    document = rich()
    mutate(document)
    assert [(f.severity, f.node) for f in check(document) if f.code == code] == [("warning", where)]


def test_older_forms_are_notes() -> None:
    document = rich()
    document["version"] = "0.1.5"
    data(document, "12")["type"] = "variable-assigner"
    data(document, "13")["tool_parameters"] = {"md_text": "plain"}
    found = check(document)
    assert {f.code for f in found if f.severity == "note"} >= {"version-older", "node-type-old", "tool-parameter-old"}
    assert not [f for f in found if f.severity == "error"]


def test_the_same_document_gives_the_same_findings() -> None:
    document = rich()
    _prompt("{{#33.text#}} {{#2.content#}}")(document)
    assert check(document) == check(document)
