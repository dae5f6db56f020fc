"""What a reviewer is told about two workflows, and what is no difference to them."""

from __future__ import annotations

import copy
import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from dslkit.dify.diff import NOTHING, Change, diff, render
from tests.dify.engine_documents import MODEL, code, document, end, if_else, llm, node, start, template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def summary(**more: Any) -> dict[str, Any]:
    """start -> write -> check -> one of two ends."""
    nodes = [
        start(("topic", "text-input")),
        llm("write", "Write about {{#start.topic#}}."),
        if_else("check", "ok", variable="write.text"),
        template("tidy", "{{ text }}", text="write.text"),
        end("done", out="tidy.output"),
        end("bad"),
    ]
    edges = "start->write write->check check:ok->tidy tidy->done check:false->bad"
    return document(nodes, edges, **more)


def data_of(built: dict[str, Any], id_: str) -> dict[str, Any]:
    found = next(each for each in built["workflow"]["graph"]["nodes"] if each["id"] == id_)
    data: dict[str, Any] = found["data"]
    return data


def edges_of(built: dict[str, Any]) -> list[dict[str, Any]]:
    edges: list[dict[str, Any]] = built["workflow"]["graph"]["edges"]
    return edges


def changed(change: Callable[[dict[str, Any]], object]) -> list[Change]:
    """The differences that one change of the summary workflow makes."""
    old, new = summary(), summary()
    change(new)
    return list(diff(old, new))


def renumber(built: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The same workflow under other ids."""
    text = yaml.safe_dump(built, allow_unicode=True)
    loaded: dict[str, Any] = yaml.safe_load(text)
    graph = loaded["workflow"]["graph"]
    for each in graph["nodes"]:
        each["id"] = names.get(each["id"], each["id"])
    for each in graph["edges"]:
        each["source"], each["target"] = (names.get(each[end_], each[end_]) for end_ in ("source", "target"))

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(each) for key, each in value.items()}
        if isinstance(value, list):
            if value and isinstance(value[0], str) and value[0] in names:
                return [names[value[0]], *value[1:]]
            return [walk(each) for each in value]
        for before, after in names.items():
            value = value.replace("{{#" + before + ".", "{{#" + after + ".") if isinstance(value, str) else value
        return value

    for each in graph["nodes"]:
        each["data"] = walk(each["data"])
    return loaded


def test_equal_workflows_do_not_differ() -> None:
    assert diff(summary(), summary()) == ()
    assert render(()) == NOTHING


def test_places_sizes_and_ids_of_edges_are_no_difference() -> None:
    new = summary()
    for number, each in enumerate(new["workflow"]["graph"]["nodes"]):
        each |= {"position": {"x": number, "y": 1}, "width": 5, "selected": True}
        each["data"]["selected"] = True
    for number, each in enumerate(edges_of(new)):
        each |= {"id": f"other-{number}", "zIndex": 7}
    edges_of(new).reverse()
    new["workflow"]["graph"]["viewport"] = {"zoom": 3}
    assert diff(summary(), new) == ()


def test_renumbering_is_no_difference() -> None:
    """Every id is another, two of them are swapped among nodes of one type, and every reference follows."""
    names = {"start": "1", "write": "2", "check": "3", "tidy": "4", "done": "bad", "bad": "done"}
    new = renumber(summary(), names)
    data_of(new, "bad")["title"], data_of(new, "done")["title"] = "done", "bad"
    assert diff(summary(), new) == ()


def insert(built: dict[str, Any]) -> None:
    built["workflow"]["graph"]["nodes"].append(llm("translate", "Translate {{#tidy.output#}}."))
    edges_of(built)[:] = [each for each in edges_of(built) if each["id"] != "tidy->done"]
    edges_of(built).extend(document([], "tidy->translate translate->done")["workflow"]["graph"]["edges"])


def remove(built: dict[str, Any]) -> None:
    graph = built["workflow"]["graph"]
    graph["nodes"] = [each for each in graph["nodes"] if each["id"] != "tidy"]
    graph["edges"] = [each for each in graph["edges"] if "tidy" not in each["id"]]
    graph["edges"] += document([], "check:ok->done")["workflow"]["graph"]["edges"]


CASES: dict[str, tuple[Callable[[dict[str, Any]], object], list[dict[str, Any]]]] = {
    "a node inserted": (
        insert,
        [
            {
                "area": "nodes",
                "kind": "added",
                "subject": "translate (llm)",
                "after": "after tidy; before done",
                "node": "translate",
            },
            {"area": "edges", "kind": "removed", "subject": "tidy → done"},
        ],
    ),
    "a node removed": (
        remove,
        [
            {
                "area": "nodes",
                "kind": "removed",
                "subject": "tidy (template-transform)",
                "before": "after check; before done",
                "node": "tidy",
            },
            {"area": "edges", "kind": "added", "subject": "check [IF] → done"},
        ],
    ),
    "another model": (
        lambda built: data_of(built, "write")["model"].update(name="gpt-4o"),
        [{"subject": "write (llm)", "field": "model.name", "before": "gpt-4o-mini", "after": "gpt-4o"}],
    ),
    "another prompt": (
        lambda built: data_of(built, "write")["prompt_template"][0].update(text="Sing of {{#start.topic#}}."),
        [{"field": "prompt_template[user].text", "after": "Sing of {{#start.topic#}}."}],
    ),
    "a second prompt message": (
        lambda built: data_of(built, "write")["prompt_template"].insert(0, {"role": "system", "text": "Be brief."}),
        [{"field": "prompt_template[system]", "before": None, "after": '{"role": "system", "text": "Be brief."}'}],
    ),
    "another reference": (
        lambda built: data_of(built, "done")["outputs"][0].update(value_selector=["write", "text"]),
        [{"field": "outputs[out].value_selector", "before": "tidy.output", "after": "write.text"}],
    ),
    "a renamed node": (
        lambda built: data_of(built, "tidy").update(title="clean"),
        [
            {
                "subject": "clean (template-transform)",
                "field": "title",
                "before": "tidy",
                "after": "clean",
                "node": "tidy",
            }
        ],
    ),
    "a start variable more": (
        lambda built: data_of(built, "start")["variables"].append({"variable": "tone", "type": "select"}),
        [{"field": "variables[tone]", "after": '{"variable": "tone", "type": "select"}'}],
    ),
    "cases in another order": (
        lambda built: data_of(built, "start").update(variables=[]),
        [{"field": "variables[topic]", "after": None}],
    ),
    "another branch": (
        lambda built: edges_of(built)[-1].update(target="tidy"),
        [
            {"area": "edges", "kind": "removed", "subject": "check [ELSE] → bad"},
            {"area": "edges", "kind": "added", "subject": "check [ELSE] → tidy"},
        ],
    ),
    "another name and version": (
        lambda built: built.update(app={**built["app"], "name": "new"}, version="0.5.0"),
        [{"area": "app", "field": "name", "before": "test", "after": "new"}, {"area": "app", "field": "version"}],
    ),
    "a conversation variable": (
        lambda built: built["workflow"].update(
            conversation_variables=[{"name": "memory", "value_type": "array[string]"}]
        ),
        [{"area": "variables", "kind": "added", "subject": "conversation variable memory", "after": "array[string]"}],
    ),
    "a feature": (
        lambda built: built["workflow"].update(features={"file_upload": {"enabled": True}}),
        [{"area": "features", "field": "file_upload", "after": '{"enabled": true}'}],
    ),
    "a dependency": (
        lambda built: built.update(dependencies=[{"type": "marketplace", "value": {"plugin": "a/b:1"}}]),
        [{"area": "dependencies", "kind": "added", "subject": '{"plugin": "a/b:1"}'}],
    ),
    "into a container": (
        lambda built: built["workflow"]["graph"]["nodes"][3].update(parentId="check"),
        [{"subject": "tidy (template-transform)", "field": "container", "before": None, "after": "check"}],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_differences_are_told_as_a_reviewer_thinks(name: str) -> None:
    change, expected = CASES[name]
    found = changed(change)
    assert [{key: getattr(each, key) for key in want} for each, want in zip(found, expected, strict=True)] == expected


def test_there_and_back_swaps_added_and_removed() -> None:
    new = summary()
    insert(new)
    there, back = diff(summary(), new), diff(new, summary())
    swap = {"added": "removed", "removed": "added", "changed": "changed"}
    assert sorted((each.area, each.subject) for each in there) == sorted((each.area, each.subject) for each in back)
    assert sorted(swap[each.kind] for each in there) == sorted(each.kind for each in back)


def test_an_inserted_node_that_shifts_all_numbers_is_one_addition() -> None:
    """A model writes the plan again and counts from 1; only the new node is news."""
    old = renumber(summary(), {"start": "1", "write": "2", "check": "3", "tidy": "4", "done": "5", "bad": "6"})
    new = summary()
    new["workflow"]["graph"]["nodes"].insert(1, code("fetch", page="string"))
    edges_of(new)[0]["target"] = "fetch"
    edges_of(new).insert(1, document([], "fetch->write")["workflow"]["graph"]["edges"][0])
    names = {"start": "1", "fetch": "2", "write": "3", "check": "4", "tidy": "5", "done": "6", "bad": "7"}
    found = diff(old, renumber(new, names))
    assert [(each.area, each.kind, each.subject) for each in found] == [
        ("nodes", "added", "fetch (code)"),
        ("edges", "removed", "start → write"),
    ]


def test_a_reference_to_another_node_of_the_same_id_is_a_difference() -> None:
    """Node 2 was the writer and is now something new; who still reads node 2 reads something else."""
    old = document([start(), llm("2", "a"), end(out="2.text")], "start->2 2->end")
    new = document([start(), code("2", text="string"), end(out="2.text")], "start->2 2->end")
    fields = [each.field for each in diff(old, new) if each.kind == "changed"]
    assert fields == ["outputs[out].value_selector"]


def test_the_text_is_readable() -> None:
    old, new = summary(), summary()
    insert(new)
    data_of(new, "write")["model"]["name"] = "gpt-4o"
    data_of(old, "write")["prompt_template"][0]["text"] = "One.\nTwo.\nThree."
    data_of(new, "write")["prompt_template"][0]["text"] = "One.\nDos.\nThree."
    assert render(diff(old, new)) == (
        "nodes\n"
        "  + translate (llm): after tidy; before done\n"
        "  ~ write (llm)\n"
        "      model.name: gpt-4o-mini → gpt-4o\n"
        "      prompt_template[user].text:\n"
        "        @@ -1,3 +1,3 @@\n"
        "         One.\n"
        "        -Two.\n"
        "        +Dos.\n"
        "         Three.\n"
        "edges\n"
        "  - tidy → done\n"
    )


def test_long_lines_are_compared_piece_by_piece() -> None:
    old, new = summary(), summary()
    text = "".join(f"sentence number {i} is here. " for i in range(60))
    data_of(old, "write")["prompt_template"][0]["text"] = text
    data_of(new, "write")["prompt_template"][0]["text"] = text.replace("number 30 is", "number 30 was")
    said = render(diff(old, new))
    assert "number 30 was" in said
    assert len(said) < 1000


DEEP: Any = "x"
for _ in range(200):
    DEEP = [DEEP]

MALFORMED: list[Any] = [
    {},
    {"app": 3, "workflow": [], "dependencies": "x"},
    {"workflow": {"graph": {"nodes": [None, {"id": 3}, {"id": "a", "data": {"x": DEEP}}], "edges": [1]}}},
    {"workflow": {"environment_variables": [3, {"name": []}], "features": 7}},
    summary(),
]


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(MALFORMED, 2)))
def test_malformed_documents_are_compared_as_far_as_they_go(one: Any, other: Any) -> None:
    render(diff(one, other))
    assert diff(one, copy.deepcopy(one)) == ()


def test_many_nodes_of_one_type_are_compared_in_time() -> None:
    nodes = [llm(f"n{i}", f"prompt {i}") for i in range(1500)]
    other = [llm(f"m{i}", f"prompt {i}") for i in range(1500)]
    begun = time.process_time()
    diff(document(nodes, ""), document(other, ""))
    assert time.process_time() - begun < 5


@pytest.mark.shared
def test_real_apps_equal_themselves_and_differ_from_others(shared: Path) -> None:
    apps = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((shared / "data" / "dify-apps").glob("*.yml"))
    ]
    for one, other in itertools.pairwise(each for each in apps if isinstance(each, dict) and "workflow" in each):
        assert diff(one, copy.deepcopy(one)) == ()
        assert render(diff(one, other)) != NOTHING


@pytest.mark.parametrize("handle", ["1", "2"])
def test_classes_are_called_by_name(handle: str) -> None:
    classes = [{"id": "1", "name": "praise"}, {"id": "2", "name": "complaint"}]
    fork = node("qc", "question-classifier", query_variable_selector=["start", "x"], model=MODEL, classes=classes)
    old, new = (document([start(), fork, end()], edges) for edges in ("start->qc", f"start->qc qc:{handle}->end"))
    assert [each.subject for each in diff(old, new)] == [f"qc [{classes[int(handle) - 1]['name']}] → end"]
