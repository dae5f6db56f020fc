"""The four agents: what they send, and what they make of a reply."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from dslkit.agents import Asker, Brief, analyse, configure, improve, outline
from dslkit.agents.offline_author import answer
from dslkit.agents.quality import MAX_FINDINGS
from dslkit.dify.judge import judge
from dslkit.dify.workflow import Workflow
from dslkit.knowledge import shipped_patterns
from dslkit.llm.attribution import current
from dslkit.records import Finding, Judgement, Requirement

ROUNDS = (
    "Write a poem on a city (variable city). Output the poem (variable poem).",
    "Also output a picture (variable pic).",
)


class Recorder:
    """An ``Ask`` that keeps what it was asked; replies with a fixed text, or as the offline model."""

    def __init__(self, reply=None):
        self.reply = reply
        self.asked = []

    async def __call__(self, stage, system, user):
        self.asked.append((stage, system, user))
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return self.reply if self.reply is not None else answer(messages)


@pytest.fixture
def anyio_backend():
    return "asyncio"


pytestmark = pytest.mark.anyio


async def test_four_agents_in_a_row():
    """requirements -> architecture -> configuration -> quality, each with what the one before it found."""
    ask = Recorder()
    brief = await analyse(ask, ROUNDS)
    assert [entry["name"] for entry in brief.inputs] == ["city"]
    assert [entry["name"] for entry in brief.outputs] == ["poem", "pic"]
    drawn = await outline(ask, brief, shipped_patterns()[:1])
    assert drawn.node_types == ("start", "llm", "text2image", "end")
    reply = await configure(ask, ROUNDS, shipped_patterns()[:1], brief, drawn)
    assert Workflow.from_reply(reply, name="poem").outputs == (("poem", "pic"),)
    finding = Finding(code="reference-unknown", severity="error", message="no such node", node="7", remedy="name one")
    await improve(ask, ROUNDS, reply, [finding])
    assert [stage for stage, _, _ in ask.asked] == ["requirements", "architecture", "configuration", "quality"]
    assert brief.text in ask.asked[2][2]
    assert drawn.text in ask.asked[2][2]
    assert reply in ask.asked[3][2]
    assert "error reference-unknown at node 7: no such node Remedy: name one" in ask.asked[3][2]


async def test_every_round_reaches_every_agent():
    ask = Recorder()
    brief = await analyse(ask, ROUNDS)
    await outline(ask, brief)
    await configure(ask, ROUNDS)
    await improve(ask, ROUNDS, "reply", ())
    for _, _, user in ask.asked:
        assert all(text in user for text in ROUNDS)


async def test_graver_findings_come_first_and_their_number_is_bounded():
    ask = Recorder("")
    notes = [Finding(code="a-note", severity="note", message="m")] * MAX_FINDINGS
    await improve(ask, ROUNDS, "reply", [*notes, Finding(code="an-error", severity="error", message="m")])
    user = ask.asked[0][2]
    assert user.index("an-error") < user.index("a-note")
    assert user.count("a-note") == MAX_FINDINGS - 1


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"complexity": "simple"}, "Keep it simple"),
        ({"complexity": "complex"}, "Be thorough"),
        ({"current_plan": '{"nodes_info": []}'}, "<current_plan>"),
    ],
)
async def test_options_reach_the_prompt(option, said):
    plain, ask = Recorder(""), Recorder("")
    await configure(plain, ROUNDS)
    await configure(ask, ROUNDS, **option)
    assert said not in plain.asked[0][2]
    assert said in ask.asked[0][2]


async def test_app_mode_reaches_the_prompt():
    ask = Recorder("")
    await configure(ask, ROUNDS, app_mode="advanced-chat")
    assert "mode advanced-chat" in ask.asked[0][1]


@pytest.mark.parametrize(
    ("reply", "goal", "inputs"),
    [
        ('<brief>{"goal": "g", "inputs": [{"name": "a"}]}</brief>', "g", ({"name": "a"},)),
        ('<brief>{"goal": "g", "inputs": ["a", {"name": "b"},]', "g", ({"name": "b"},)),
        ('```json\n{"goal": "g"}\n```', "g", ()),
        ('<brief>{"goal": null, "inputs": "none"}</brief>', "None", ()),
        ("I cannot do that.", "", ()),
        ("", "", ()),
        ("[1, 2]", "", ()),
    ],
)
async def test_a_malformed_brief_loses_nothing(reply, goal, inputs):
    brief = await analyse(Recorder(reply), ["x"])
    assert (brief.goal, brief.inputs) == (goal, inputs)
    assert brief.text in reply


async def test_a_malformed_outline_is_kept_as_text():
    drawn = await outline(
        Recorder('<outline>{"nodes": [1, {"type": "llm"}], "edges": [[1, 0, 2], 3]}'), Brief(text="b")
    )
    assert drawn.node_types == ("llm",)
    assert drawn.edges == (("1", "0", "2"),)


async def test_asker_attributes_each_call_to_its_stage():
    seen = []

    async def create(**arguments):
        seen.append((current().stage, arguments))
        return SimpleNamespace(choices=[SimpleNamespace(message=SimpleNamespace(content="reply"))])

    client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    assert await Asker(client, "m", temperature=0.2)("quality", "s", "u") == "reply"
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert seen == [("quality", {"model": "m", "messages": messages, "temperature": 0.2})]
    assert current().stage is None


@pytest.mark.parametrize("choices", [[], [SimpleNamespace(message=SimpleNamespace(content=None))]])
async def test_silence_is_an_empty_reply(choices):
    async def create(**_):
        return SimpleNamespace(choices=choices)

    client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    assert await Asker(client, "m")("s", "s", "u") == ""


_OURS = Path(__file__).parents[2] / "notebooks" / "requirements.jsonl"
OURS = [json.loads(line) for line in _OURS.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("mode", ["simple", "rag", "multi_agent"])
@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry["id"])
async def test_our_own_requirements_come_out_exact(entry, mode):
    """What the first command of the README makes, in every mode, holds what was asked for."""
    rounds = [entry["requirement"]] if isinstance(entry["requirement"], str) else entry["requirement"]
    ask, patterns = Recorder(), () if mode == "simple" else shipped_patterns()[::9]
    brief = await analyse(ask, rounds) if mode == "multi_agent" else None
    drawn = await outline(ask, brief, patterns) if brief else None
    workflow = Workflow.from_reply(await configure(ask, rounds, patterns, brief, drawn), name=entry["id"])
    requirement = Requirement(
        id=entry["id"],
        messages=tuple(rounds),
        inputs=tuple(entry["inputs"]),
        outputs=(tuple(entry["outputs"]),),
        related_nodes=tuple(entry["related_nodes"]),
    )
    assert workflow.findings == ()
    assert judge(workflow.document, requirement) == Judgement(
        inputs_exact=True, outputs_exact=True, related_nodes_held=True
    )
