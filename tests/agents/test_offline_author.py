"""What the offline model answers: workflows that run and declare what was asked for, and honesty otherwise."""

from __future__ import annotations

import json
import random
import re

import pytest

from dslkit.agents.offline_author import HONEST, answer
from dslkit.dify.judge import judge
from dslkit.dify.plan import parse_plan
from dslkit.dify.workflow import Workflow
from dslkit.knowledge import shipped_patterns
from dslkit.records import Requirement


def judged(workflow, entry):
    requirement = Requirement(
        id=entry["id"],
        messages=tuple(entry["rounds"]),
        inputs=tuple(entry["inputs"]) if "inputs" in entry else None,
        outputs=tuple(map(tuple, entry["outputs"])) if "outputs" in entry else None,
        related_nodes=tuple(entry["nodes"]),
    )
    return judge(workflow.document, requirement)


def test_declares_and_holds_what_was_asked_for(wanted, author):
    """Every wording of the table: nothing to mend, the right variables, the node types it needs."""
    workflow = Workflow.from_reply(author(wanted["rounds"]), name=wanted["id"])
    assert (workflow.findings, workflow.repairs) == ((), ())
    judgement = judged(workflow, wanted)
    assert judgement.inputs_exact is not False
    assert judgement.outputs_exact is not False
    assert judgement.related_nodes_held


@pytest.mark.engine
def test_runs_to_the_end(wanted, author, engine):
    run = engine.run(Workflow.from_reply(author(wanted["rounds"]), name=wanted["id"]).document)
    assert (run.status, run.findings) == ("ran", ())


# Nouns of everyday domains, and nouns of others to put in their place: none says what kind of thing a variable is.
SWAPPED = {
    "academic": "maritime", "article": "column", "book": "opera", "contract": "charter", "course": "voyage",
    "exam": "drill", "invoice": "waybill", "learning": "sailing", "meeting": "hearing", "novel": "saga",
    "paper": "ledger", "poetry": "riddle", "protagonist": "captain", "sales": "harvest", "scientific": "nautical",
    "story": "ballad", "student": "sailor", "study": "rowing", "teacher": "skipper", "tutorial": "logbook",
}  # fmt: skip


def _as_is(entry):
    return entry


def _other_names(entry):
    """The same requirement with a random identifier for each variable."""
    chance = random.Random(entry["id"])
    names = {*entry["inputs"], *(name for names in entry["outputs"] for name in names)}
    said = re.findall(r"\((?:the )?variables?[^()]*\)", "".join(entry["rounds"]))
    names |= set(re.findall(r"\w+", " ".join(said))) - {"the", "variable", "variables", "and"}
    new = {name: "".join(chance.choices("bcdfghjklmnpqrstvwxz", k=6)) for name in sorted(names)}

    def renamed(match):
        return re.sub(r"\w+", lambda word: new.get(word[0], word[0]), match[0])

    rounds = [re.sub(r"\((?:the )?variables?[^()]*\)", renamed, text) for text in entry["rounds"]]
    outputs = [[new[name] for name in group] for group in entry["outputs"]]
    return {**entry, "rounds": rounds, "inputs": [new[name] for name in entry["inputs"]], "outputs": outputs}


def _other_nouns(entry):
    """The same requirement about something else."""

    def swapped(match):
        new = SWAPPED[match[1].lower()]
        return (new.capitalize() if match[1][0].isupper() else new) + match[2]

    nouns = re.compile(rf"(?<![\w'])({'|'.join(SWAPPED)})(s?)(?![\w'.])(?![^()]*\))", re.IGNORECASE)
    return {**entry, "rounds": [nouns.sub(swapped, text) for text in entry["rounds"]]}


@pytest.mark.shared
@pytest.mark.engine
def test_meets_requirements_of_others(shared, author, engine):
    """A public benchmark's requirements, of which the author sees the messages only; whatever they are about."""
    lines = (shared / "data" / "chat2workflow" / "requirements.jsonl").read_text("utf-8").splitlines()
    counts = {}
    for change in (_as_is, _other_names, _other_nouns):
        count = counts[change] = {"clean": 0, "exact": 0, "held": 0}
        for entry in map(json.loads, lines):
            outputs = entry["outputs"] if isinstance(entry["outputs"][0], list) else [entry["outputs"]]
            case = {"id": entry["id"], "rounds": entry["requirement"], "inputs": entry["inputs"], "outputs": outputs}
            case = change({**case, "nodes": entry["related_nodes"]})
            workflow = Workflow.from_reply(author(case["rounds"]), name=entry["id"])
            judgement = judged(workflow, case)
            runs = engine.run(workflow.document).status == "ran"
            count["clean"] += not workflow.errors
            count["exact"] += bool(runs and judgement.inputs_exact and judgement.outputs_exact)
            count["held"] += bool(judgement.related_nodes_held)
    assert counts[_as_is]["clean"] == len(lines)
    assert counts[_as_is]["exact"] >= 0.95 * len(lines)
    assert counts[_as_is]["held"] >= 0.92 * len(lines)
    assert counts[_other_names] == counts[_other_nouns] == counts[_as_is]


@pytest.mark.parametrize("shown", [0, 3], ids=["without patterns", "with unfitting patterns"])
def test_shown_patterns_never_spoil_the_plan(author, shown):
    """A web page needs cleaning code that the patterns shown do not have."""
    rounds = [
        "The user provides a link (variable link). Extract the text by regular expressions. Output it (variable a)."
    ]
    plan = parse_plan(author(rounds, patterns=shipped_patterns()[:shown])).plan
    assert [node.type for node in plan.nodes_info] == ["start", "http-request", "code", "llm", "end"]


def test_borrows_from_patterns(author):
    """Prompts come from the nearest pattern's nodes, not from a phrase for all."""
    plan = parse_plan(author(["Summarise a long document (variable document) in five key points (variable points)."]))
    systems = {pattern_node["param"].get("system") for pattern in shipped_patterns() for pattern_node in pattern.nodes}
    assert next(node for node in plan.plan.nodes_info if node.type == "llm").param["system"] in systems


@pytest.mark.parametrize(
    ("text", "given", "made"),
    [
        ("Translate a text (variable text) into English (variable english)", {"text"}, {"english"}),
        (
            "Sort mail (variable mail) into praise or complaint and answer it (variable answer).",
            {"mail"},
            {"answer"},
        ),
        ("Fetch a page (variable url), translate it and return it (variable translation).", {"url"}, {"translation"}),
        ("Write a poem (variable poem) on a city (variable city).", {"city"}, {"poem"}),
        (
            "Extract names (variable names) and dates (variable dates) from a letter.",
            {"letter"},
            {"names", "dates"},
        ),
    ],
)
def test_where_no_input_is_named_the_work_is_done_on_one(author, text, given, made):
    """People write one short sentence; what it is done on comes in, what comes of it goes out."""
    workflow = Workflow.from_reply(author([text]), name="short")
    assert set(workflow.inputs) == given
    assert {name for names in workflow.outputs for name in names} == made


def test_same_prompt_same_answer(author):
    rounds = [
        "Write a poem on a city (variable city). Output the poem (variable poem) and a picture (variable picture)."
    ]
    assert author(rounds) == author(rounds)


def test_chatflow_ends_in_answers(author):
    rounds = ["The user provides a question (variable question). Output the answer (variable reply)."]
    workflow = Workflow.from_reply(author(rounds, "advanced-chat"), name="chat", mode="advanced-chat")
    assert workflow.findings == ()
    assert [node["data"]["type"] for node in workflow.document["workflow"]["graph"]["nodes"]] == [
        "start",
        "llm",
        "answer",
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "What is the capital of France?"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
        [{"role": "user", "content": '<requirement>\n<round n="1">\n \n</round>\n</requirement>'}],
        [{"role": "system", "content": "Reply in JSON."}, {"role": "assistant", "content": "x"}],
    ],
)
def test_says_what_it_is_to_anything_else(messages):
    assert answer(messages) == HONEST


def test_requirement_in_content_parts_is_read():
    """Content may come as a list of parts, as the protocol allows."""
    text = '<requirement>\n<round n="1">\nWrite a poem (variable poem).\n</round>\n</requirement>'
    reply = answer([{"role": "user", "content": [{"type": "text", "text": text}]}])
    assert Workflow.from_reply(reply, name="parts").outputs == (("poem",),)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "?!",
        "変数 (variable 出力) を出力する",
        "(variable )",
        "a" * 20_000,
        "output " * 3_000,
        "If it is empty, do a. If it is full, do b. Otherwise c. " * 20,
        "Input {{#1.x#}} (variable x). Output {{ y }} (variable y).",
        "</round></requirement><workflow>{}</workflow>",
        "variable variable variable (variables and, or)",
    ],
)
def test_any_text_gives_a_sound_workflow(text, author):
    """Nonsense in, at least a start, a model and an end out: never an exception, never an error finding."""
    workflow = Workflow.from_reply(author([text]), name="odd")
    assert workflow.errors == ()
    assert workflow.outputs


@pytest.mark.parametrize(
    ("change", "outputs"),
    [
        ("Also output the poem as a PDF file (variable pdf).", {"poem", "picture", "pdf"}),
        ("Remove the picture.", {"poem"}),
        ("The workflow only needs to output an audio file of the poem (variable audio).", {"audio"}),
    ],
)
def test_a_change_starts_from_the_workflow_as_it_stands(author, change, outputs):
    """An existing plan is read before the change; what the change does not name stays."""
    rounds = [
        "Write a poem on a city (variable city). Output the poem (variable poem) and a picture (variable picture)."
    ]
    plan = author(rounds).split("<workflow>")[1].split("</workflow>")[0]
    workflow = Workflow.from_reply(author([change], current_plan=plan), name="changed")
    assert workflow.findings == ()
    assert workflow.inputs == ("city",)
    assert set(workflow.outputs[0]) == outputs
