"""An existing workflow changed: the model sees its plan, and what it does not speak of stays."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from model_server import serving

from dslkit import Workflow
from dslkit.batch import generate
from dslkit.batch.editing import as_shown, plan_to_change
from dslkit.errors import UsageError
from dslkit.settings import Settings

if TYPE_CHECKING:
    from dslkit.batch import Generated

REPLY = json.dumps(
    {
        "nodes_info": [
            {"id": "1", "type": "start", "param": {"variables": [["text", "string", True]]}},
            {"id": "2", "type": "llm", "param": {"system": "Translate.", "user": "{{#1.text#}}"}},
            {"id": "3", "type": "end", "param": {"outputs": [["result", ["text", "2"]]]}},
        ],
        "edges": [[1, 0, 2], [2, 0, 3]],
    }
)


@pytest.fixture
def before() -> Workflow:
    """A workflow with settings that plans have no words for."""
    document = Workflow.from_reply(REPLY, name="Mine").document
    document["app"]["description"] = "kept"
    document["workflow"]["environment_variables"] = [{"name": "place", "value": "Rome", "value_type": "string"}]
    llm = next(node for node in document["workflow"]["graph"]["nodes"] if node["data"]["type"] == "llm")
    llm["data"]["model"]["completion_params"] = {"temperature": 0.123}
    workflow = replace(Workflow.from_reply(REPLY), document=document)
    assert workflow.errors == ()
    return workflow


def changed(before: Workflow, reply: str) -> tuple[Generated, list[dict[str, Any]]]:
    with serving(lambda _: reply) as server:
        settings = Settings(openai_api_key="sk-test", openai_base_url=server.url)
        made = asyncio.run(generate("Say more", model="m", current=before, engine=False, settings=settings))
        return made, server.asked[0]


def bare(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan as a model that cares for nothing but the short form gives it back."""
    return {**plan, "nodes_info": [{k: v for k, v in node.items() if k != "dify"} for node in plan["nodes_info"]]}


def test_the_model_sees_the_plan_and_what_it_leaves_unsaid_stays(before: Workflow) -> None:
    shown = bare(json.loads(as_shown(before.plan())))
    end = next(node for node in shown["nodes_info"] if node["type"] == "end")
    end["param"]["outputs"][0][0] = "translation"
    made, asked = changed(before, json.dumps(shown))
    assert "<current_plan>" in asked[1]["content"]
    assert "0.123" in asked[1]["content"]
    assert made.workflow is not None
    document = made.workflow.document
    assert made.workflow.outputs == (("translation",),)
    assert (document["app"]["name"], document["app"]["description"]) == ("Mine", "kept")
    assert document["workflow"]["environment_variables"] == before.document["workflow"]["environment_variables"]
    assert "0.123" in made.workflow.yaml
    assert made.item.verdict == "clean"


def test_what_is_said_counts(before: Workflow) -> None:
    """A node whose short form was changed does not get its old finer settings forced on it."""
    shown = bare(json.loads(as_shown(before.plan())))
    llm = next(node for node in shown["nodes_info"] if node["type"] == "llm")
    llm["param"]["system"] = "Translate into Latin."
    made, _ = changed(before, json.dumps(shown))
    assert made.workflow is not None
    assert "into Latin" in made.workflow.yaml


def test_a_reply_without_a_plan_is_told(before: Workflow) -> None:
    made, _ = changed(before, "I would rather not.")
    assert (made.item.verdict, made.workflow and made.workflow.document) == ("errors", {})


def test_a_chatflow_stays_one() -> None:
    before = Workflow.from_reply(REPLY.replace('"end"', '"answer"'), mode="advanced-chat")
    made, _ = changed(before, as_shown(before.plan()))
    assert made.workflow is not None
    assert made.workflow.document["app"]["mode"] == "advanced-chat"


def test_there_must_be_something_to_change() -> None:
    with pytest.raises(UsageError, match="no workflow to change"):
        plan_to_change(Workflow({"app": {}}, ()))
