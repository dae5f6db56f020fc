"""The routes of a live server, asked as clients ask them."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dslkit.ledger import Ledger
from dslkit.server.models import GenerateAnswer, JobState

if TYPE_CHECKING:
    from tests.server.conftest import Served

WISH = "Summarise a document (variable document) and return the summary (variable summary)."


def generate(served: Served, kind: str = "simple", **more: Any) -> httpx.Response:
    return served.ask("POST", f"/api/v1/generate/{kind}", json={"description": WISH, "engine": False, **more})


@pytest.mark.parametrize("kind", ["simple", "full", "multi-agent"])
def test_a_workflow_comes_back_with_all_that_is_known_of_it(served: Served, kind: str) -> None:
    response = generate(served, kind, preferences={"complexity": "simple", "theme": "whatever"})
    assert response.status_code == 200, response.text
    answer = GenerateAnswer.model_validate_json(response.content)
    assert (answer.verdict, answer.quality_score) == ("clean", 100.0)
    assert answer.workflow["workflow"]["graph"]["nodes"]
    assert "summary" in answer.yaml
    assert answer.metadata.node_count == len(answer.workflow["workflow"]["graph"]["nodes"])
    assert answer.generation_time > 0


def test_calls_and_items_carry_the_id_of_the_request(served: Served) -> None:
    request_id = str(uuid.uuid4())
    with served.client(**{"X-Request-ID": request_id}) as client:
        answer = client.post("/api/v1/generate/simple", json={"description": WISH, "engine": False})
    assert answer.headers["X-Request-ID"] == request_id
    ledger = Ledger(served.home)
    for view in ("calls", "items"):
        rows = ledger.sql(f"SELECT run_id FROM {view} WHERE tags['request_id'] = '{request_id}'").fetchall()
        assert rows == [(answer.json()["run_id"],)]


def test_the_app_has_the_name_asked_for(served: Served) -> None:
    assert generate(served, name="My summary").json()["workflow"]["app"]["name"] == "My summary"


def test_who_does_not_wait_asks_later(served: Served) -> None:
    with served.client() as client:
        accepted = client.post("/api/v1/generate/simple?wait=false", json={"description": WISH, "engine": False})
        assert accepted.status_code == 202
        where = accepted.headers["Location"]
        assert where == accepted.json()["location"]
        while (state := JobState.model_validate_json(client.get(where).content)).status in {"queued", "running"}:
            time.sleep(0.05)
    assert state.status == "done"
    assert state.result is not None
    assert [event.event for event in state.events] == ["queued", "started", "stage", "done"]


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_progress_comes_as_events_and_the_last_one_is_the_answer(served: Served) -> None:
    with served.client(Accept="text/event-stream") as client:
        response = client.post("/api/v1/generate/multi-agent", json={"description": WISH, "engine": False})
        assert response.headers["Content-Type"] == "text/event-stream"
        told = events(response.text)
        stages = [event["stage"] for event in told if event["event"] == "stage"]
        assert stages == ["requirements", "architecture", "configuration"]
        assert told[-1]["result"]["verdict"] == "clean"
        path = f"/api/v1/generate/status/{told[0]['id']}/events"
        assert events(client.get(path).text) == told
        assert events(client.get(path, headers={"Last-Event-ID": "1"}).text) == told[2:]


def test_usage_has_the_form_that_clients_know(served: Served) -> None:
    generate(served)
    stats = served.ask("GET", "/api/v1/generate/usage").json()["usage_stats"]
    totals = Ledger(served.home).usage().as_dict()
    assert {name: stats[name] for name in totals if name != "tracking_since"} == {
        name: value for name, value in totals.items() if name != "tracking_since"
    }
    assert stats["total_tokens"] == stats["total_prompt_tokens"] + stats["total_completion_tokens"] > 0
    assert stats["requests_by_model"] == {"offline": stats["total_requests"]}
    assert stats["estimated_cost_usd"] == 0
    assert stats["tracking_since"]


def test_a_reset_starts_a_new_count_and_loses_no_row(served: Served) -> None:
    generate(served)
    rows = Ledger(served.home).sql("SELECT count(*) FROM calls").fetchall()
    assert served.ask("POST", "/api/v1/generate/usage/reset").json()["status"] == "success"
    assert served.ask("GET", "/api/v1/generate/usage").json()["usage_stats"]["total_requests"] == 0
    assert Ledger(served.home).sql("SELECT count(*) FROM calls").fetchall() == rows
    generate(served)
    time.sleep(1.0)  # the age that usage may have
    assert served.ask("GET", "/api/v1/generate/usage").json()["usage_stats"]["total_requests"] == 1


def test_patterns_are_found_kept_and_deleted(served: Served) -> None:
    with served.client() as client:
        listed = client.get("/api/v1/patterns/list").json()
        assert listed["total_patterns"] == len(listed["patterns"]) > 10
        found = client.get("/api/v1/patterns/search", params={"query": "classify feedback", "n_results": 2}).json()
        assert (found["n_results"], len(found["patterns"])) == (2, 2)
        advised = client.get("/api/v1/patterns/recommend", params={"description": "translate a text"}).json()
        assert 1 <= advised["n_results"] <= 3
        own = client.get(f"/api/v1/patterns/{found['patterns'][0]['id']}").json() | {"id": "my-own"}
        added = [client.post("/api/v1/patterns/add", json=own).json() for _ in range(2)]
        assert {answer["pattern_id"] for answer in added} == {"my-own"}
        assert [answer["message"] for answer in added] == ["Added.", "Added; it replaces your own pattern of that id."]
        assert client.get("/api/v1/patterns/statistics").json()["user"] == 1
        assert client.get("/api/v1/patterns/my-own").json()["plan"] == own["plan"]
        assert client.delete("/api/v1/patterns/my-own").status_code == 200
        assert client.get("/api/v1/patterns/my-own").status_code == 404
        assert client.delete(f"/api/v1/patterns/{found['patterns'][0]['id']}").status_code == 409


def test_a_pattern_in_the_predecessors_form_is_taken(served: Served) -> None:
    about = {"pattern_id": "their-own", "name": "Theirs", "description": "Summarises.", "complexity": "simple"}
    about |= {"node_count": 3, "use_cases": ["summaries"], "tags": ["text"]}  # type: ignore[dict-item]
    pattern = {"metadata": about, "workflow": generate(served).json()["workflow"], "content": "Summarises documents"}
    with served.client() as client:
        assert client.post("/api/v1/patterns/add", json=pattern).status_code == 200
        kept = client.get("/api/v1/patterns/their-own").json()
        assert kept["title"] == "Theirs"
        assert "start" in kept["node_types"]
        assert client.delete("/api/v1/patterns/their-own").status_code == 200


def test_a_dify_app_is_validated_converted_and_imported(served: Served) -> None:
    made = generate(served).json()
    yaml = {"Content-Type": "application/yaml"}
    with served.client() as client:
        checked = client.post("/api/v1/dify/validate", json=made["workflow"]).json()
        assert (checked["valid"], checked["errors"], checked["verdict"], checked["quality_score"]) == (
            True,
            [],
            "clean",
            100.0,
        )
        assert client.post("/api/v1/dify/validate", content=made["yaml"], headers=yaml).json() == checked
        taken = client.post("/api/v1/dify/import", content=made["yaml"], headers=yaml).json()
        assert taken["metadata"]["app_name"] == made["workflow"]["app"]["name"]
        assert sum(taken["metadata"]["node_types"].values()) == checked["stats"]["node_count"]
        plan = client.post("/api/v1/dify/convert", json=made["workflow"]).json()["plan"]
        back = client.post("/api/v1/dify/convert", json=plan).json()
        assert back["metadata"]["source_format"] == "plan"
        assert len(back["dsl"]["workflow"]["graph"]["nodes"]) == checked["stats"]["node_count"]
        broken = json.loads(json.dumps(made["workflow"]))
        broken["workflow"]["graph"]["edges"] = []
        assert not client.post("/api/v1/dify/validate", json=broken).json()["valid"]
        broken["workflow"]["graph"]["nodes"] = []
        refused = client.post("/api/v1/dify/convert", json=broken)
        assert (refused.status_code, refused.json()["detail"].count("no graph")) == (422, 1)
        kinds = client.get("/api/v1/dify/node-types").json()
        assert kinds["total"] == len(kinds["node_types"]) > 20


def test_a_request_with_json_that_is_none_is_told_so(served: Served) -> None:
    json_kind = {"Content-Type": "application/json"}
    cases: list[tuple[dict[str, Any], int]] = [
        ({"content": b"{", "headers": json_kind}, 400),
        ({"content": b'{"description": NaN}', "headers": json_kind}, 400),
        ({"content": b"\xff", "headers": json_kind}, 400),
        ({"content": b'{"description": "\\ud800"}', "headers": json_kind}, 400),
        ({"content": b"[" * 100_000, "headers": json_kind}, 400),
        ({"content": b"description=x"}, 415),
        ({"json": {}}, 422),
        ({"json": {"description": "  "}}, 422),
        ({"json": {"description": WISH, "mispelt": 1}}, 422),
        ({"json": {"description": WISH, "model": "gpt-4o"}}, 422),
        ({"json": {"description": WISH}, "params": {"wait": "perhaps"}}, 422),
    ]
    with served.client() as client:
        for sent, status in cases:
            response = client.post("/api/v1/generate/simple", **sent)
            assert response.status_code == status, sent
            assert response.headers["Content-Type"] == "application/problem+json"
            problem = response.json()
            assert problem["status"] == status
            assert problem["detail"]
            assert problem["request_id"] == response.headers["X-Request-ID"]


def test_what_is_not_there_is_a_problem_as_well(served: Served) -> None:
    with served.client() as client:
        for method, path, status in [
            ("GET", "/api/v1/nothing", 404),
            ("GET", "/api/v1/generate/simple", 405),
            ("PATCH", "/api/v1/info", 405),
            ("GET", f"/api/v1/generate/status/{uuid.uuid4()}", 404),
            ("GET", "/api/v1/patterns/none-such", 404),
        ]:
            response = client.request(method, path)
            assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
            assert (status == 405) == ("Allow" in response.headers)


def test_health_needs_no_token_and_readiness_says_what_it_looked_at(served: Served) -> None:
    assert httpx.get(f"{served.url}/health").json() == {"status": "healthy"}
    assert httpx.get(f"{served.url}/health/ready").status_code == 401
    ready = served.ask("GET", "/health/ready").json()
    assert ready["status"] == "ready"
    assert set(ready["checks"]) == {"ledger", "disk", "model"}


def test_no_generation_holds_up_another_request(served: Served) -> None:
    slow = threading.Thread(target=generate, args=(served, "multi-agent"))
    slow.start()
    try:
        assert served.ask("GET", "/api/v1/info").status_code == 200
    finally:
        slow.join()


def test_jupyters_own_paths_are_left_alone(served: Served) -> None:
    with served.client() as client:
        response = client.get("/api/status")
    assert response.status_code == 200
    assert not {"X-Request-ID", "X-RateLimit-Limit", "X-Response-Time"} & set(response.headers)
    assert "/api/status" not in served.log
